"""The books of a running study: the plan on one side, the files of the study on the other.

An engine asks for the next trial, passes on what a trial reports and how it ended; the ledger tells
the plan and writes the rows. Knows nothing of Ray: each trial has a name that the engine gives it.
"""

import dataclasses
import datetime
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, NamedTuple

from masll.results import UNDEFINED
from tuning.crowding import Crowding
from tuning.places import Places
from tuning.plan import StudyPlan
from tuning.slots import Slots
from tuning.study.openings import log_opening
from tuning.study.rows import TrialRow
from tuning.study.trial import Stage, Status, Trial, TrialResult
from tuning.study.unfinished import UnfinishedTrial, UnfinishedTrials
from tuning.study.writer import RowWriter
from tuning.trial_report import TrialReport, read_place

_ATTEMPTS = 3  # of a trial that crashes; a machine may fail it once or twice


class Cause(Enum):
    """Why a trial was interrupted."""

    ERROR = auto()  # its own, as far as anybody knows
    LOST_MACHINE = auto()  # its machine has died or was taken back: no fault of the trial's
    DISK = auto()  # full or read-only: nothing is to be done but to end the run
    CROWDED = auto()  # others have filled the memory of its machine: no fault of its
    MEMORY = auto()  # as long as fewer trials can share a GPU or machine, no fault of its either


class Assignment(NamedTuple):
    """A trial that was handed out."""

    trial: Trial
    gpus: float  # the share of a GPU that it has
    left_out: frozenset[str] = frozenset()  # places where it is not to be run


class Outcome(NamedTuple):
    """How a run of the study ended, beside the rows it wrote."""

    busy: float  # share of the slots' time in which they ran trials, 0 to 1
    ray_died: bool = False  # Ray's processes on this machine have ended, or lost their cluster
    hopeless: str | None = None  # the error that every trial ended with before its first epoch
    left_out: tuple[str, ...] = ()  # places that were broken, by name
    unwritable: str | None = None  # why the study's folder took no more
    crowded: str | None = None  # who has filled the memory, so that nothing could run
    failure: str | None = None  # what the engine ended the run with, in one line


@dataclass
class _Entry:
    """What is known of a trial between its start and its end."""

    unfinished: UnfinishedTrial
    slots: Slots  # as they were when it was handed out last
    report: TrialReport | None = None
    pruned: bool = False
    has_worked: bool = False  # an epoch has come since it was handed out last


