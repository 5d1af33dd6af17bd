"""What to train next, and what each result means: the fair division of a study's budget.

Knows nothing of Ray or of files. Each arm has a search of its own, so that no arm's trials are ever
judged by another arm's.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from tuning.arm_search import ArmSearch
from tuning.selection import DEFAULT, Selection, is_repeat
from tuning.study.arm import Arm
from tuning.study.space import Space, of_arm
from tuning.study.trial import Stage, Status, Trial, TrialResult


class ArmPlan:
    """One arm's search and confirmation.

    Attributes:
        results: of the trials that ended.
        running: trials that were handed out, by trial_id.
        waiting: trials that were interrupted, and are to be resumed.
        searching: whether search trials are still started.
        confirmations: how often the test set may be opened.
    """

    def __init__(
        self,
        arm: Arm,
        space: Space,
        *,
        trials: int,
        epochs: int,
        seeds: int,
        seed: int,
        sampler: str,
        scheduler: str,
        selection: Selection = DEFAULT,
    ) -> None:
        self.arm, self.space = arm, of_arm(space, arm)
        if not self.space:  # nothing to search: every trial would be the same one
            trials = 0
        self.trials, self.epochs, self.seeds, self.seed = trials, epochs, seeds, seed
        self.selection = selection
        self.search = ArmSearch(
            arm,
            self.space,
            epochs=epochs,
            seed=seed,
            sampler=sampler,
            scheduler=scheduler,
            selection=selection,
        )
        self.results: list[TrialResult] = []
        self.running: dict[str, Trial] = {}
        self.waiting: list[Trial] = []
        self.searching = True
        self.confirmations = 1
        self.epochs_trained = 0
        self._reported: dict[str, int] = {}  # last epoch taken in, by trial_id
        self._begun: dict[tuple[Stage, int], set[int]] = {}  # numbers by stage and confirmation

    def count(self, stage: Stage, status: Status | None = None) -> int:
        """Trials of a stage that ended, with one status or any."""
        return sum(
            result.trial.stage == stage and status in (None, result.status)
            for result in self.results
        )

    @property
    def best(self) -> TrialResult | None:
        """See `Selection.best`."""
        return self.selection.best(self.results, self.epochs)

    @property
    def spent(self) -> tuple[int, int]:
        """The arm's share of the budget so far: trials begun, then epochs trained."""
        return sum(map(len, self._begun.values())), self.epochs_trained

    @property
    def opened(self) -> int:
        """Confirmations of the arm that have begun."""
        return max((again for stage, again in self._begun if stage == Stage.CONFIRM), default=0)

    @property
    def done(self) -> bool:
        """Whether nothing is running and `next` would hand out nothing more."""
        if self.running or self.waiting:
            return False
        if self.searching and self._next_number(Stage.SEARCH, self.trials) is not None:
            return False
        return self._next_confirm() is None

    def next(self) -> Trial | None:
        """The arm's next trial; None when it has to wait for running ones, or is done."""
        trial = self.waiting.pop(0) if self.waiting else self._next_search()
        if trial is None and not any(t.stage == Stage.SEARCH for t in self.running.values()):
            trial = self._next_confirm()
        if trial is not None:
            self._begin(trial)
            self.running[trial.trial_id] = trial
        return trial

    def report(self, trial: Trial, curve: Mapping[int, float]) -> bool:
        """Take in the validation AUC by epoch so far; True if the trial is to stop early.

        Epochs that were taken in before are passed over, and the newest one decides: what was
        trained beyond a rung was let pass there.
        """
        stop = False
        for epoch in range(self._reported.get(trial.trial_id, 0) + 1, max(curve) + 1):
            self._reported[trial.trial_id] = epoch
            self.epochs_trained += 1
            if trial.stage == Stage.SEARCH:
                stop = self.search.report(trial, epoch, curve)
        return stop

    def interrupt(self, trial: Trial) -> None:
        """A running trial has crashed, and is to be resumed."""
        self.waiting.append(self.running.pop(trial.trial_id))

    def finish(self, result: TrialResult) -> None:
        """Take in how a running trial ended."""
        trial_id = result.trial.trial_id
        del self.running[trial_id]
        self.results.append(result)
        self._reported.pop(trial_id, None)
        if result.trial.stage == Stage.SEARCH:
            self.search.finish(result)

    def replay(self, result: TrialResult) -> None:
        """Take in a trial that an earlier run of the study finished."""
        self.results.append(result)
        self._begin(result.trial)
        self.epochs_trained += len(result.curve)
        if result.trial.stage == Stage.SEARCH:
            self.search.replay(result)

    def resume(self, trial: Trial) -> None:
        """Take in a trial that an earlier run of the study has begun and not finished."""
        self._begin(trial)
        if trial.stage == Stage.SEARCH:
            self.search.resume(trial)
        self.waiting.append(trial)

    def _begin(self, trial: Trial) -> None:
        self._begun.setdefault((trial.stage, trial.confirmation), set()).add(trial.number)

    def _next_search(self) -> Trial | None:
        """A trial that explores; once so many have ended, repeats of finalists.

        Where there are none to repeat, what is left of the budget explores.
        """
        number = self._next_number(Stage.SEARCH, self.trials) if self.searching else None
        if number is None:
            return None
        unfinished = [t for t in [*self.running.values(), *self.waiting] if t.stage == Stage.SEARCH]
        begun = [*(r.trial for r in self.results if r.trial.stage == Stage.SEARCH), *unfinished]
        explored = sum(not is_repeat(trial, self.seed) for trial in begun)
        if explored < self.trials - self.selection.repeats(self.trials):
            return self.search.draw(number)
        if any(not is_repeat(trial, self.seed) for trial in unfinished):
            return None
        repeat = self.selection.next_repeat(self.results, begun, self.epochs)
        if repeat is None:
            return None if unfinished else self.search.draw(number)
        return self.search.repeat(number, *repeat)

    def _next_confirm(self) -> Trial | None:
        """A seed of the first confirmation that lacks one, once the search has ended."""
        for confirmation in range(1, self.confirmations + 1):
            params = self._confirmed_params(confirmation)
            number = self._next_number(Stage.CONFIRM, self.seeds, confirmation)
            if params is not None and number is not None:
                # Search trials run with `seed` itself: the confirmation draws afresh.
                seed = self.seed + 1 + number
                return Trial(self.arm, Stage.CONFIRM, number, seed, params, confirmation)
        return None

    def _confirmed_params(self, confirmation: int) -> Mapping[str, Any] | None:
        """The best hyperparameters as they were when a confirmation began; none of an arm without.

        A search that goes on later may find better ones, but the test set has been opened. None
        where there is nothing to confirm, or nothing else than was confirmed before.
        """
        trials = [result.trial for result in self.results]
        begun = [*trials, *self.running.values(), *self.waiting]
        params = {t.confirmation: t.params for t in begun if t.stage == Stage.CONFIRM}
        if confirmation in params:
            return params[confirmation]
        if not self.space:
            chosen: Mapping[str, Any] | None = {}
        else:
            chosen = None if self.best is None else self.best.trial.params
        return None if chosen in params.values() else chosen

    def _next_number(self, stage: Stage, budget: int, confirmation: int = 1) -> int | None:
        begun = self._begun.get((stage, confirmation), set())
        return next((number for number in range(budget) if number not in begun), None)


class StudyPlan:
    """All arms of a study. They take turns, so that a study cut short is a fair one still."""

    def __init__(self, arms: Iterable[ArmPlan]) -> None:
        self.arms = {plan.arm: plan for plan in arms}

    @property
    def done(self) -> bool:
        """Whether every trial of the study has ended."""
        return all(plan.done for plan in self.arms.values())

    @property
    def waiting(self) -> set[str]:
        """Ids of trials that were interrupted, and are to be resumed."""
        return {trial.trial_id for plan in self.arms.values() for trial in plan.waiting}

    def next(self) -> Trial | None:
        """A trial that was interrupted, or one of the arm that has had least of its budget.

        None while all wait for running trials.
        """
        for plan in sorted(self.arms.values(), key=lambda plan: (not plan.waiting, plan.spent)):
            trial = plan.next()
            if trial is not None:
                return trial
        return None

    def end_search(self) -> None:
        """Start no more search trials; what was searched so far is confirmed."""
        for plan in self.arms.values():
            plan.searching = False
