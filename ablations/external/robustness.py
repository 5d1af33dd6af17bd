"""What corruptions of the images cost each arm, and whether one arm loses less than another."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ablations.differences import Floats, test_groups, test_scores
from ablations.external.corrupted import Condition
from ablations.formats import Cells, number, p_text, with_interval
from ablations.rows import Study
from ablations.statistics import difference_of_changes, difference_of_models, holm, mean_auc
from masll.corruptions import UNCHANGED
from masll.variants import REFERENCE


def robustness(external: Study, corrupted: Mapping[Condition, Study]) -> pd.DataFrame:
    """Each arm's AUC under each condition, beside that on the images as they are.

    Args:
        external: the models on the external set.
        corrupted: the same models on the same images under each condition.

    Returns:
        A row for each condition and arm whose models have all scores, where there are both classes:
        corruption, severity, arm, seeds, auc_mean, auc_low, auc_high; change (corrupted minus
        clean, the same models on the same images), change_low, change_high, p_value; and
        minus_reference, what the arm's change is more than that of the arm that it is compared
        with, with minus_low, minus_high, minus_p and minus_p_holm, over all conditions and arms but
        those of unchanged images, where it is nan. Intervals are of 95 %.
    """
    labels, clean = test_scores(external)
    groups = test_groups(external)
    if labels.min() == labels.max():
        return pd.DataFrame()
    rows: list[dict[str, Any]] = []
    for condition, study in corrupted.items():
        _, scores = test_scores(study)
        for arm in (arm for arm in external.arms if arm in scores and arm in clean):
            reference = external.reference_of(arm)
            against = None
            if reference in scores and reference in clean:
                against = scores[reference], clean[reference]
            rows.append(
                {
                    "corruption": condition.corruption,
                    "severity": condition.severity,
                    "arm": arm,
                    **_of_arm(labels, scores[arm], clean[arm], against, groups),
                }
            )
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    # Identical images test nothing, and would make the others pay for it.
    tested = table["minus_p"].notna() & (table["corruption"] != UNCHANGED)
    adjusted = pd.Series(math.nan, table.index)
    adjusted[tested] = holm(table.loc[tested, "minus_p"].to_numpy())
    return table.assign(minus_p_holm=adjusted)


def robustness_cells(table: pd.DataFrame) -> list[Cells]:
    """`robustness` as a person reads it."""
    return [
        {
            "corruption": row["corruption"],
            "severity": str(row["severity"]),
            "arm": row["arm"],
            "AUC": with_interval(number(row["auc_mean"], ".3f"), row["auc_low"], row["auc_high"]),
            "change": with_interval(
                number(row["change"], "+.3f"), row["change_low"], row["change_high"]
            ),
            "p": p_text(row["p_value"]),
            f"minus that of {REFERENCE}": with_interval(
                number(row["minus_reference"], "+.3f"), row["minus_low"], row["minus_high"]
            ),
            "p Holm": p_text(row["minus_p_holm"]),
        }
        for row in table.to_dict("records")
    ]


def _of_arm(
    labels: np.ndarray,
    scores: Floats,
    clean: Floats,
    against: tuple[Floats, Floats] | None,
    groups: np.ndarray | None,
) -> dict[str, Any]:
    """Figures of an arm under a condition, against those of its reference."""
    mean = mean_auc(labels, scores, groups=groups)
    change = difference_of_models(labels, scores, clean, groups=groups)
    row: dict[str, Any] = {
        "seeds": len(scores),
        "auc_mean": mean.value,
        "auc_low": mean.low,
        "auc_high": mean.high,
        "change": change.value,
        "change_low": change.low,
        "change_high": change.high,
        "p_value": change.p_value,
    }
    names = ("minus_reference", "minus_low", "minus_high", "minus_p")
    row |= dict.fromkeys(names, math.nan)
    if against is not None:
        minus = difference_of_changes(labels, (scores, clean), against, groups=groups)
        row |= dict(zip(names, (minus.value, minus.low, minus.high, minus.p_value), strict=True))
    return row
