"""What the place of the box adds: confirmed models with their local branch looking elsewhere.

No training: each confirmed model with a local branch also predicts the test images with its box
from elsewhere. A network that was trained on SLL's boxes is not at home in others, so that a loss
here is at most what the place is worth; a control arm, trained on its own boxes, says what is left
once the network has adapted.
"""

from typing import Any

import pandas as pd

from ablations.differences import test_labels, wide_scores
from ablations.formats import Cells, interval, number, p_text
from ablations.rows import Study
from ablations.statistics import difference_of_models, mean_auc
from masll.config import BOXES

COLUMNS = (
    *("arm", "box", "seeds", "auc_mean", "auc_low", "auc_high"),
    *("delta_auc", "delta_low", "delta_high", "p_value"),
)


def boxes(study: Study) -> pd.DataFrame:
    """Each arm's mean test AUC with its box from elsewhere.

    Returns:
        A row of COLUMNS for each arm and box that its confirmed models have predictions with:
        delta_auc is what the arm's own box adds over that box, of the same models seed by seed.
        Studies made before version 0.2 have no such predictions, and no rows.
    """
    rows: list[dict[str, Any]] = []
    test = study.test_predictions
    columns = {box: f"score_box_{box}" for box in BOXES if f"score_box_{box}" in test}
    if test.empty or not columns:
        return pd.DataFrame(columns=list(COLUMNS))
    labels = test_labels(study)
    own = wide_scores(study, labels)
    elsewhere = {box: wide_scores(study, labels, column) for box, column in columns.items()}
    for arm in (arm for arm in study.arms if arm in own):
        for box, scores in elsewhere.items():
            if arm not in scores:
                continue
            moved = mean_auc(labels, scores[arm])
            gain = difference_of_models(labels, own[arm], scores[arm])
            rows.append(
                {
                    "arm": arm,
                    "box": box,
                    "seeds": len(own[arm]),
                    "auc_mean": moved.value,
                    "auc_low": moved.low,
                    "auc_high": moved.high,
                    "delta_auc": gain.value,
                    "delta_low": gain.low,
                    "delta_high": gain.high,
                    "p_value": gain.p_value,
                }
            )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def box_cells(table: pd.DataFrame) -> list[Cells]:
    """`boxes` as a person reads it."""
    return [
        {
            "arm": row["arm"],
            "box": row["box"],
            "seeds": str(row["seeds"]),
            "AUC": number(row["auc_mean"], ".3f"),
            "AUC, 95 %": interval(row["auc_low"], row["auc_high"]),
            "its own box adds": number(row["delta_auc"], "+.3f"),
            "95 % interval": interval(row["delta_low"], row["delta_high"]),
            "p": p_text(row["p_value"]),
        }
        for row in table.to_dict("records")
    ]
