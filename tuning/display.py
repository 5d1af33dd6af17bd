"""What a person sees while a study runs: a live screen, or lines where there is no terminal."""

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from masll.common.terminal import Terminal, fitting_table
from masll.common.times import duration
from tuning.plan import StudyPlan
from tuning.study.arm import short_names
from tuning.study.folder import StudyFolder
from tuning.study.rows import TrialRow
from tuning.study.trial import Stage, Status, Trial, TrialResult
from tuning.timing import Running, Timing
from tuning.trial_report import TrialReport, read_pace

_TICK = 1.0  # seconds: no more than a line in each where there is no terminal
_SILENCE = 30.0  # seconds after which a line says how far everything is
_POLL = 10.0  # seconds between looks at how far the epochs are that nothing was heard of
_BESIDE = 9  # lines of the live screen beside its rows: headings, rules, time


class StudyDisplay:
    """The state of a study, arm by arm and trial by trial, and the time left.

    Args:
        slots: that the study may have; a cluster may have to grow to them.
        folder: where workers say how far an epoch is; None to look nowhere.
    """

    def __init__(
        self, plan: StudyPlan, slots: int, console: Terminal, folder: StudyFolder | None = None
    ) -> None:
        self.plan, self.console, self.folder = plan, console, folder
        self.slots = self.available = slots
        self.timing = Timing(plan)
        self.names = short_names(plan.arms)
        self._ended: list[str] = []  # trials that no line has told of yet
        self._told = self.timing.clock()
        self._polled = self._told

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Keep the screen up to date, or write lines where there is no terminal."""
        ended = threading.Event()
        pulse = threading.Thread(target=self._beat_until, args=(ended,), daemon=True)
        pulse.start()
        try:
            if self._is_live:
                with Live(get_renderable=self.screen, console=self.console, refresh_per_second=2):
                    yield
            else:
                yield
        finally:
            ended.set()
            pulse.join()
            self._tell_ended()

    @property
    def _is_live(self) -> bool:
        """Whether there is a terminal: FORCE_COLOR makes none of a file."""
        return self.console.is_terminal and self.console.file.isatty()

    def _beat_until(self, ended: threading.Event) -> None:
        while not ended.wait(_TICK):
            self.beat()

    def beat(self) -> None:
        """Once a second: look how far epochs are; tell, without a terminal, of what has ended."""
        now = self.timing.clock()
        if self.folder is not None and now >= self._polled + _POLL:
            self._polled = now
            for running in self.timing.running:
                self.timing.hear(running, read_pace(self.folder, running.trial.trial_id))
        if self._is_live:
            return
        if self._ended:
            self._tell_ended()
        elif now >= self._told + _SILENCE:
            self.say(self._state())

    def set_slots(self, available: int, most: int) -> None:
        """Take in how many slots there are now, and how many there may be."""
        self.available, self.slots = available, most
        if not self._is_live and available != self.slots:
            self.say(self._waiting())

    def say(self, line: str) -> None:
        """Print a line, with the time, above the live screen where there is one."""
        self._told = self.timing.clock()
        self.console.say(line)

    def begin(self, trial: Trial) -> None:
        """Take in a trial that was handed out."""
        self.timing.begin(trial)

    def report(self, trial: Trial, report: TrialReport) -> None:
        """Take in an epoch of a trial."""
        self.timing.report(trial, report)

    def add(self, result: TrialResult, row: TrialRow) -> None:
        """Take in a trial that has ended; `beat` tells of it where there is no terminal."""
        self.timing.end(row)
        if not self._is_live:
            error = f"  {row.error}" if row.error else ""
            said = f"{row.status}  validation AUC {_auc(row.val_auc)}{error}"
            self._ended.append(f"{self._name(result.trial)}  {said}")

    def _tell_ended(self) -> None:
        told, self._ended = self._ended, []
        if told:
            self.say(f"{'; '.join(told)}  ({self._so_far()})")

    def _name(self, trial: Trial) -> str:
        return f"{self.names[trial.arm]}  {trial.stage} {trial.number + 1}"

    def _waiting(self) -> str:
        return f"{self.available} of {self.slots} slots there, waiting for machines"

    def _so_far(self) -> str:
        done = sum(len(plan.results) for plan in self.plan.arms.values())
        left = duration(self.timing.left(self.available))
        return f"{done} of {self.total()} trials, {left} left"

    def _state(self) -> str:
        """Everything in a line."""
        running = self.timing.running
        shown = [
            f"{self._name(each.trial)} epoch {_epoch(each, self._epochs(each.trial))}"
            + ("" if math.isnan(each.val_auc) else f" AUC {each.val_auc:.3f}")
            for each in running[:4]
        ]
        more = [f"{len(running) - 4} more"] * (len(running) > 4)
        return f"{self._so_far()}; running: {', '.join([*shown, *more]) or 'starting workers'}"

    def screen(self) -> RenderableType:
        """The live screen: time, a row an arm, a row a running trial."""
        elapsed = duration(self.timing.clock() - self.timing.started)
        grows = f"; {self._waiting()}" * (self.available < self.slots)
        head = f"{self._so_far()}, after {elapsed}{grows}"
        parts: list[RenderableType] = [Text(head), Text(), self.table()]
        running = self.timing.running
        room = max(3, self.console.height - len(self.plan.arms) - _BESIDE)
        if running:
            parts += [Text(), fitting_table(self.console, self._running_rows(running[:room]))]
            if len(running) > room:
                parts.append(Text(f"and {len(running) - room} more running"))
        elif not self.plan.done:
            parts += [Text(), Text("starting workers")]
        return Group(*parts)

    def table(self, *, time_left: bool = True) -> Table:
        """One row per arm; `time_left` makes sense while trials end in this process."""
        rows = []
        for plan in self.plan.arms.values():
            best, left = plan.best, self.timing.arm_left(plan, self.available)
            failed = (plan.count(stage, Status.FAILED) for stage in Stage)
            row = {
                "arm": self.names[plan.arm],
                "searched": f"{plan.count(Stage.SEARCH)} of {plan.trials}",
                "pruned": str(plan.count(Stage.SEARCH, Status.PRUNED)),
                "running": str(len(plan.running) + len(plan.waiting)),
                "failed": str(sum(failed)),
                "best AUC": _auc(best.val_auc if best else None),
                "confirmed": f"{plan.count(Stage.CONFIRM)} of {plan.seeds}",
            }
            rows.append({**row, "left": duration(left)} if time_left else row)
        return fitting_table(self.console, rows or [{"arm": ""}], ("pruned", "running"))

    def _running_rows(self, running: Sequence[Running]) -> list[dict[str, str]]:
        return [
            {
                "running": self.names[each.trial.arm],
                "stage": f"{each.trial.stage} {each.trial.number + 1}",
                "epoch": _epoch(each, self._epochs(each.trial)),
                "AUC": _auc(each.val_auc),
                "images/s": _rounded(each.images_per_second),
                "left": duration(self.timing.left_of(each)),
            }
            for each in running
        ]

    def _epochs(self, trial: Trial) -> int:
        return self.plan.arms[trial.arm].epochs

    def total(self) -> int:
        """Trials in the whole study."""
        return sum(plan.trials + plan.seeds for plan in self.plan.arms.values())


def _epoch(running: Running, epochs: int) -> str:
    """The epoch that a trial is in, and how much of it is done where that was heard."""
    share = f", {running.pace.share:.0%}" if running.pace.share else ""
    return f"{min(int(running.done) + 1, epochs)}/{epochs}{share}"


def _auc(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"


def _rounded(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0f}"


def counts(plan: StudyPlan) -> str:
    """Arms and trials of a study, in words."""
    searches = sum(arm.trials for arm in plan.arms.values())
    confirms = sum(arm.seeds for arm in plan.arms.values())
    finished = sum(len(arm.results) for arm in plan.arms.values())
    already = f", {finished} of them finished already" if finished else ""
    return f"{len(plan.arms)} arms, {searches} search and {confirms} confirm trials{already}"
