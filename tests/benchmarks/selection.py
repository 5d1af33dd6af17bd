"""What the choice of hyperparameters loses: regret on a planted landscape, at an equal budget.

    python -m tests.benchmarks.selection [--studies 200]

The true AUC is .80 at a learning rate of .003 and a threshold scale of 1.2, and falls off to .60; a
run approaches it over its epochs. What is measured differs by the run (its seed) and by the epoch.
Regret is by how much the chosen hyperparameters are truly worth less than the best.
"""

import argparse
import math
import statistics
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from tuning.plan import ArmPlan
from tuning.quiet import quiet_optuna
from tuning.selection import AS_BEFORE, Selection
from tuning.space import DEFAULT_SPACE
from tuning.study.arm import Arm
from tuning.study.trial import Stage, Status, TrialResult

TRIALS, EPOCHS = 30, 100
BEST = 0.80
_WIDTH = 2.0  # of the peak, in decades and in threshold scales
RULES = {
    "best epoch, no repeats (before)": AS_BEFORE,
    "last tenth, no repeats": Selection(finalists=0),
    "best epoch, 3 finalists": Selection(judge="best"),
    "last tenth, 3 finalists": Selection(),
}


class Outcome(NamedTuple):
    regret: float
    epochs: int  # that the search took


def true_auc(params: Mapping[str, float]) -> float:
    """What hyperparameters are worth: .60 to .80."""
    miss = ((math.log10(params["lr"]) - math.log10(0.003)) / _WIDTH) ** 2
    miss += ((params.get("threshold_scale", 1.2) - 1.2) / _WIDTH) ** 2
    return 0.6 + (BEST - 0.6) * math.exp(-miss)


def searched(selection: Selection, seed: int, noise: float, of_run: float) -> Outcome:
    """One arm's search.

    Args:
        noise: standard deviation over epochs of what is measured.
        of_run: over runs.
    """
    rng = np.random.default_rng(seed)
    plan = ArmPlan(
        Arm("gated-fusion", "planted"),
        DEFAULT_SPACE,
        trials=TRIALS,
        epochs=EPOCHS,
        seeds=1,
        seed=seed,
        sampler="tpe",
        scheduler="asha",
        selection=selection,
    )
    while (trial := plan.next()) is not None and trial.stage == Stage.SEARCH:
        worth = true_auc(trial.params) + of_run * rng.normal()
        curve: dict[int, float] = {}
        status = Status.COMPLETED
        for epoch in range(1, EPOCHS + 1):
            reached = 1 - 0.4 * math.exp(-epoch / 15)
            curve[epoch] = 0.5 + (worth - 0.5) * reached + noise * rng.normal()
            if plan.report(trial, curve):
                status = Status.PRUNED
                break
        plan.finish(TrialResult(trial, status, max(curve.values()), curve))
    assert trial is not None
    return Outcome(BEST - true_auc(trial.params), plan.epochs_trained)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=200)
    options = parser.parse_args()
    quiet_optuna()
    print(f"{TRIALS} trials of {EPOCHS} epochs, {options.studies} studies")
    print("noise of epochs, of runs  rule                              regret  worst tenth  epochs")
    for noise, of_run in ((0.04, 0.0), (0.04, 0.01), (0.04, 0.02)):
        for name, selection in RULES.items():
            found = [searched(selection, seed, noise, of_run) for seed in range(options.studies)]
            regrets = sorted(each.regret for each in found)
            worst = statistics.mean(regrets[-max(1, len(regrets) // 10) :])
            epochs = statistics.mean(each.epochs for each in found)
            print(
                f"{noise:15.2f} {of_run:8.2f}  {name:32} {statistics.mean(regrets):7.4f} "
                f"{worst:12.4f} {epochs:7.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
