"""Ray Tune as the engine: it places trials on machines and reports back; `StudyPlan` decides.

One `Tuner` runs the whole study. Three thin adapters connect it to the plan: a searcher that
hands out the plan's next trial, a scheduler that passes on the plan's decision to stop, and a
callback that writes the rows of whatever has ended.
"""

import os

# Read when Ray is imported: nothing leaves the user's machines, and our rows are the only log.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_enable_metrics_collection", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "1000000")
os.environ.setdefault("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0")

import contextlib
import datetime
import logging
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from masll.errors import InputError
from tuning.options import SearchOptions
from tuning.packing import is_out_of_memory, measure_packing, wait_for_gpu
from tuning.plan import Finished, StudyPlan
from tuning.rows import StudyRows
from tuning.slots import Machine, Slots, find_slots, share_of, this_machine
from tuning.study import arms_of, log_opening
from tuning.trainable import PROGRESS, Job, Progress, TrialWorker
from tuning.unfinished import Begun, Unfinished

_ATTEMPTS = 3  # of a trial that crashes; a machine may fail it once or twice
_LOOK_EVERY = 5.0  # seconds between looks at the cluster: what is there, and whether Ray is
# Ray's words where a machine was lost: the usual ones, and those of a worker's connection that has
# closed before Ray knows of the machine's death.
_LOST = ("its node has died", "The task may or may not have been executed on the actor")
_OBJECT_STORE_BYTES = 100 * 2**20  # images go through files, so Ray has next to nothing to store


class Outcome(NamedTuple):
    """How a run ended, beside the rows it wrote."""

    busy: float  # share of the slots' time in which they ran trials, 0 to 1
    ray_died: bool  # Ray's processes on this machine have ended, or lost their cluster


class _RayDiedError(Exception):
    pass


@contextlib.contextmanager
def ray_session(options: SearchOptions) -> Iterator[None]:
    """Ray, started on this machine or joined at `--address`."""
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if options.address:
        try:
            ray.init(address=options.address, **quiet)
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"no Ray cluster at --address {options.address}: {reason}") from error
    else:
        machine = this_machine()
        find_slots(options, [machine])  # or refuse
        ray.init(
            address="local",  # whatever other Ray there may be on this machine
            num_cpus=machine.cpus,
            num_gpus=machine.gpus if options.num_gpus is None else options.num_gpus,
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            **quiet,
        )
    try:
        yield
    finally:
        ray.shutdown()


def place(options: SearchOptions, say: Callable[[str], None]) -> Slots:
    """The slots that the Ray session gives; with `--gpus-per-trial auto` after a measurement.

    Args:
        say: told of what takes time.
    """
    slots = find_slots(options, _machines(ray.nodes()))
    if options.gpu_share is not None or not slots.gpus:
        return slots
    say("measuring how many trials of the largest arm share a GPU best")
    wait_for_gpu()  # until a cluster has one, the cores beside it are a guess
    beside_one = find_slots(replace(options, cpus_per_trial=None), _machines(ray.nodes())).cpus
    trials = measure_packing(options, arms_of(options), beside_one)
    say(f"{trials} trial{'s' * (trials > 1)} on each GPU")
    return find_slots(options, _machines(ray.nodes()), share_of(trials))


def _machines(nodes: list[dict[str, Any]]) -> list[Machine]:
    """What those of Ray's nodes that are alive have."""
    return [
        Machine(int(node["Resources"].get("CPU", 0)), int(node["Resources"].get("GPU", 0)))
        for node in nodes
        if node["Alive"]
    ]


