"""How much each searched hyperparameter matters to the validation AUC, arm by arm."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
import pandas as pd
from optuna.importance import (
    BaseImportanceEvaluator,
    FanovaImportanceEvaluator,
    PedAnovaImportanceEvaluator,
)

from ablations.rows import Study
from tuning.study.space import Parameter, of_arm
from tuning.study.trial import Stage, Status

# By the name that a figure shows. They answer different questions and often disagree.
EVALUATORS: Mapping[str, Callable[[], BaseImportanceEvaluator]] = {
    "fANOVA: over the whole space": lambda: FanovaImportanceEvaluator(n_trees=32, seed=0),
    "PED-ANOVA: to be among the best": PedAnovaImportanceEvaluator,
}
FEWEST = 10  # trials of an arm; fewer say nothing of importance
MOST = 256  # trials of an arm, drawn from more: fANOVA's time grows with their square


def quiet_optuna() -> None:
    """No line for each study that is created; for commands to call."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def parameter_importance(study: Study) -> pd.DataFrame:
    """Importance of the searched parameters for the validation AUC.

    Over the search trials that completed: those stopped early have the AUC of fewer epochs. By
    Optuna's evaluators: fANOVA (Hutter et al. 2014) and PED-ANOVA (Watanabe et al. 2023).

    Returns:
        Columns arm, parameter, evaluator (of EVALUATORS), importance (of an arm and evaluator they
        sum to 1), trials (of more than MOST, as many drawn); no rows for an arm with fewer than
        FEWEST such trials, without differing ones, or of a study without a spec, which names the
        space. The only parameter of an arm has all importance.
    """
    columns = ["arm", "parameter", "evaluator", "importance", "trials"]
    rows: list[list[Any]] = []
    space = study.spec.space
    searched = study.stage(Stage.SEARCH)
    for arm, trials in searched[searched["status"] == Status.COMPLETED].groupby("arm"):
        own = of_arm(space, study.described[str(arm)])
        searched_here = [p for p in own if p.name in trials]
        known = trials.dropna(subset=["val_auc", *(p.name for p in searched_here)])
        if len(known) < FEWEST or known["val_auc"].nunique() == 1 or not searched_here:
            continue
        if len(searched_here) == 1:
            rows += [[arm, searched_here[0].name, name, 1.0, len(known)] for name in EVALUATORS]
            continue
        known = known.sample(min(len(known), MOST), random_state=0).sort_index()
        replayed = _replayed(known, searched_here)
        for name, evaluator in EVALUATORS.items():
            shares = optuna.importance.get_param_importances(replayed, evaluator=evaluator())
            rows += [
                [arm, parameter, name, share, len(known)] for parameter, share in shares.items()
            ]
    return pd.DataFrame(rows, columns=columns)


def _replayed(trials: pd.DataFrame, space: Sequence[Parameter]) -> optuna.Study:
    """An Optuna study in memory with these trials."""
    names = [p.name for p in space]
    distributions = {p.name: _distribution(p, trials[p.name]) for p in space}
    replayed = optuna.create_study(direction="maximize")
    replayed.add_trials(
        [
            optuna.trial.create_trial(
                params=dict(zip(names, values, strict=True)), distributions=distributions, value=auc
            )
            for auc, *values in trials[["val_auc", *names]].itertuples(index=False)
        ]
    )
    return replayed


def _distribution(parameter: Parameter, values: pd.Series) -> optuna.distributions.BaseDistribution:
    if parameter.type == "choice":
        return optuna.distributions.CategoricalDistribution(parameter.choices)
    # The first trial has the paper's setting, which may lie outside of the range.
    low, high = min(parameter.low, values.min()), max(parameter.high, values.max())
    if parameter.type == "int":
        return optuna.distributions.IntDistribution(int(low), int(high), log=parameter.log)
    return optuna.distributions.FloatDistribution(low, high, log=parameter.log)