class Ledger:
    """Hands out the plan's trials, and writes down what becomes of them.

    Args:
        search_ends: on the monotonic clock; no search trials are started after it.
        on_result: called for each trial that has ended, with its row in trials/.
        on_begin: called with each trial that is handed out.
        on_report: called with each epoch that a trial reports.
        on_slots: called with how many slots there are now, and how many there may come to be,
            whenever one of them changes.
        say: called with what went wrong and is dealt with, a line each.

    Attributes:
        hopeless: the error that every trial has ended with before its first epoch; None while that
            is not so.
        unwritable: why the study's folder takes no more; None while it does.
        crowded: who has filled the memory for so long that nothing runs; None while that is not so.
    """

    def __init__(
        self,
        plan: StudyPlan,
        writer: RowWriter,
        slots: Slots,
        *,
        on_result: Callable[[TrialResult, TrialRow], None],
        on_begin: Callable[[Trial], None] = lambda _: None,
        on_report: Callable[[Trial, TrialReport], None] = lambda *_: None,
        on_slots: Callable[[int, int], None] = lambda *_: None,
        say: Callable[[str], None] = lambda _: None,
        search_ends: float = math.inf,
    ) -> None:
        self.plan, self.writer, self.slots = plan, writer, slots
        self.on_result, self.on_slots, self.say = on_result, on_slots, say
        self.on_begin, self.on_report = on_begin, on_report
        self.search_ends = search_ends
        self.unfinished = UnfinishedTrials(writer.folder)
        self._interrupted = {
            each.trial.trial_id: _Entry(each, slots) for each in self.unfinished.all()
        }
        self.places = Places()
        self.crowding = Crowding()
        self.crowded: str | None = None
        self.hopeless: str | None = None
        self.unwritable: str | None = None
        self._running: dict[str, _Entry] = {}  # by the engine's name
        self._held: set[str] = set()  # names of slots in places that are left out
        self._busy: dict[str, float] = {}  # likewise, seconds

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its parts for a restore, but a study is rebuilt from its rows."""
        return {}

    @property
    def busy_seconds(self) -> float:
        """Time that trials have kept slots busy in this run."""
        return math.fsum(self._busy.values())

    def next(self, name: str) -> Assignment | None:
        """The next trial; None to wait for running ones, or when the plan is done."""
        if time.monotonic() > self.search_ends:
            self.plan.end_search()
        # An engine may know of more, as at the start.
        full = len(self._running) + self.held >= self.slots.count
        if self.ends or full or self.crowding.waits:
            return None
        trial = self.plan.next()
        if trial is None:
            return None
        entry = self._interrupted.pop(trial.trial_id, None)
        if entry is None:
            entry = _Entry(UnfinishedTrial(trial, _now()), self.slots)
        entry.slots, entry.has_worked = self.slots, False
        unfinished = entry.unfinished
        if not self._writes(lambda: self._write_begun(unfinished)):
            return None
        self._running[name] = entry
        self.on_begin(trial)
        return Assignment(trial, self.slots.gpus, frozenset(self.places.left_out))

    def _write_begun(self, unfinished: UnfinishedTrial) -> None:
        """What was asked of a trial; then that it is going to open the test set, if it is."""
        trial, folder = unfinished.trial, self.writer.folder
        self.unfinished.keep(unfinished)
        if trial.stage == Stage.CONFIRM:
            reason = self._reason_to_confirm(trial)
            log_opening(folder, trial, unfinished.started_at, reason)
        folder.place(trial.trial_id).unlink(missing_ok=True)

    def _writes(self, write: Callable[[], None]) -> bool:
        """Whether something could be written; if not, the run ends and keeps what is whole."""
        try:
            write()
        except OSError as error:
            where = error.filename or self.writer.folder
            self.unwritable = self.unwritable or f"cannot write {where}: {error.strerror}"
            return False
        return True

    @property
    def ends(self) -> bool:
        """Whether no more trials are handed out, though the plan has some."""
        return any(why is not None for why in (self.hopeless, self.unwritable, self.crowded))

    @property
    def held(self) -> int:
        """Slots that stand idle, as their place is left out."""
        return len(self._held)

    def hold(self, name: str, place: str) -> bool:
        """A slot is in a place that was left out: its trial goes elsewhere. False to let it go."""
        entry = self._running.pop(name, None)
        if entry is not None:
            self._give_back(entry)
        if self.plan.done or self.ends or place not in self.places.left_out:
            self._held.discard(name)
            return False
        self._held.add(name)
        return True

    def let_go(self) -> None:
        """All slots that there are stand idle: what is left of the machines gets trials again."""
        for place in sorted(self.places.left_out):
            self.say(f"{place} gets trials again: no other machine is left")
        self.places.left_out.clear()

    def report(self, name: str, report: TrialReport) -> bool:
        """Take in an epoch; True if the trial is to stop early."""
        entry = self._running[name]
        entry.report, entry.has_worked = report, True
        self.crowding.works()
        if self.places.works(str(report.node)):
            self.say(f"{report.node} works, and gets trials again")
        self._busy[name] = report.seconds - report.earlier_seconds
        self.on_report(entry.unfinished.trial, report)
        unfinished = entry.unfinished
        curve = {epoch.epoch: epoch.val_auc for epoch in report.epochs}
        stop = self.plan.arms[unfinished.trial.arm].report(unfinished.trial, curve)
        entry.pruned = stop and not report.done
        unfinished.epochs, unfinished.where = len(report.epochs), str(report.node)
        if not (stop or report.done):
            self._writes(lambda: self.unfinished.keep_soon(unfinished))
        return entry.pruned

    def crash(self, name: str, cause: Cause, error: str) -> None:
        """Let a trial go on from its last checkpoint, or end it as failed after too many crashes.

        Args:
            error: the traceback; its last line goes into the row.
        """
        entry = self._running.get(name)
        if entry is None:  # a slot that stood idle
            self._held.discard(name)
            return
        unfinished, reason = entry.unfinished, error.splitlines()[-1]
        if cause is Cause.LOST_MACHINE:
            unfinished.preemptions += 1
        elif cause is Cause.DISK:
            self.unwritable = self.unwritable or reason
        elif cause is Cause.CROWDED:
            self._make_room(entry.slots, reason)
        elif cause is Cause.MEMORY and self._with_fewer(entry.slots):
            pass
        elif entry.has_worked or self._is_charged(name, entry, reason):
            unfinished.crashes += 1
        if unfinished.crashes >= _ATTEMPTS and not self.hopeless:
            self.finish(name, reason)
            return
        del self._running[name]
        self._give_back(entry)

    def _give_back(self, entry: _Entry) -> None:
        """Let a trial wait until it is handed out again."""
        unfinished = entry.unfinished
        self._writes(lambda: self.unfinished.keep(unfinished))
        self._interrupted[unfinished.trial.trial_id] = entry
        self.plan.arms[unfinished.trial.arm].interrupt(unfinished.trial)

    def _make_room(self, slots: Slots, reason: str) -> None:
        """Run fewer trials at once, or none for a while, until others give memory back."""
        waited = self.crowding.waits
        if self._with_fewer(slots, reason) or waited:
            return
        seconds = self.crowding.full()
        if self.crowding.is_hopeless:
            self.crowded = reason
        else:
            self.say(f"{reason}; no trial starts for {seconds:.0f} s")

    def _with_fewer(self, slots: Slots, why: str = "memory has run out") -> bool:
        """Whether fewer trials run at once from now on, as memory has run out.

        Args:
            slots: as they were when the trial was handed out that it ran out in.
            why: what to say of it.
        """
        if slots == slots.with_fewer():  # it had the machine, or a GPU, for itself
            return False
        if slots == self.slots:  # or another has lowered it already
            self.slots = slots.with_fewer()
            self.say(f"{why}; from now on {self.slots}")
        return True

    def _is_charged(self, name: str, entry: _Entry, reason: str) -> bool:
        """Whether a crash before a first epoch is the trial's; or its place is left out."""
        trial_id = entry.unfinished.trial.trial_id
        place = read_place(self.writer.folder, trial_id)
        others = (o for n, o in self._running.items() if n != name and not o.has_worked)
        elsewhere = [
            read_place(self.writer.folder, other.unfinished.trial.trial_id) for other in others
        ]
        judgement = self.places.crashed(place, trial_id, elsewhere)
        if judgement.left_out:
            self.say(
                f"{place} is left out: trials crash there before their first epoch, and nowhere "
                f"else ({reason})"
            )
        for back in judgement.taken_back:
            self.say(f"{back} gets trials again: {trial_id} crashes elsewhere, too")
        if judgement.hopeless and entry.unfinished.crashes + 1 >= _ATTEMPTS:
            self.hopeless = reason
        return judgement.charged

    def finish(self, name: str, error: str | None = None) -> None:
        """Write the rows of a trial that has ended, then tell the plan."""
        entry = self._running.pop(name, None)
        if entry is None:  # a slot that stood idle
            self._held.discard(name)
            return
        trial, report = entry.unfinished.trial, entry.report
        if report is not None and _is_undefined(report):
            error = error or UNDEFINED
        row = _trial_row(entry, error)
        epochs = report.epochs if report else []
        predictions = report.predictions if report and not error else []

        def write() -> None:
            self.writer.write(row, epochs, predictions)
            self.unfinished.remove(trial.trial_id)

        if not self._writes(write):
            return
        curve = {epoch.epoch: epoch.val_auc for epoch in epochs}
        result = TrialResult(trial, row.status, row.val_auc, curve)
        self.plan.arms[trial.arm].finish(result)
        self.on_result(result, row)

    def _reason_to_confirm(self, trial: Trial) -> str:
        if trial.arm.is_default:
            return "confirms the default setting"
        plan = self.plan.arms[trial.arm]
        best, searched = plan.best, plan.count(Stage.SEARCH)
        auc = "" if best is None or best.val_auc is None else f", validation AUC {best.val_auc:.3f}"
        return f"confirms the best of {searched} search trials{auc}"


