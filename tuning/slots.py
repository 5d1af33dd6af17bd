"""How many trials fit on the machine or the cluster at once. Knows nothing of Ray."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from masll.common.errors import InputError
from masll.common.machine import usable_cores
from tuning.options import SearchOptions

_CORES_PER_GPU = 2  # that any machine with a GPU has; taken while a cluster has none to look at
_ROUNDING = 1e-2  # three times 0.3333 of a GPU is one GPU


class Machine(NamedTuple):
    """What a machine gives to trials."""

    cpus: int
    gpus: int


@dataclass(frozen=True)
class Slots:
    """Where trials run: so many at once at most, each with so much of a machine."""

    count: int
    cpus: int  # per trial
    gpus: float  # per trial
    most_gpus: int | None = None  # that they take all together, where there is such a limit

    def __str__(self) -> str:
        share = f"{self.gpus:g} GPU and " if self.gpus else ""
        return f"{self.count} at once, each with {share}{self.cpus} CPU core{'s' * (self.cpus > 1)}"

    def available(self, machines: Iterable[Machine]) -> int:
        """How many of them the machines hold: a cluster may have to grow first."""
        return min(self.count, sum(map(self._fit_on, machines)))

    def with_fewer(self) -> "Slots":
        """One trial less on each GPU, and so fewer in all: the limit of GPUs stays.

        Without GPUs one trial less in all.
        """
        if not self.gpus:
            return replace(self, count=max(1, self.count - 1))
        trials = max(1, trials_on_one(self.gpus) - 1)
        count = self.count
        if self.most_gpus is not None:
            count = min(count, self.most_gpus * trials)
        return replace(self, count=count, gpus=share_of(trials))

    def _fit_on(self, machine: Machine) -> int:
        fit = machine.cpus // self.cpus
        return min(fit, machine.gpus * trials_on_one(self.gpus)) if self.gpus else fit


def find_slots(
    options: SearchOptions, machines: Sequence[Machine], share: float | None = None
) -> Slots:
    """How many trials fit on machines under the options.

    On a cluster, `--num-gpus` is what it may grow to: so many trials are announced from the start.

    Args:
        share: of a GPU for each trial; what `--gpus-per-trial` says by default, a whole one where
            that is `auto`.

    Raises:
        InputError: more GPUs are asked for than there are, or a trial does not fit at all.
    """
    cluster = options.address is not None
    total = sum(machine.gpus for machine in machines)
    wanted = total if options.num_gpus is None else options.num_gpus
    if wanted > total and not cluster:
        raise InputError(
            f"--num-gpus {wanted}, but this machine has {total} GPU{'s' * (total != 1)}; leave the "
            "option out to use what is there, or name a cluster with --address"
        )
    if not wanted:
        return _without_gpus(options, machines)
    share = share or options.gpu_share or 1.0
    with_gpus = [machine for machine in machines if machine.gpus]
    cores = options.cpus_per_trial or _cores_of_share(share, with_gpus)
    slots = Slots(wanted * trials_on_one(share), cores, share, most_gpus=wanted)
    if with_gpus and not slots.available(with_gpus):
        most = max(machine.cpus for machine in with_gpus)
        raise InputError(
            f"--cpus-per-trial {cores}, but the machine with most cores beside its "
            f"GPUs has {most}; ask for less"
        )
    if not cluster:
        slots = replace(slots, count=slots.available(with_gpus))
    return slots


def share_of(trials: int) -> float:
    """The share of a GPU that so many trials on one have each, as finely as Ray counts."""
    return math.floor(1e4 / trials) / 1e4


def trials_on_one(share: float) -> int:
    """How many trials with a share of a GPU run on one."""
    return int(1 / share + _ROUNDING)


def this_machine() -> Machine:
    """Usable cores and GPUs."""
    import torch  # seconds to import

    return Machine(usable_cores(), torch.cuda.device_count())


def _without_gpus(options: SearchOptions, machines: Sequence[Machine]) -> Slots:
    cores = options.cpus_per_trial or 1
    count = sum(machine.cpus // cores for machine in machines)
    most = max((machine.cpus for machine in machines), default=0)
    if not most:
        raise InputError(
            "the cluster has no machine for trials yet; say with --num-gpus how many "
            "GPUs it may grow to"
        )
    if not count:
        raise InputError(f"--cpus-per-trial {cores}, but there are {most} cores; ask for less")
    return Slots(count, cores, 0)


def _cores_of_share(share: float, with_gpus: Sequence[Machine]) -> int:
    """Cores of a trial so that those on a machine share all of its cores, and do not fight."""
    of_a_gpu = min((each.cpus / each.gpus for each in with_gpus), default=_CORES_PER_GPU)
    return max(1, int(of_a_gpu * share + _ROUNDING))
