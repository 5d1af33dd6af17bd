"""How far running trials are, and how long a study will still take.

What an epoch of an arm takes is known from its epochs so far; before the first of them from how far
its first epoch is (see `Pace`), and before that from the other arms.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tuning.plan import ArmPlan, StudyPlan
from tuning.study.rows import TrialRow
from tuning.study.trial import Stage, Trial
from tuning.trial_report import Pace, TrialReport


@dataclass
class Running:
    """A trial that runs now, as far as it has reported."""

    trial: Trial
    begun: float  # on the monotonic clock
    epochs: int = 0
    seconds: float = 0.0  # that these took, of a slot
    val_auc: float = math.nan  # of the last of them
    images_per_second: float = math.nan
    pace: Pace = field(default_factory=Pace)  # of the epoch that it is in

    @property
    def done(self) -> float:
        """Epochs; a trial that goes on after a checkpoint says more than it has reported."""
        return max(self.epochs, self.pace.epoch - 1) + self.pace.share


class Timing:
    """Keeps the times of the trials that run, and of those that ended in this run.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, plan: StudyPlan, clock: Callable[[], float] = time.monotonic) -> None:
        self.plan, self.clock = plan, clock
        self.started = clock()
        self._running: dict[str, Running] = {}
        self._seconds: dict[str, float] = {}  # by arm, of trials that ended in this run
        self._epochs: dict[str, int] = {}  # likewise

    def begin(self, trial: Trial) -> None:
        """A trial was handed out."""
        self._running[trial.trial_id] = Running(trial, self.clock())

    def report(self, trial: Trial, report: TrialReport) -> None:
        """A trial has reported an epoch."""
        running = self._running.setdefault(trial.trial_id, Running(trial, self.clock()))
        running.epochs, running.seconds = len(report.epochs), report.seconds
        running.val_auc = report.epochs[-1].val_auc if report.epochs else math.nan
        running.images_per_second = report.images_per_second
        running.pace = Pace()

    def hear(self, running: Running, pace: Pace) -> None:
        """A trial has said how far it is; what it said of an epoch that has ended is old."""
        if pace.epoch > running.epochs:
            running.pace = pace

    def end(self, row: TrialRow) -> None:
        """A trial has ended."""
        self._running.pop(row.trial_id, None)
        self._seconds[row.arm] = self._seconds.get(row.arm, 0) + row.seconds
        self._epochs[row.arm] = self._epochs.get(row.arm, 0) + max(1, row.epochs)

    @property
    def running(self) -> list[Running]:
        """Trials that run now, in the order of the arms."""
        there = {name for plan in self.plan.arms.values() for name in list(plan.running)}
        order = {arm: index for index, arm in enumerate(self.plan.arms)}
        now = [each for name, each in list(self._running.items()) if name in there]
        return sorted(now, key=lambda each: (order[each.trial.arm], each.trial.trial_id))

    def left_of(self, running: Running) -> float:
        """Seconds that a trial will still take, if it is not stopped early; nan if not known."""
        epochs = self.plan.arms[running.trial.arm].epochs
        return max(0.0, epochs - running.done) * self.epoch_seconds(str(running.trial.arm))

    def arm_left(self, plan: ArmPlan, slots: int) -> float:
        """Seconds that an arm will still take on so many slots; nan if not known."""
        seconds = self.epoch_seconds(str(plan.arm))
        return self._epochs_left(plan) * seconds / max(1, slots)

    def left(self, slots: int) -> float:
        """Likewise for the whole study, which takes as long as its longest trial at least."""
        arms = [self.arm_left(plan, slots) for plan in self.plan.arms.values() if not plan.done]
        trials = [self.left_of(running) for running in self.running]
        return max([math.fsum(arms), *trials])

    def epoch_seconds(self, arm: str) -> float:
        """What an epoch of an arm takes; nan as long as nothing is known of any arm."""
        own = self._known(arm)
        if own is not None:
            return own
        arms = (str(each) for each in self.plan.arms)
        known = [each for each in map(self._known, arms) if each is not None]
        return math.fsum(known) / len(known) if known else math.nan

    def _known(self, arm: str) -> float | None:
        """By the arm's epochs so far, or by how far its first ones are."""
        own = [each for each in list(self._running.values()) if str(each.trial.arm) == arm]
        epochs = self._epochs.get(arm, 0) + sum(each.epochs for each in own)
        if epochs:
            return (self._seconds.get(arm, 0.0) + sum(each.seconds for each in own)) / epochs
        paces = [each.pace for each in own if each.pace.share > 0]
        return math.fsum(p.seconds / p.share for p in paces) / len(paces) if paces else None

    def _epochs_left(self, plan: ArmPlan) -> float:
        """Epochs of an arm that are still to train; of search trials as many as those before."""
        ended = [result for result in plan.results if result.trial.stage == Stage.SEARCH]
        trained = [len(result.curve) for result in ended]
        usual = sum(trained) / len(trained) if trained else float(plan.epochs)
        searches = plan.trials - len(ended) if plan.searching else 0
        confirms = max(0, plan.seeds - plan.count(Stage.CONFIRM))  # below 0 when confirmed again
        left = searches * usual + confirms * plan.epochs
        for each in self._of(plan):
            whole = usual if each.trial.stage == Stage.SEARCH else plan.epochs
            left -= min(whole, each.done)
        return max(0.0, left)

    def _of(self, plan: ArmPlan) -> Iterator[Running]:
        return (each for each in self.running if each.trial.arm == plan.arm)
