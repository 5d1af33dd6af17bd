"""What to train next, and what each result means: the fair division of a study's budget.

Knows nothing of Ray or of files. Each arm has an Optuna study of its own, with its own sampler
and its own successive-halving rungs, so that no arm's trials are ever judged by another arm's.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from masll.variants import PARTS
from tuning.space import Space, of_variant

# Successive halving (Li et al., "A System for Massively Parallel Hyperparameter Tuning", 2020): a
# trial is judged after a ninth and a third of its epochs, and goes on if it is in the best third
# of those that came so far. Earlier it would be judged in its warm-up, later little is saved.
_REDUCTION = 3
optuna.logging.set_verbosity(optuna.logging.WARNING)

_DIVERGED = 0.0  # told to Optuna as the AUC of a trial whose loss is not finite: worse than any


class Arm(NamedTuple):
    """One variant on one backbone: the unit that gets a budget."""

    variant: str
    backbone: str

    def __str__(self) -> str:
        return f"{self.variant}/{self.backbone}"

    @property
    def localizes(self) -> bool:
        """Whether the arm has SLL, and so boxes and a threshold scale."""
        return PARTS[self.variant].localizes


@dataclass(frozen=True)
class Trial:
    """One training run of an arm with one set of hyperparameters and one seed."""

    arm: Arm
    stage: str  # search or confirm
    number: int  # from 0, within arm, stage and confirmation
    seed: int
    params: Mapping[str, Any]  # what the arm's space names
    confirmation: int = 1  # 2 and more after the test set was opened again, on demand

    @property
    def trial_id(self) -> str:
        """The same for the same place in the plan, whenever the study is resumed."""
        again = f"-{self.confirmation}" * (self.confirmation > 1)
        return f"{self.arm.variant}.{self.arm.backbone}.{self.stage}{again}.{self.number:04d}"

    @property
    def model_folder(self) -> str:
        """Where its model is kept, from the study's folder; an earlier confirmation's stays."""
        again = f"-confirmation-{self.confirmation}" * (self.confirmation > 1)
        return f"models/{self.arm}/seed-{self.seed}{again}"


class Finished(NamedTuple):
    """How a trial ended, as its rows on disk tell it."""

    arm: Arm
    stage: str
    number: int
    params: Mapping[str, Any]
    status: str  # completed, pruned or failed
    val_auc: float | None  # of the chosen epoch
    curve: Mapping[int, float]  # validation AUC by epoch
    confirmation: int = 1

    @classmethod
    def of(
        cls, trial: Trial, status: str, val_auc: float | None, curve: Mapping[int, float]
    ) -> "Finished":
        """The end of a trial."""
        return cls(
            trial.arm, trial.stage, trial.number, trial.params, status, val_auc, curve,
            trial.confirmation,
        )  # fmt: skip


@dataclass
class ArmPlan:
    """One arm's search and confirmation."""

    arm: Arm
    space: Space
    trials: int
    epochs: int
    seeds: int
    seed: int
    sampler: str
    scheduler: str
    confirmations: int = 1  # how often the test set may be opened
    finished: list[Finished] = field(default_factory=list)
    running: dict[str, Trial] = field(default_factory=dict)  # by trial_id
    waiting: list[Trial] = field(default_factory=list)  # begun, interrupted, to be gone on with
    searching: bool = True  # no more search trials are started once this is off
    epochs_trained: int = 0

    def __post_init__(self) -> None:
        self.space = of_variant(self.space, self.arm.variant)
        pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
        if self.scheduler == "asha":
            pruner = optuna.pruners.SuccessiveHalvingPruner(self._first_rung, _REDUCTION)
        self.study = optuna.create_study(
            study_name=str(self.arm), direction="maximize", pruner=pruner
        )
        self._asked: dict[str, optuna.Trial] = {}
        self._told: dict[str, int] = {}  # last epoch told to Optuna, by trial_id
        self._begun: dict[tuple[str, int], set[int]] = {}  # numbers by stage and confirmation

    @property
    def _first_rung(self) -> int:
        return max(1, self.epochs // _REDUCTION**2)

    def count(self, stage: str, status: str | None = None) -> int:
        """Trials of a stage that ended, with one status or any."""
        return sum(f.stage == stage and status in (None, f.status) for f in self.finished)

    @property
    def best(self) -> Finished | None:
        """The search trial with the highest validation AUC; a completed one if there is any."""
        usable = [f for f in self.finished if f.stage == "search" and _usable(f)]
        completed = [f for f in usable if f.status == "completed"]
        return max(completed or usable, key=lambda f: (f.val_auc, -f.number), default=None)

    @property
    def spent(self) -> tuple[int, int]:
        """The arm's share of the budget so far: trials begun, then epochs trained."""
        return sum(map(len, self._begun.values())), self.epochs_trained

    def next(self) -> Trial | None:
        """The arm's next trial; None when it has to wait for running ones, or is done."""
        trial = self.waiting.pop(0) if self.waiting else self._next_search()
        if trial is None and not self._searches:
            trial = self._next_confirm()
        if trial is not None:
            self._begin(trial)
            self.running[trial.trial_id] = trial
        return trial

    @property
    def done(self) -> bool:
        """Whether nothing is running and `next` would hand out nothing more."""
        if self.running or self.waiting:
            return False
        if self.searching and self._next_number("search", self.trials) is not None:
            return False
        return self._next_confirm() is None

    def report(self, trial: Trial, curve: Mapping[int, float]) -> bool:
        """Tell the validation AUC by epoch so far; True if the trial is to stop early.

        Epochs that were told before are passed over, and the newest one decides: what was
        trained beyond a rung was let pass there.
        """
        stop = False
        for epoch in range(self._told.get(trial.trial_id, 0) + 1, max(curve) + 1):
            self._told[trial.trial_id] = epoch
            self.epochs_trained += 1
            if trial.stage == "search":
                asked = self._asked[trial.trial_id]
                asked.report(_told(curve[epoch]), epoch)
                stop = epoch <= self.epochs // 2 and asked.should_prune()
        return stop

    def interrupt(self, trial: Trial) -> None:
        """A running trial has crashed, and is to be gone on with."""
        self.waiting.append(self.running.pop(trial.trial_id))

    def finish(self, trial: Trial, ended: Finished) -> None:
        """Tell how a running trial ended."""
        del self.running[trial.trial_id]
        self.finished.append(ended)
        self._told.pop(trial.trial_id, None)
        if trial.stage == "search":
            state = _STATES[ended.status]
            value = _told(ended.val_auc) if state == TrialState.COMPLETE else None
            self.study.tell(self._asked.pop(trial.trial_id), value, state)

    def replay(self, ended: Finished) -> None:
        """Take in a trial that an earlier run of the study finished."""
        self.finished.append(ended)
        self._begun.setdefault((ended.stage, ended.confirmation), set()).add(ended.number)
        self.epochs_trained += len(ended.curve)
        if ended.stage == "search":
            self.study.add_trial(self.frozen(ended))

    def resume(self, trial: Trial) -> None:
        """Take in a trial that an earlier run of the study has begun and not finished."""
        self._begin(trial)
        if trial.stage == "search":
            self.study.enqueue_trial(dict(trial.params))
            self._asked[trial.trial_id] = self.study.ask(self._distributions())
        self.waiting.append(trial)

    @property
    def opened(self) -> int:
        """Confirmations of the arm that have begun."""
        return max((again for stage, again in self._begun if stage == "confirm"), default=0)

    @property
    def _searches(self) -> bool:
        return any(t.stage == "search" for t in self.running.values())

    def _begin(self, trial: Trial) -> None:
        self._begun.setdefault((trial.stage, trial.confirmation), set()).add(trial.number)

    def _next_search(self) -> Trial | None:
        number = self._next_number("search", self.trials) if self.searching else None
        if number is None:
            return None
        # A sampler for each trial: its draws depend on the seed, the arm, the number and the
        # trials known so far, not on how often the study was stopped and resumed.
        words = [self.seed, number, *str(self.arm).encode()]
        seed = int(np.random.SeedSequence(words).generate_state(1)[0])
        self.study.sampler = _SAMPLERS[self.sampler](seed)
        if number == 0:  # the paper's setting is the first trial of every arm
            self.study.enqueue_trial({p.name: p.default for p in self.space})
        asked = self.study.ask(self._distributions())
        trial = Trial(self.arm, "search", number, self.seed, dict(asked.params))
        self._asked[trial.trial_id] = asked
        return trial

    def _next_confirm(self) -> Trial | None:
        """A seed of the first confirmation that lacks one, once the search has ended."""
        for confirmation in range(1, self.confirmations + 1):
            params = self._confirmed_params(confirmation)
            number = self._next_number("confirm", self.seeds, confirmation)
            if params is not None and number is not None:
                # Search trials run with `seed` itself: the confirmation draws afresh.
                seed = self.seed + 1 + number
                return Trial(self.arm, "confirm", number, seed, params, confirmation)
        return None

    def _confirmed_params(self, confirmation: int) -> Mapping[str, Any] | None:
        """The best hyperparameters as they were when a confirmation began.

        A search that goes on later may find better ones, but the test set has been opened. None
        where there is nothing to confirm, or nothing else than was confirmed before.
        """
        begun: list[Finished | Trial] = [*self.finished, *self.running.values(), *self.waiting]
        params = {one.confirmation: one.params for one in begun if one.stage == "confirm"}
        if confirmation in params:
            return params[confirmation]
        best = self.best
        return None if best is None or best.params in params.values() else best.params

    def _next_number(self, stage: str, budget: int, confirmation: int = 1) -> int | None:
        begun = self._begun.get((stage, confirmation), set())
        return next((number for number in range(budget) if number not in begun), None)

    def _distributions(self) -> dict[str, BaseDistribution]:
        return {p.name: p.distribution for p in self.space}

    def frozen(self, ended: Finished) -> FrozenTrial:
        """A finished search trial as the pruner and the sampler would have left it."""
        state = _STATES[ended.status]
        curve = {epoch: _told(auc) for epoch, auc in ended.curve.items()}
        rungs = {}
        if self.scheduler == "asha":
            rung_epochs = (self._first_rung * _REDUCTION**rung for rung in range(3))
            passed = [
                epoch for epoch in rung_epochs if epoch in curve and epoch <= self.epochs // 2
            ]
            rungs = {f"completed_rung_{rung}": curve[epoch] for rung, epoch in enumerate(passed)}
        return optuna.trial.create_trial(
            state=state,
            value=_told(ended.val_auc) if state == TrialState.COMPLETE else None,
            params={p.name: ended.params[p.name] for p in self.space},
            distributions=self._distributions(),
            intermediate_values=curve,
            system_attrs=rungs,
        )


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
        """Ids of trials that were interrupted, and are to be gone on with."""
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


_SAMPLERS: Mapping[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "gp": lambda seed: optuna.samplers.GPSampler(seed=seed),
}
_STATES = {
    "completed": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


def _told(val_auc: float | None) -> float:
    return _DIVERGED if val_auc is None or math.isnan(val_auc) else val_auc


def _usable(ended: Finished) -> bool:
    return ended.status != "failed" and ended.val_auc is not None and not math.isnan(ended.val_auc)
