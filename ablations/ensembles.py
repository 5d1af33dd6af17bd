"""Ensembles that cost no training: mean probability over seeds, and a control for size.

McNemar's test decides by the mean probability over seeds; the area of that same classifier stands
here. And the mean of two seeds of global-only is two networks, as gated-fusion is: what it gains is
what twice the parameters give, without a lesion localizer.
"""

from typing import Any

import numpy as np
import pandas as pd

from ablations.differences import test_groups, test_scores
from ablations.formats import Cells, interval, number, p_text
from ablations.rows import Study, backbone_of
from ablations.statistics import Estimate, contrast, mean_auc
from masll.variants import REFERENCE

_SINGLE = "global-only"
COLUMNS = (
    *("classifier", "seeds", "auc", "auc_low", "auc_high"),
    *("delta_auc", "delta_low", "delta_high", "p_value"),
)


def ensembles(study: Study) -> pd.DataFrame:
    """Areas of ensembles on the test images, and their differences to gated-fusion.

    Returns:
        A row of COLUMNS for the ensemble of all seeds of each arm that has several, compared with
        that of gated-fusion of its backbone over images alone (DeLong); then for each backbone the
        mean over pairs of seeds of global-only, compared with single models of gated-fusion over
        seeds, too.
    """
    rows: list[dict[str, Any]] = []
    if study.test_predictions.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    labels, scores = test_scores(study)
    groups = test_groups(study)
    if labels.min() == labels.max():
        return pd.DataFrame(columns=list(COLUMNS))
    for arm, seeds in scores.items():
        if len(seeds) < 2:
            continue
        together = seeds.mean(axis=0, keepdims=True)
        reference = scores.get(study.reference_of(arm) or "")
        of_reference = None if reference is None else reference.mean(axis=0, keepdims=True)
        rows.append(_row(f"all seeds of {arm}", len(seeds), labels, together, of_reference, groups))
    for arm, seeds in scores.items():
        reference = scores.get(f"{REFERENCE}/{backbone_of(arm)}")
        if arm == f"{_SINGLE}/{backbone_of(arm)}" and len(seeds) >= 2 and reference is not None:
            pairs = np.stack([seeds[i : i + 2].mean(axis=0) for i in range(0, len(seeds) - 1, 2)])
            rows.append(
                _row(f"pairs of seeds of {arm}", len(seeds), labels, pairs, reference, groups)
            )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def ensemble_cells(table: pd.DataFrame) -> list[Cells]:
    """`ensembles` as a person reads it."""
    return [
        {
            "classifier": row["classifier"],
            "seeds": str(row["seeds"]),
            "AUC": number(row["auc"], ".3f"),
            "AUC, 95 %": interval(row["auc_low"], row["auc_high"]),
            f"minus {REFERENCE}": number(row["delta_auc"], "+.3f"),
            "95 % interval": interval(row["delta_low"], row["delta_high"]),
            "p": p_text(row["p_value"]),
        }
        for row in table.to_dict("records")
    ]


def _row(
    classifier: str,
    seeds: int,
    labels: np.ndarray,
    scores: np.ndarray,
    reference: np.ndarray | None,
    groups: np.ndarray | None,
) -> dict[str, Any]:
    own = mean_auc(labels, scores, groups=groups)
    versus = Estimate(*[float("nan")] * 5)
    if reference is not None:
        versus = contrast(labels, [scores, reference], [1, -1], groups=groups)
    values = (own.value, own.low, own.high, versus.value, versus.low, versus.high, versus.p_value)
    return {"classifier": classifier, "seeds": seeds, **dict(zip(COLUMNS[2:], values, strict=True))}
