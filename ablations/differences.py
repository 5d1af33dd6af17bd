"""What each part adds: every arm against its reference, on the same test images."""

import math

import numpy as np
import numpy.typing as npt
import pandas as pd

from ablations.defaults import MARGIN
from ablations.rows import Study
from ablations.statistics import (
    Estimate,
    auc_difference,
    detectable_difference,
    equivalence_p,
    holm,
    mean_auc,
)

ALPHA = 0.05  # of a family of comparisons

COLUMNS = (
    *("auc_low", "auc_high", "delta_auc", "delta_low", "delta_high"),
    *("p_value", "p_holm", "equivalence_p", "detectable_delta"),
)

Floats = npt.NDArray[np.float64]


def test_scores(study: Study) -> tuple[npt.NDArray[np.int64], dict[str, Floats]]:
    """The confirmed models' scores on the test images, in one order of images.

    Returns:
        labels (n,), and for each arm (seeds, n); an arm of which a score is missing or nan is
        left out, as it cannot be compared image by image.
    """
    labels = test_labels(study)
    return labels.to_numpy(dtype=np.int64), wide_scores(study, labels)


def test_labels(study: Study) -> pd.Series:
    """Label of each test image that was predicted, in the order of their ids."""
    images = study.test_predictions.drop_duplicates("image_id")
    return images.set_index("image_id")["label"].sort_index()


def test_groups(study: Study) -> npt.NDArray[np.int64] | None:
    """The groups of the images of `test_labels`, in their order: see `Study.groups_of`."""
    return study.groups_of(test_labels(study).index)


def wide_scores(study: Study, images: pd.Series, column: str = "score") -> dict[str, Floats]:
    """A column of the test predictions of each arm: (seeds, n), in the order of the images.

    An arm of which one is missing or nan is left out.
    """
    test = study.test_predictions
    wide = test.pivot(index=["arm", "seed"], columns="image_id", values=column)[images.index]
    arms = {str(arm): of_arm.to_numpy(dtype=float) for arm, of_arm in wide.groupby(level="arm")}
    return {arm: rows for arm, rows in arms.items() if not np.isnan(rows).any()}


def differences(study: Study, margin: float = MARGIN) -> pd.DataFrame:
    """Intervals of each arm's mean AUC, and its difference to its reference.

    That is gated-fusion of the same backbone, or the arm that a declared arm names.

    Args:
        margin: of equivalence, as a difference in AUC.

    Returns:
        A row for each arm, indexed by it, of COLUMNS; nan where there is nothing to compare.
        p_holm is over the comparisons of a family (see `Study.families`), and detectable_delta
        what the first of so many tests by Holm's method finds four times in five.
    """
    table = pd.DataFrame(math.nan, index=pd.Index(study.arms, name="arm"), columns=list(COLUMNS))
    if study.test_predictions.empty:
        return table
    labels, scores = test_scores(study)
    groups = test_groups(study)
    compared: dict[str, Estimate] = {}
    for arm, rows in scores.items():
        own = mean_auc(labels, rows, groups=groups)
        table.loc[arm, ["auc_low", "auc_high"]] = own.low, own.high
        reference = study.reference_of(arm)
        if reference in scores:
            compared[arm] = auc_difference(labels, rows, scores[reference], groups=groups)
    for arms in study.families:
        family = [arm for arm in arms if arm in compared]
        level = 1 - ALPHA / max(1, len(family))
        adjusted = holm([compared[arm].p_value for arm in family])
        for arm, p_holm in zip(family, adjusted, strict=True):
            each = compared[arm]
            table.loc[arm, list(COLUMNS[2:])] = (
                *(each.value, each.low, each.high, each.p_value, p_holm),
                equivalence_p(each, margin),
                detectable_difference(each.error, each.df, level=level),
            )
    return table