def run(
    plan: StudyPlan,
    rows: StudyRows,
    job: Job,
    slots: Slots,
    *,
    worker: type[tune.Trainable] = TrialWorker,
    search_seconds: float = math.inf,
    on_finished: Callable[[Finished, dict[str, Any]], None],
    on_slots: Callable[[int, int], None] = lambda *_: None,
) -> Outcome:
    """Train until the plan is done, or until Ctrl-C; rows of what has finished are on disk.

    Args:
        worker: what runs the trials; reports a `Progress` under `PROGRESS` after each epoch.
        search_seconds: start no more search trials after this time.
        on_finished: told of each trial that has ended, with its row in trials/.
        on_slots: told how many slots the cluster has now, and how many it may come to have,
            whenever one of them changes.
    """
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # it looks for logs nobody wrote
    ends = time.monotonic() + search_seconds
    bridge = _Bridge(plan, rows, job, slots, ends, on_finished, on_slots)
    watch = _Watch(bridge)

    def resources(config: dict[str, Any]) -> tune.PlacementGroupFactory:
        return tune.PlacementGroupFactory([{"CPU": slots.cpus, "GPU": config["gpus"]}])

    died = False
    with tempfile.TemporaryDirectory(prefix="masll-tune-") as scratch:
        tuner = tune.Tuner(
            tune.with_resources(worker, resources),
            tune_config=tune.TuneConfig(
                search_alg=_PlanSearcher(bridge),
                scheduler=_PlanScheduler(bridge),
                num_samples=-1,
                # As many are announced to the cluster, so that it grows at once to what they need.
                max_concurrent_trials=slots.count,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                storage_path=scratch,
                verbose=0,
                callbacks=[_RowWriter(bridge), watch],
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        try:
            tuner.fit()
        except _RayDiedError:
            died = True
    there = watch.slot_seconds()
    return Outcome(min(1.0, bridge.busy_seconds / there) if there else 0.0, died)


@dataclass
class _Running:
    """What is known of a trial between its start and its end."""

    begun: Begun
    gpus: float  # the part of a GPU that it has
    last: Progress | None = None
    pruned: bool = False


class _Bridge:
    """Ray's trial ids on one side, the plan and the files of the study on the other."""

    def __init__(
        self,
        plan: StudyPlan,
        rows: StudyRows,
        job: Job,
        slots: Slots,
        search_ends: float,
        on_finished: Callable[[Finished, dict[str, Any]], None],
        on_slots: Callable[[int, int], None],
    ) -> None:
        self.plan = plan
        self.rows = rows
        self.job = job
        self.slots = slots
        self.search_ends = search_ends
        self.on_finished = on_finished
        self.on_slots = on_slots
        self.unfinished = Unfinished(rows.folder)
        self.interrupted = {
            begun.trial.trial_id: _Running(begun, slots.gpus) for begun in self.unfinished.all()
        }
        self.running: dict[str, _Running] = {}
        self._busy: dict[str, float] = {}  # by Ray's trial id

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its parts for a restore, but a study is rebuilt from its rows."""
        return {}

    @property
    def busy_seconds(self) -> float:
        """Time that trials have kept slots busy in this run."""
        return math.fsum(self._busy.values())

    def next(self, ray_id: str) -> dict[str, Any] | str | None:
        """The config of the next trial, None to wait, or FINISHED."""
        if time.monotonic() > self.search_ends:
            self.plan.end_search()
        if len(self.running) >= self.slots.count:  # Tune allows as many as there were at first
            return None
        trial = self.plan.next()
        if trial is None:
            return Searcher.FINISHED if self.plan.done else None
        running = self.interrupted.pop(trial.trial_id, None)
        if running is None:
            running = _Running(Begun(trial, _now()), self.slots.gpus)
            if trial.stage == "confirm":
                log_opening(self.rows.folder, trial, self.plan.arms[trial.arm])
            self.unfinished.keep(running.begun)
        running.gpus = self.slots.gpus
        self.running[ray_id] = running
        return {"job": self.job, "trial": trial, "gpus": running.gpus}

    def report(self, ray_id: str, progress: Progress) -> bool:
        """Take in an epoch; True if the trial is to stop early."""
        running = self.running[ray_id]
        running.last = progress
        self._busy[ray_id] = progress.seconds - progress.earlier_seconds
        trial = running.begun.trial
        curve = {epoch.epoch: epoch.val_auc for epoch in progress.epochs}
        stop = self.plan.arms[trial.arm].report(trial, curve)
        running.pruned = stop and not progress.done
        running.begun.epochs = len(progress.epochs)
        running.begun.where = progress.where
        if not (stop or progress.done):
            self.unfinished.keep(running.begun)
        return running.pruned

    def crash(self, ray_id: str, error: str) -> None:
        """Let a trial go on from its last epoch, or end it as failed after too many crashes.

        That its machine was lost is no fault of a trial's; nor is too little of a GPU's memory,
        as long as fewer trials can share one.
        """
        running = self.running[ray_id]
        begun = running.begun
        if _lost_machine(error):
            begun.preemptions += 1
        elif is_out_of_memory(error) and 0 < running.gpus < 1:
            if running.gpus == self.slots.gpus:  # or another has lowered the packing already
                self.slots = self.slots.with_fewer_on_a_gpu()
        else:
            begun.crashes += 1
        if begun.crashes >= _ATTEMPTS:
            self.finish(ray_id, error.splitlines()[-1])
            return
        del self.running[ray_id]
        self.unfinished.keep(begun)
        self.interrupted[begun.trial.trial_id] = running
        self.plan.arms[begun.trial.arm].interrupt(begun.trial)

    def finish(self, ray_id: str, error: str | None = None) -> None:
        """Write the rows of a trial that has ended, then tell the plan."""
        running = self.running.pop(ray_id)
        trial, last = running.begun.trial, running.last
        row = _trial_row(running, error)
        epochs = last.epochs if last else []
        self.rows.write(row, epochs, last.predictions if last and not error else [])
        self.unfinished.remove(trial.trial_id)
        curve = {epoch.epoch: epoch.val_auc for epoch in epochs}
        ended = Finished.of(trial, row["status"], row.get("val_auc"), curve)
        self.plan.arms[trial.arm].finish(trial, ended)
        self.on_finished(ended, row)


class _PlanSearcher(Searcher):
    def __init__(self, bridge: _Bridge) -> None:
        super().__init__()
        self.bridge = bridge

    def suggest(self, trial_id: str) -> Any:
        return self.bridge.next(trial_id)

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Rows are written by the callback, which is told the error too."""


class _PlanScheduler(FIFOScheduler):
    def __init__(self, bridge: _Bridge) -> None:
        super().__init__()
        self.bridge = bridge

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        stop = self.bridge.report(trial.trial_id, result[PROGRESS])
        return TrialScheduler.STOP if stop else TrialScheduler.CONTINUE

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """The trial that waits; the base class looks for it among all that there ever were."""
        live = tune_controller.get_live_trials()
        return next((trial for trial in live if trial.status == trial.PENDING), None)


class _RowWriter(tune.Callback):
    def __init__(self, bridge: _Bridge) -> None:
        self.bridge = bridge

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        progress = result.pop(PROGRESS)  # or Tune would keep the predictions of every trial
        if progress.done:  # Tune does not ask the scheduler about a last report
            self.bridge.report(trial.trial_id, progress)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.bridge.finish(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.bridge.crash(trial.trial_id, _error_text(trial.error_file))


class _Watch(tune.Callback):
    """Looks at the cluster now and then: how many slots it has, and whether it is there at all.

    Tune would wait for ever for a Ray whose node with this process has died.
    """

    def __init__(self, bridge: _Bridge) -> None:
        self.bridge, self.slots = bridge, bridge.slots
        self.node = ray.get_runtime_context().get_node_id()
        self.looked = time.monotonic()
        self.there = self.slots.there(_machines(ray.nodes()))
        self._slot_seconds = 0.0
        bridge.on_slots(self.there, self.slots.count)

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if time.monotonic() < self.looked + _LOOK_EVERY:
            return
        self._slot_seconds, self.looked = self.slot_seconds(), time.monotonic()
        nodes = ray.nodes()
        if not any(node["NodeID"] == self.node and node["Alive"] for node in nodes):
            raise _RayDiedError
        slots = self.bridge.slots
        there = slots.there(_machines(nodes))
        if (there, slots) != (self.there, self.slots):
            self.there, self.slots = there, slots
            self.bridge.on_slots(there, slots.count)

    def slot_seconds(self) -> float:
        """Time that there were slots so far, all slots together."""
        return self._slot_seconds + self.there * (time.monotonic() - self.looked)


def _trial_row(running: _Running, error: str | None) -> dict[str, Any]:
    trial, last, ended_at = running.begun.trial, running.last, _now()
    started_at = running.begun.started_at
    row: dict[str, Any] = {
        "trial_id": trial.trial_id,
        "arm": str(trial.arm),
        "variant": trial.arm.variant,
        "backbone": trial.arm.backbone,
        "stage": trial.stage,
        "number": trial.number,
        "confirmation": trial.confirmation if trial.stage == "confirm" else None,
        "status": "failed" if error else "pruned" if running.pruned else "completed",
        "seed": trial.seed,
        **trial.params,
        "epochs": len(last.epochs) if last else 0,
        "crashes": running.begun.crashes,
        "preemptions": running.begun.preemptions,
        "error": error,
        "started_at": started_at,
        "ended_at": ended_at,
        "seconds": last.seconds if last else (ended_at - started_at).total_seconds(),
        "gpus": running.gpus,
    }
    if last is None:
        return row
    for name in ("images_per_second", "node", "device", "gpu_id", "peak_memory_mb"):
        row[name] = getattr(last, name)
    if last.best is None:
        row["error"] = error or f"diverged: the loss was not finite in epoch {len(last.epochs)}"
        return row
    row |= {"best_epoch": last.best.epoch, "val_auc": last.best.val_auc}
    for made in last.predictions:
        if made.split == "test" and not error:
            row |= {f"test_{name}": value for name, value in made.metrics().items()}
    return row


def _error_text(path: str | None) -> str:
    """The traceback in a file."""
    text = Path(path).read_text().strip() if path and Path(path).exists() else ""
    return text or "the worker process ended without a word"


def _lost_machine(error: str) -> bool:
    """Whether a trial ended because the Ray node it ran on has died or was taken back."""
    return any(text in error for text in _LOST)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
