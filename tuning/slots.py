"""How many trials fit on the machine or cluster at once. Knows nothing of Ray."""

import os
from dataclasses import dataclass

from masll.errors import InputError
from tuning.options import SearchOptions


@dataclass(frozen=True)
class Slots:
    """Where trials run: so many at once, each with so much of the machines."""

    count: int
    cpus: int  # per trial
    gpus: float  # per trial

    def __str__(self) -> str:
        share = f"{self.gpus:g} GPU and " if self.gpus else ""
        return f"{self.count} at once, each with {share}{self.cpus} CPU core{'s' * (self.cpus > 1)}"


def find_slots(options: SearchOptions, cpus: int, gpus: int) -> Slots:
    """How many trials fit on so many cores and GPUs under the options.

    Raises:
        InputError: more GPUs are asked for than there are, or a trial does not fit at all.
    """
    wanted = gpus if options.num_gpus is None else options.num_gpus
    if wanted > gpus and options.address is None:
        raise InputError(
            f"--num-gpus {wanted}, but this machine has {gpus} GPU{'s' * (gpus != 1)}; leave the "
            "option out to use what is there, or name a cluster with --address"
        )
    wanted = min(wanted, gpus)
    if wanted:
        count = int(wanted / options.gpus_per_trial)
        per_trial = options.cpus_per_trial or max(1, cpus // max(count, 1))
        slots = Slots(min(count, cpus // per_trial), per_trial, options.gpus_per_trial)
        if slots.count < 1:
            raise InputError(
                f"--gpus-per-trial {options.gpus_per_trial:g} with {wanted} GPU(s) and "
                f"{per_trial} of {cpus} cores per trial leaves room for no trial; ask for less"
            )
        return slots
    per_trial = options.cpus_per_trial or 1
    if per_trial > cpus:
        raise InputError(f"--cpus-per-trial {per_trial}, but there are {cpus} cores; ask for less")
    return Slots(cpus // per_trial, per_trial, 0)


def this_machine() -> tuple[int, int]:
    """Usable cores and GPUs."""
    import torch  # seconds to import

    return len(os.sched_getaffinity(0)), torch.cuda.device_count()