def _is_undefined(report: TrialReport) -> bool:
    """Whether nothing is known of how good a trial is, and not because it has diverged."""
    return not report.diverged and all(math.isnan(epoch.val_auc) for epoch in report.epochs)


def _trial_row(entry: _Entry, error: str | None) -> TrialRow:
    unfinished, report, ended_at = entry.unfinished, entry.report, _now()
    status = Status.FAILED if error else Status.PRUNED if entry.pruned else Status.COMPLETED
    values: dict[str, Any] = {
        "crashes": unfinished.crashes,
        "preemptions": unfinished.preemptions,
        "error": error,
        "started_at": unfinished.started_at,
        "ended_at": ended_at,
        "seconds": (ended_at - unfinished.started_at).total_seconds(),
        "gpus": entry.slots.gpus,
    }
    if report is not None:
        values |= _measured(report, unfinished.trial.stage, error)
    return TrialRow.of(unfinished.trial, status, **values)


def _measured(report: TrialReport, stage: Stage, error: str | None) -> dict[str, Any]:
    """Columns that a trial's last report fills."""
    values: dict[str, Any] = {
        "epochs": len(report.epochs),
        "seconds": report.seconds,
        "images_per_second": report.images_per_second,
        "node": report.node.name,
        "gpu_id": report.node.gpu_id,
        "device": report.device,
        "peak_memory_mb": report.peak_memory_mb,
    }
    if report.diverged:
        diverged = f"diverged: the loss was not finite in epoch {len(report.epochs)}"
        values["error"] = error or diverged
        # However good it was before: a setting that diverges is no setting to choose.
        if stage == Stage.SEARCH:
            return values
    if report.cost is not None:
        values |= dataclasses.asdict(report.cost)
    if report.best is None:
        return values
    values |= {"best_epoch": report.best.epoch, "val_auc": report.best.val_auc}
    for predictions in report.predictions:
        if predictions.split == "test" and not error:
            values |= {f"test_{name}": value for name, value in predictions.metrics().items()}
    return values


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
