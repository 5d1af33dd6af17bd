"""One arm's search, as Optuna sees it: its own study, its own sampler, its own rungs."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from tuning.selection import Selection, is_repeat
from tuning.space import distribution
from tuning.study.arm import Arm
from tuning.study.space import Space
from tuning.study.spec import TPE_BEGINS
from tuning.study.trial import Stage, Status, Trial, TrialResult

# Successive halving (Li et al., "A System for Massively Parallel Hyperparameter Tuning", 2020): a
# trial is judged after a ninth and a third of its epochs, and goes on if it is in the best third
# of those that came so far. Earlier it would be judged in its warm-up, later little is saved.
_REDUCTION = 3
_DIVERGED = 0.0  # told to Optuna as the AUC of a trial whose loss is not finite: worse than any

_SAMPLERS: Mapping[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "tpe": lambda seed: optuna.samplers.TPESampler(n_startup_trials=TPE_BEGINS, seed=seed),
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "gp": lambda seed: optuna.samplers.GPSampler(seed=seed),
}
_STATES = {
    Status.COMPLETED: TrialState.COMPLETE,
    Status.PRUNED: TrialState.PRUNED,
    Status.FAILED: TrialState.FAIL,
}


class ArmSearch:
    """Draws an arm's hyperparameters, and says which of its trials stop early.

    What earlier runs of the study did is told to Optuna when it is first asked: who only looks at a
    study asks it nothing.
    """

    def __init__(
        self,
        arm: Arm,
        space: Space,
        *,
        epochs: int,
        seed: int,
        sampler: str,
        scheduler: str,
        selection: Selection,
    ) -> None:
        self.arm, self.space, self.selection = arm, space, selection
        self._epochs, self._seed, self._sampler = epochs, seed, sampler
        pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
        if scheduler == "asha":
            first_rung = max(1, epochs // _REDUCTION**2)
            pruner = optuna.pruners.SuccessiveHalvingPruner(first_rung, _REDUCTION)
        self._study = optuna.create_study(
            study_name=str(arm),
            direction="maximize",
            pruner=pruner,
            sampler=optuna.samplers.RandomSampler(0),  # `draw` has one for each trial
        )
        self._earlier: list[TrialResult | Trial] = []  # what Optuna has not been told yet
        self._trials: dict[str, optuna.Trial] = {}  # that run, by trial_id

    @property
    def study(self) -> optuna.Study:
        """The arm's study, which knows all trials so far."""
        self._catch_up()
        return self._study

    def _catch_up(self) -> None:
        earlier, self._earlier = self._earlier, []
        for each in earlier:
            if isinstance(each, TrialResult):
                self._replay(each)
            else:
                self._trials[each.trial_id] = self._ask_for(each.params)

    def draw(self, number: int) -> Trial:
        """The search trial of a number; the first one has the paper's setting."""
        # A sampler for each trial: its draws depend on the seed, the arm, the number and the
        # trials known so far, not on how often the study was stopped and resumed.
        words = [self._seed, number, *str(self.arm).encode()]
        seed = int(np.random.SeedSequence(words).generate_state(1)[0])
        study = self.study
        study.sampler = _SAMPLERS[self._sampler](seed)
        if number == 0:
            study.enqueue_trial({p.name: p.default for p in self.space})
        drawn = study.ask(self._distributions())
        trial = Trial(self.arm, Stage.SEARCH, number, self._seed, dict(drawn.params))
        self._trials[trial.trial_id] = drawn
        return trial

    def repeat(self, number: int, params: Mapping[str, Any], seed: int) -> Trial:
        """A finalist once more, with another seed."""
        trial = Trial(self.arm, Stage.SEARCH, number, seed, dict(params))
        self.resume(trial)
        return trial

    def resume(self, trial: Trial) -> None:
        """Take in a trial that an earlier run of the study has begun and not finished."""
        self._earlier.append(trial)

    def report(self, trial: Trial, epoch: int, curve: Mapping[int, float]) -> bool:
        """Tell what a trial is worth after an epoch; True if it is to stop early.

        Args:
            curve: validation AUC by epoch.
        """
        self._catch_up()
        return self._report(self._trials[trial.trial_id], trial, epoch, curve)

    def finish(self, result: TrialResult) -> None:
        """Tell how a trial ended."""
        self._catch_up()
        self._tell(self._trials.pop(result.trial.trial_id), result)

    def replay(self, result: TrialResult) -> None:
        """Take in a trial that an earlier run of the study finished."""
        self._earlier.append(result)

    def _replay(self, result: TrialResult) -> None:
        trial = self._ask_for(result.trial.params)
        for epoch in sorted(result.curve):
            self._report(trial, result.trial, epoch, result.curve)
        self._tell(trial, result)

    def frozen(self, result: TrialResult) -> FrozenTrial:
        """A finished trial, to be shown in another Optuna study."""
        state = _STATES[result.status]
        return optuna.trial.create_trial(
            state=state,
            value=_as_value(result.val_auc) if state == TrialState.COMPLETE else None,
            params={p.name: result.trial.params[p.name] for p in self.space},
            distributions=self._distributions(),
            intermediate_values={epoch: _as_value(auc) for epoch, auc in result.curve.items()},
        )

    def _ask_for(self, params: Mapping[str, Any]) -> optuna.Trial:
        self._study.enqueue_trial({p.name: params[p.name] for p in self.space})
        return self._study.ask(self._distributions())

    def _report(
        self, told: optuna.Trial, trial: Trial, epoch: int, curve: Mapping[int, float]
    ) -> bool:
        told.report(_as_value(self.selection.value(curve, epoch, self._epochs)), epoch)
        # Asked for a trial that is kept, too: others are judged by what it had at each rung.
        behind = epoch <= self._epochs // 2 and told.should_prune()
        return behind and not self._kept(trial)

    def _kept(self, trial: Trial) -> bool:
        """Whether a trial is never stopped early: the default setting, and a finalist's repeat."""
        if self.selection.judge == "best":  # as versions before 0.2 had it
            return False
        return trial.number == 0 or is_repeat(trial, self._seed)

    def _tell(self, trial: optuna.Trial, result: TrialResult) -> None:
        state = _STATES[result.status]
        score = self.selection.score(result, self._epochs)
        value = _as_value(score) if state == TrialState.COMPLETE else None
        self._study.tell(trial, value, state)

    def _distributions(self) -> dict[str, BaseDistribution]:
        return {p.name: distribution(p) for p in self.space}


def _as_value(val_auc: float | None) -> float:
    return _DIVERGED if val_auc is None or math.isnan(val_auc) else val_auc
