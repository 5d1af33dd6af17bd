"""What the gate does beyond a constant: confirmed models with their gate frozen.

A gate that is the same for every image is absorbed by the classifier: only its variation over
images can matter. So each confirmed model with a gate also predicts the test images with its gate
at the channel means of the validation images.
"""

from typing import Any

import numpy as np
import pandas as pd

from ablations.differences import test_labels, wide_scores
from ablations.formats import Cells, interval, number, p_text
from ablations.rows import Study
from ablations.statistics import difference_of_models, mean_auc

SILENT = 0.01  # probability; a gate that changes no score by more does nothing
COLUMNS = (
    *("arm", "seeds", "auc_mean", "frozen_auc", "frozen_low", "frozen_high"),
    *("delta_auc", "delta_low", "delta_high", "p_value", "largest_change"),
)
_FROZEN = "score_frozen_gate"


def gates(study: Study) -> pd.DataFrame:
    """Each arm's mean test AUC with its gate, and with the gate frozen.

    Returns:
        A row of COLUMNS for each arm whose confirmed models say so: the areas are means over
        seeds; delta_auc is what the gate's variation over images adds, of the same models seed by
        seed; largest_change is that of any score of any seed. Studies made before version 0.2 have
        no such predictions, and no rows.
    """
    rows: list[dict[str, Any]] = []
    test = study.test_predictions
    if _FROZEN not in test or test.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    labels = test_labels(study)
    moving, frozen = wide_scores(study, labels), wide_scores(study, labels, _FROZEN)
    for arm in (arm for arm in study.arms if arm in frozen and arm in moving):
        as_it_is, constant = moving[arm], frozen[arm]
        own = mean_auc(labels, constant)
        gain = difference_of_models(labels, as_it_is, constant)
        rows.append(
            {
                "arm": arm,
                "seeds": len(as_it_is),
                "auc_mean": own.value + gain.value,
                "frozen_auc": own.value,
                "frozen_low": own.low,
                "frozen_high": own.high,
                "delta_auc": gain.value,
                "delta_low": gain.low,
                "delta_high": gain.high,
                "p_value": gain.p_value,
                "largest_change": float(np.abs(as_it_is - constant).max()),
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def silent_gates(study: Study) -> dict[str, float]:
    """Arms whose gate changes no score by more than SILENT when it is frozen: arm to the most."""
    table = gates(study)
    quiet = table[table["largest_change"] <= SILENT]
    return dict(zip(quiet["arm"], quiet["largest_change"], strict=True))


def gate_cells(table: pd.DataFrame) -> list[Cells]:
    """`gates` as a person reads it."""
    return [
        {
            "arm": row["arm"],
            "seeds": str(row["seeds"]),
            "AUC": number(row["auc_mean"], ".3f"),
            "gate frozen": number(row["frozen_auc"], ".3f"),
            "AUC of it, 95 %": interval(row["frozen_low"], row["frozen_high"]),
            "its variation adds": number(row["delta_auc"], "+.3f"),
            "95 % interval": interval(row["delta_low"], row["delta_high"]),
            "p": p_text(row["p_value"]),
            "largest change of a score": number(row["largest_change"], ".3f"),
        }
        for row in table.to_dict("records")
    ]
