"""Intervals of every figure beside the AUC, and paired differences to gated-fusion."""

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from ablations.differences import Floats, test_groups, test_scores
from ablations.formats import HEADINGS, Cells, number, with_interval
from ablations.rows import Study
from ablations.statistics import Estimate
from ablations.statistics.resampling import DrawnImages, drawn_arm, drawn_estimate

# Figures of the ablation table that images drawn again give intervals; the AUC's are DeLong's.
DRAWN = (
    "acc",
    "sen",
    "spe",
    "sen_at_spe_95",
    "sen_at_spe_90",
    "sen_at_spe_85",
    "average_precision",
)
# Figures that lie between 0 and 1, and whose intervals are to.
SHARES = frozenset((*DRAWN, "partial_auc", "brier", "ece", "ppv", "npv"))


class Drawn(NamedTuple):
    """The confirmed models of a study on its test images, drawn again."""

    images: DrawnImages
    scores: Mapping[str, Floats]  # arm to (seeds, n), of arms all of whose models have all scores
    figures: Mapping[str, Mapping[str, Floats]]  # arm, figure, (seeds, draws + 1)
    references: Mapping[str, str]  # arm to the one that it is compared with, where that is whole

    def reference_of(self, arm: str) -> str | None:
        """The arm that an arm is compared with; None where that is missing, or the arm itself."""
        return self.references.get(arm)

    def mean(self, figure: str, own: Floats) -> Estimate:
        """An arm's mean over seeds with its interval: from (seeds, draws + 1)."""
        return drawn_estimate(self.images, [own], [1.0], share=figure in SHARES)

    def minus(self, figure: str, own: Floats, other: Floats | None) -> Estimate:
        """The paired difference of two arms' means; all nan without the other."""
        if other is None:
            return Estimate(*[math.nan] * 5)
        found = drawn_estimate(self.images, [own, other], [1.0, -1.0])
        if figure in SHARES:
            found = found._replace(low=max(found.low, -1.0), high=min(found.high, 1.0))
        return found


@functools.lru_cache(maxsize=2)
def drawn(study: Study) -> Drawn | None:
    """Every figure of every arm that is whole, computed once for all tables.

    Returns:
        None where no arm is.
    """
    if study.test_predictions.empty:
        return None
    return drawn_again(study, *test_scores(study), test_groups(study))


def drawn_again(
    study: Study,
    labels: npt.NDArray[np.int64],
    scores: Mapping[str, Floats],
    groups: npt.NDArray[np.int64] | None = None,
) -> Drawn | None:
    """`drawn`, of some of the test images.

    Args:
        labels, scores: as of `test_scores`, (n,) and (seeds, n).
        groups: of these images, see `Study.groups_of`.
    """
    images = DrawnImages(labels, groups=groups)
    figures = {arm: drawn_arm(images, rows) for arm, rows in scores.items()}
    return Drawn(images, scores, figures, study.references(scores)) if scores else None


def intervals(study: Study, figures: Sequence[str]) -> pd.DataFrame:
    """Intervals of means over seeds, for other seeds and other images.

    Returns:
        A row for each arm of the study, indexed by it: <figure>_low and <figure>_high (95 %) of
        each figure; nan where there is none.
    """
    columns = [f"{figure}_{end}" for figure in figures for end in ("low", "high")]
    table = pd.DataFrame(math.nan, index=pd.Index(study.arms, name="arm"), columns=columns)
    again = drawn(study)
    if again is not None:
        for arm, figure in itertools.product(again.figures, figures):
            mean = again.mean(figure, again.figures[arm][figure])
            table.loc[arm, [f"{figure}_low", f"{figure}_high"]] = mean.low, mean.high
    return table


def figure_differences(study: Study) -> pd.DataFrame:
    """Differences of each arm to gated-fusion of its backbone, paired, beside that in AUC.

    Returns:
        A row for each arm and figure: arm, figure, delta, delta_low, delta_high (95 %, each for
        itself), p_value (unadjusted).
    """
    again = drawn(study)
    rows: list[dict[str, Any]] = []
    for arm in study.arms:
        if again is None or arm not in again.figures:
            continue
        reference = again.reference_of(arm)
        if reference is None:
            continue
        for figure in (*DRAWN, "brier"):
            minus = again.minus(
                figure, again.figures[arm][figure], again.figures[reference][figure]
            )
            if not math.isnan(minus.value):
                rows.append(
                    {
                        "arm": arm,
                        "figure": figure,
                        "delta": minus.value,
                        "delta_low": minus.low,
                        "delta_high": minus.high,
                        "p_value": minus.p_value,
                    }
                )
    return pd.DataFrame(rows)


def difference_cells(table: pd.DataFrame) -> list[Cells]:
    """`figure_differences` as a person reads it: a row for each arm."""
    cells: dict[str, Cells] = {}
    for row in table.to_dict("records"):
        shown = with_interval(number(row["delta"], "+.3f"), row["delta_low"], row["delta_high"])
        cells.setdefault(row["arm"], {"arm": row["arm"]})[HEADINGS[row["figure"]]] = shown
    return list(cells.values())


def linear_in(values: Mapping[str, Floats], at: float, slopes: Mapping[str, float]) -> Floats:
    """A smooth function of figures' means over seeds, as it varies with them to first order.

    Args:
        values: (seeds, draws + 1) of each figure.
        at: the function of their means.
        slopes: its derivatives there, by figure.
    """
    moved = [slope * (values[name] - values[name][:, 0].mean()) for name, slope in slopes.items()]
    return np.asarray(at + sum(moved))
