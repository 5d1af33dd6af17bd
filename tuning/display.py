"""What a person sees while a study runs: a live table, or a line per trial without a terminal."""

import datetime
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.box import SIMPLE_HEAD
from rich.live import Live
from rich.table import Table
from rich.text import Text

from masll.common.escaping import for_terminal
from masll.common.terminal import Terminal
from tuning.plan import ArmPlan, StudyPlan
from tuning.study.rows import TrialRow
from tuning.study.trial import Stage, Status, TrialResult


class StudyDisplay:
    """The state of a study, arm by arm, and a guess at the time left."""

    def __init__(self, plan: StudyPlan, slots: int, console: Terminal) -> None:
        self.plan = plan
        self.slots = slots  # that the study may have; a cluster may have to grow to them
        self.available = slots
        self.console = console
        self.started = time.monotonic()
        self.seconds: dict[str, float] = {}  # spent by arm, on trials that ended in this run
        self.epochs: dict[str, int] = {}  # likewise

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Keep the table on screen, where the console is a terminal."""
        if not self._is_live:
            yield
            return
        with Live(get_renderable=self.table, console=self.console, refresh_per_second=2):
            yield

    @property
    def _is_live(self) -> bool:
        """Whether there is a terminal: FORCE_COLOR makes none of a file."""
        return self.console.is_terminal and self.console.file.isatty()

    def set_slots(self, available: int, most: int) -> None:
        """Take in how many slots there are now, and how many there may be."""
        self.available, self.slots = available, most
        if not self._is_live and available != self.slots:
            self.say(self._waiting())

    def say(self, line: str) -> None:
        """Print a line, with the time, above the live table where there is one."""
        self.console.print(
            f"{datetime.datetime.now():%H:%M:%S}  {for_terminal(line)}",
            soft_wrap=True,
        )

    def _waiting(self) -> str:
        return f"{self.available} of {self.slots} slots there, waiting for machines"

    def add(self, result: TrialResult, row: TrialRow) -> None:
        """Take in a trial that has ended; say so where there is no live table."""
        trial = result.trial
        arm = str(trial.arm)
        self.seconds[arm] = self.seconds.get(arm, 0) + row.seconds
        self.epochs[arm] = self.epochs.get(arm, 0) + max(1, row.epochs)
        if not self._is_live:
            auc = _auc(row.val_auc)
            done = sum(len(plan.results) for plan in self.plan.arms.values())
            self.say(
                f"{arm}  {trial.stage} {trial.number + 1}  {row.status}  validation AUC {auc}  "
                f"({done} of {self.total()}, {duration(self.time_left())} left)"
                + (f"  {row.error}" if row.error else "")
            )

    def table(self, *, time_left: bool = True) -> Table:
        """One row per arm; `time_left` makes sense while trials end in this process."""
        elapsed = duration(time.monotonic() - self.started)
        left = duration(self.time_left()) if time_left else ""
        grows = f"; {self._waiting()}" * (self.available < self.slots)
        table = Table(
            box=SIMPLE_HEAD,
            pad_edge=False,
            caption=f"{elapsed} so far, about {left} left{grows}" if time_left else None,
            caption_justify="left",
        )
        table.add_column("arm", overflow="fold")
        headings = ["searched", "pruned", "runs", "failed", "best AUC", "confirmed"]
        for heading in headings + ["left"] * time_left:
            table.add_column(heading, justify="right", no_wrap=True)
        for plan in self.plan.arms.values():
            best = plan.best
            cells: list[Text | str] = [
                Text(for_terminal(str(plan.arm))),
                f"{plan.count(Stage.SEARCH)} of {plan.trials}",
                str(plan.count(Stage.SEARCH, Status.PRUNED)),
                str(len(plan.running) + len(plan.waiting)),
                str(
                    plan.count(Stage.SEARCH, Status.FAILED)
                    + plan.count(Stage.CONFIRM, Status.FAILED)
                ),
                _auc(best.val_auc if best else None),
                f"{plan.count(Stage.CONFIRM)} of {plan.seeds}",
            ]
            table.add_row(*cells, *[duration(self.time_left(plan))] * time_left)
        return table

    def total(self) -> int:
        """Trials in the whole study."""
        return sum(plan.trials + plan.seeds for plan in self.plan.arms.values())

    def time_left(self, plan: ArmPlan | None = None) -> float:
        """Seconds of this study's slots that an arm, or all of them, will still need."""
        if plan is None:
            return sum(self.time_left(each) for each in self.plan.arms.values())
        if not self.epochs:
            return math.nan
        arm = str(plan.arm)
        if arm in self.epochs:
            per_epoch = self.seconds[arm] / self.epochs[arm]
        else:
            per_epoch = sum(self.seconds.values()) / sum(self.epochs.values())
        searches = plan.trials - plan.count(Stage.SEARCH) if plan.searching else 0
        searched = [len(r.curve) for r in plan.results if r.trial.stage == Stage.SEARCH]
        epochs = sum(searched) / len(searched) if searched else plan.epochs
        confirms = max(0, plan.seeds - plan.count(Stage.CONFIRM))  # below 0 when confirmed again
        return (searches * epochs + confirms * plan.epochs) * per_epoch / max(1, self.available)


def _auc(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"


def duration(seconds: float) -> str:
    """A time as a person says it."""
    if math.isnan(seconds):
        return "?"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def counts(plan: StudyPlan) -> str:
    """Arms and trials of a study, in words."""
    searches = sum(arm.trials for arm in plan.arms.values())
    confirms = sum(arm.seeds for arm in plan.arms.values())
    finished = sum(len(arm.results) for arm in plan.arms.values())
    already = f", {finished} of them finished already" if finished else ""
    return f"{len(plan.arms)} arms, {searches} search and {confirms} confirm trials{already}"
