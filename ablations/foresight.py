"""How far the validation images foretold the test images: what every choice of a study rests on.

Settings and epochs are chosen by validation AUC. Where its order of the confirmed models is not the
order on the test images, a longer search chooses by luck.
"""

import math
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm, spearmanr

from ablations.formats import Cells, interval, number
from ablations.rows import Study

FEWEST = 5  # pairs, for a rank correlation with an interval
COLUMNS = ("over", "n", "val_auc", "test_auc", "optimism", "rho", "rho_low", "rho_high")


def foresight(study: Study) -> pd.DataFrame:
    """Validation against test AUC of the confirmed models.

    Returns:
        Rows of COLUMNS for all confirmed models; for arms, by their means over seeds; and for the
        seeds of an arm, as differences to its mean. n is the number of pairs, optimism the mean of
        validation minus test AUC, rho Spearman's rank correlation, -1 to 1, with its interval (95
        %) as if the pairs were independent, see `rank_correlation`. No row with fewer than FEWEST
        pairs.
    """
    if "val_auc" not in study.trials:  # as a foreign study may have it
        return pd.DataFrame(columns=list(COLUMNS))
    pairs = study.confirmed[["arm", "val_auc", "test_auc"]].dropna()
    by_arm = pairs.groupby("arm", sort=False)
    several = by_arm["val_auc"].transform("size") > 1
    figures = ["val_auc", "test_auc"]
    centred = pairs.loc[several, figures] - by_arm[figures].transform("mean")[several]
    centred = centred.round(12)  # ties stay ties
    over = {"models": pairs[figures], "arms": by_arm[figures].mean(), "seeds of an arm": centred}
    rows: list[dict[str, Any]] = []
    for name, each in over.items():
        if len(each) < FEWEST:
            continue
        validation, test = each["val_auc"].to_numpy(), each["test_auc"].to_numpy()
        lost = int(pairs.loc[several, "arm"].nunique()) - 1 if name == "seeds of an arm" else 0
        rho, low, high = rank_correlation(validation, test, lost)
        row: dict[str, Any] = {
            "over": name,
            "n": len(each),
            "rho": rho,
            "rho_low": low,
            "rho_high": high,
        }
        if name != "seeds of an arm":  # whose means are 0
            row |= {"val_auc": validation.mean(), "test_auc": test.mean()}
            row["optimism"] = row["val_auc"] - row["test_auc"]
        rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def rank_correlation(
    first: np.ndarray, second: np.ndarray, lost: int = 0
) -> tuple[float, float, float]:
    """Spearman's rho of n pairs, with an interval of 95 % by Bonett and Wright's variance (2000).

    Args:
        first, second: of shape (n,).
        lost: degrees of freedom spent before, as on means that were taken off.

    Returns:
        rho, low, high; NaN where all values of one are the same, or nothing is left to judge by.
    """
    freedom = len(first) - 3 - lost
    if freedom < 1:
        return math.nan, math.nan, math.nan
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan, math.nan, math.nan
    rho = float(spearmanr(first, second).statistic)
    half = float(norm.ppf(0.975)) * math.sqrt((1 + rho**2 / 2) / freedom)
    # A perfect order has no variance: it is taken for the nearest that is not perfect.
    nearest = 1 - 12 / (len(first) * (len(first) ** 2 - 1))
    middle = math.atanh(np.clip(rho, -nearest, nearest))
    return rho, math.tanh(middle - half), math.tanh(middle + half)


def foresight_cells(table: pd.DataFrame) -> list[Cells]:
    """`foresight` as a person reads it."""
    return [
        {
            "over": row["over"],
            "n": str(row["n"]),
            "validation AUC": number(row["val_auc"], ".3f"),
            "test AUC": number(row["test_auc"], ".3f"),
            "optimism": number(row["optimism"], "+.3f"),
            "rank correlation": number(row["rho"], "+.2f"),
            "95 % interval": interval(row["rho_low"], row["rho_high"]),
        }
        for row in table.to_dict("records")
    ]
