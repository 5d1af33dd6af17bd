"""How an arm's best hyperparameters are chosen: by what a trial is judged, after which repeats.

The highest of a hundred noisy validation AUCs is mostly luck. So a trial is judged by the mean of
the last tenth of its epochs, and the best few of a search are trained again with other seeds before
one of them is chosen, all within the same budget (tests/benchmarks/selection.py).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tuning.study.spec import FEWEST_TO_REPEAT
from tuning.study.trial import Stage, Status, Trial, TrialResult

JUDGES = ("end", "best")
_SEEDS_EACH = 2  # with which a finalist is trained once more
_SEED = 10_000  # added to the search's for the first repeat of a finalist, and so on


@dataclass(frozen=True)
class Selection:
    """The rule of a study.

    Attributes:
        finalists: how many of the best are trained again.
        judge: `end`, the mean AUC of a trial's last tenth of epochs; `best`, of its best epoch, as
            in versions before 0.2.
    """

    finalists: int = 3
    judge: str = "end"

    def repeats(self, trials: int) -> int:
        """How many of an arm's trials are repeats: half of them at most.

        >>> [Selection().repeats(trials) for trials in (3, 4, 9, 30)]
        [0, 2, 4, 6]
        """
        if trials < FEWEST_TO_REPEAT:
            return 0
        return min(_SEEDS_EACH * self.finalists, trials // 2)

    def value(self, curve: Mapping[int, float], epoch: int, epochs: int) -> float:
        """What a trial is worth after an epoch: a running mean, or the AUC of that epoch.

        Args:
            curve: validation AUC by epoch, from 1.
            epochs: of a whole trial, a tenth of which is averaged.
        """
        if self.judge == "best":
            return curve[epoch]
        first = max(1, epoch - math.ceil(epochs / 10) + 1)
        return math.fsum(curve[each] for each in range(first, epoch + 1)) / (epoch - first + 1)

    def score(self, result: TrialResult, epochs: int) -> float | None:
        """What a trial that ended is worth; None for one that failed or diverged."""
        if result.status == Status.FAILED or result.val_auc is None or math.isnan(result.val_auc):
            return None
        if self.judge == "best" or not result.curve:
            return result.val_auc
        return self.value(result.curve, max(result.curve), epochs)

    def best(self, results: Iterable[TrialResult], epochs: int) -> TrialResult | None:
        """The search trial whose hyperparameters are chosen.

        Of those that completed more than once if any did, by the mean over seeds; else of those
        that completed; else of those that were stopped early.
        """
        settings = self._settings(results, epochs)
        most = max((min(len(each.completed), 2) for each in settings), default=0)
        eligible = [each for each in settings if min(len(each.completed), 2) == most]
        return max(eligible, key=_Setting.rank).first if eligible else None

    def next_repeat(
        self, results: Iterable[TrialResult], begun: Iterable[Trial], epochs: int
    ) -> tuple[Mapping[str, Any], int] | None:
        """Hyperparameters and seed of a finalist that lacks a repeat: a seed for all, then another.

        Finalists are chosen by their first runs, those that completed before those that were
        stopped early: a repeat that disappoints makes no room for another finalist.

        Args:
            results: search trials that ended.
            begun: all that were handed out.
        """
        settings = sorted(self._settings(results, epochs), key=_Setting.first_rank, reverse=True)
        known = {(_key(trial.params), trial.seed) for trial in begun}
        for again in range(_SEEDS_EACH):
            for each in settings[: self.finalists]:
                first = each.first.trial
                seed = first.seed + _SEED + again
                if (_key(first.params), seed) not in known:
                    return first.params, seed
        return None

    def _settings(self, results: Iterable[TrialResult], epochs: int) -> list["_Setting"]:
        """Hyperparameters of search trials that can be used, with the scores of their runs."""
        settings: dict[str, _Setting] = {}
        for result in sorted(results, key=lambda each: each.trial.number):
            score = self.score(result, epochs)
            if result.trial.stage != Stage.SEARCH or score is None:
                continue
            setting = settings.setdefault(_key(result.trial.params), _Setting(result, score))
            if result.status == Status.COMPLETED:
                setting.completed.append(score)
        return list(settings.values())


@dataclass
class _Setting:
    """Hyperparameters that were tried, once or several times."""

    first: TrialResult
    first_score: float
    completed: list[float] = field(default_factory=list)  # scores of runs that completed

    def rank(self) -> tuple[float, int]:
        scores = self.completed or [self.first_score]
        return math.fsum(scores) / len(scores), -self.first.trial.number

    def first_rank(self) -> tuple[bool, float, int]:
        completed = self.first.status == Status.COMPLETED
        return completed, self.first_score, -self.first.trial.number


DEFAULT = Selection()
AS_BEFORE = Selection(finalists=0, judge="best")  # of studies of versions before 0.2


def is_repeat(trial: Trial, seed: int) -> bool:
    """Whether a search trial trains a finalist again.

    Args:
        seed: of the search.
    """
    return trial.stage == Stage.SEARCH and trial.seed != seed


def _key(params: Mapping[str, Any]) -> str:
    return repr(sorted(params.items()))
