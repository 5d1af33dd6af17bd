"""Ray Tune as the engine: it places trials on machines and reports back; the plan decides.

One `Tuner` runs the whole study. Three thin adapters connect it to the ledger: a searcher that
hands out the next trial, a scheduler that passes on the decision to stop, and a callback that has
the rows of whatever has ended written.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from masll.common.errors import InputError
from tuning import mps
from tuning.job import Job
from tuning.ledger import Ledger, Outcome
from tuning.options import SearchOptions
from tuning.ray_internals import (
    error_of,
    forgetful_tune,
    has_died,
    pending_trial,
    quiet_tune,
    survive_lost_workers,
)
from tuning.session import in_one_line
from tuning.slots import Machine, Slots, find_slots, share_of
from tuning.study.arm import Arm
from tuning.trainable import REPORT, TrialWorker
from tuning.trial_report import Held, TrialReport

_LOOK_EVERY = 5.0  # seconds between looks at the cluster: how large it is, and whether it lives


class _RayDiedError(BaseException):
    """No Exception: Tune would ask the Ray that has died to end its trials, and wait for it."""


class _HopelessError(Exception):
    pass


def choose_slots(options: SearchOptions, arms: Sequence[Arm], say: Callable[[str], None]) -> Slots:
    """The slots that the Ray session gives; with `--gpus-per-trial auto` after a measurement.

    Args:
        say: called with what takes time.
    """
    slots = find_slots(options, _machines(ray.nodes()))
    if options.gpu_share is not None or not slots.gpus:
        return slots
    from tuning.packing import measure_packing, wait_for_gpu  # imports PyTorch

    say("measuring how many trials of the largest arm share a GPU best")
    wait_for_gpu()  # until a cluster has one, the cores beside it are a guess
    beside_one = find_slots(replace(options, cpus_per_trial=None), _machines(ray.nodes())).cpus
    trials = measure_packing(options, arms, beside_one)
    together = ", side by side by NVIDIA's MPS" if trials > 1 and mps.in_use() else ""
    say(f"{trials} trial{'s' * (trials > 1)} on each GPU{together}")
    return find_slots(options, _machines(ray.nodes()), share_of(trials))


def run(
    ledger: Ledger,
    job: Job,
    *,
    folder: Path | None = None,
    worker: type[tune.Trainable] = TrialWorker,
) -> Outcome:
    """Train until the plan is done, or until Ctrl-C; rows of what has finished are on disk.

    Args:
        folder: of the session; Tune's own files lie in it.
        worker: what runs the trials; reports a `TrialReport` under `REPORT` after each epoch.
    """
    quiet_tune()
    forgetful_tune()
    survive_lost_workers()
    slots = ledger.slots
    watch = _Watch(ledger)

    def resources(config: dict[str, Any]) -> tune.PlacementGroupFactory:
        return tune.PlacementGroupFactory([{"CPU": slots.cpus, "GPU": config["gpus"]}])

    died, failure = False, None
    with tempfile.TemporaryDirectory(prefix="masll-tune-", dir=folder) as scratch:
        tuner = tune.Tuner(
            tune.with_resources(worker, resources),
            tune_config=tune.TuneConfig(
                search_alg=_PlanSearcher(ledger, job),
                scheduler=_PlanScheduler(ledger),
                num_samples=-1,
                # As many are announced to the cluster, so that it grows at once to what they need.
                max_concurrent_trials=slots.count,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                storage_path=scratch,
                verbose=0,
                callbacks=[_RowWriter(ledger), watch],
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        try:
            tuner.fit()
        except _RayDiedError:
            died = True
        except _HopelessError:
            pass
        except (InputError, MemoryError):
            raise
        except Exception as error:  # whatever it is, the rows are on disk
            failure = in_one_line(error)
    available = watch.slot_seconds()
    busy = min(1.0, ledger.busy_seconds / available) if available else 0.0
    return Outcome(
        busy,
        ray_died=died,
        hopeless=ledger.hopeless,
        left_out=tuple(sorted(ledger.places.left_out)),
        unwritable=ledger.unwritable,
        crowded=ledger.crowded,
        failure=failure,
    )


def _machines(nodes: list[dict[str, Any]]) -> list[Machine]:
    """What those of Ray's nodes that are alive have."""
    return [
        Machine(int(node["Resources"].get("CPU", 0)), int(node["Resources"].get("GPU", 0)))
        for node in nodes
        if node["Alive"]
    ]


class _PlanSearcher(Searcher):
    """Hands out the plan's next trial."""

    def __init__(self, ledger: Ledger, job: Job) -> None:
        super().__init__()
        self.ledger, self.job = ledger, job

    def suggest(self, trial_id: str) -> Any:
        assignment = self.ledger.next(trial_id)
        if assignment is None:
            ended = self.ledger.plan.done or self.ledger.ends
            return Searcher.FINISHED if ended else None
        return {"job": self.job, **assignment._asdict()}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Rows are written by the callback, which has the error too."""


class _PlanScheduler(FIFOScheduler):
    """Passes on the plan's decision to stop."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self.ledger = ledger

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        del tune_controller
        name, report = trial.trial_id, result[REPORT]
        if isinstance(report, Held):
            stop = not self.ledger.hold(name, report.place)
        else:
            stop = self.ledger.report(name, report)
        return TrialScheduler.STOP if stop else TrialScheduler.CONTINUE

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        return pending_trial(tune_controller)


class _RowWriter(tune.Callback):
    """Has the rows of whatever has ended written."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        del iteration, trials, info
        report = result.pop(REPORT)  # or Tune would keep the predictions of every trial
        # Tune does not ask the scheduler about a last report.
        if isinstance(report, TrialReport) and report.done:
            self.ledger.report(trial.trial_id, report)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        del iteration, trials, info
        self.ledger.finish(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        del iteration, trials, info
        self.ledger.crash(trial.trial_id, *error_of(trial))


class _Watch(tune.Callback):
    """Looks at the cluster now and then: how many slots it has, and whether it lives at all.

    Tune would wait for ever for a Ray whose node with this process has died.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.slots = ledger, ledger.slots
        self.node = ray.get_runtime_context().get_node_id()
        self.looked = time.monotonic()
        self.available = self.slots.available(_machines(ray.nodes()))
        self._slot_seconds = 0.0
        ledger.on_slots(self.available, self.slots.count)

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        del iteration, trials, info
        if self.ledger.ends:
            raise _HopelessError
        if has_died():  # before anything asks it
            raise _RayDiedError
        if time.monotonic() < self.looked + _LOOK_EVERY:
            return
        self._slot_seconds, self.looked = self.slot_seconds(), time.monotonic()
        nodes = ray.nodes()
        if not any(node["NodeID"] == self.node and node["Alive"] for node in nodes):
            raise _RayDiedError
        slots = self.ledger.slots
        there, held = slots.available(_machines(nodes)), self.ledger.held
        if held and held >= there:
            self.ledger.let_go()
        available = max(0, there - held)
        if (available, slots) != (self.available, self.slots):
            self.available, self.slots = available, slots
            self.ledger.on_slots(available, slots.count)

    def slot_seconds(self) -> float:
        """Time that there were slots so far, all slots together."""
        return self._slot_seconds + self.available * (time.monotonic() - self.looked)
