"""What each part adds: every arm against gated-fusion of its backbone, on the same test images."""

import math
from collections.abc import Hashable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ablations.rows import Study
from ablations.statistics import auc_difference, detectable_difference, holm, mean_auc

REFERENCE = "gated-fusion"
ALPHA = 0.05  # of the family of comparisons

COLUMNS = (
    *("auc_low", "auc_high", "delta_auc", "delta_low", "delta_high"),
    *("p_value", "p_holm", "detectable_delta"),
)
# What gated-fusion has and a variant has not.
_PARTS = {
    "baseline": "the whole of MASLL",
    "global-only": "the local branch",
    "local-only": "fusing the global features",
    "concat-fusion": "the gate",
}

Floats = npt.NDArray[np.float64]


def test_scores(study: Study) -> tuple[npt.NDArray[np.int64], dict[str, Floats]]:
    """The confirmed models' scores on the test images, in one order of images.

    Returns:
        labels (n,), and for each arm (seeds, n); an arm of which a score is missing or nan is
        left out, as it cannot be compared image by image.
    """
    test = study.test_predictions
    labels = test.drop_duplicates("image_id").set_index("image_id")["label"].sort_index()
    wide = test.pivot(index=["arm", "seed"], columns="image_id", values="score")[labels.index]
    arms = {str(arm): of_arm.to_numpy(dtype=float) for arm, of_arm in wide.groupby(level="arm")}
    complete = {arm: rows for arm, rows in arms.items() if not np.isnan(rows).any()}
    return labels.to_numpy(dtype=np.int64), complete


def differences(study: Study) -> pd.DataFrame:
    """Intervals of each arm's mean AUC, and its difference to gated-fusion of the same backbone.

    Returns:
        A row for each arm, indexed by it, of COLUMNS; nan where there is nothing to compare.
        p_holm is over all comparisons of the study.
    """
    table = pd.DataFrame(math.nan, index=pd.Index(study.arms, name="arm"), columns=list(COLUMNS))
    if study.test_predictions.empty:
        return table
    labels, scores = test_scores(study)
    for arm, rows in scores.items():
        own = mean_auc(labels, rows)
        table.loc[arm, ["auc_low", "auc_high"]] = own.low, own.high
        variant, _, backbone = arm.partition("/")
        reference = scores.get(f"{REFERENCE}/{backbone}")
        if variant == REFERENCE or reference is None:
            continue
        found = auc_difference(labels, rows, reference)
        table.loc[arm, ["delta_auc", "delta_low", "delta_high", "p_value", "detectable_delta"]] = (
            *(found.value, found.low, found.high, found.p_value),
            detectable_difference(found.error, found.df),
        )
    table["p_holm"] = holm(table["p_value"])
    return table


def verdict(table: pd.DataFrame) -> str:
    """One paragraph: which parts of the network the paired tests support.

    Args:
        table: see `ablation_table`.
    """
    compared = table[table["variant"].isin(_PARTS) & table["delta_auc"].notna()]
    if compared.empty:
        return "Nothing to compare yet: no arm stands beside a gated-fusion of the same backbone."
    return " ".join(
        f"On {backbone}: {'; '.join(_found(rows.to_dict('records')))}."
        for backbone, rows in compared.groupby("backbone", sort=False)
    )


def _found(rows: list[dict[Hashable, Any]]) -> list[str]:
    """What the tests of one backbone say, the supported first."""
    said, unseen, untested = [], [], []
    for row in rows:
        # What the part adds is what the arm without it lacks.
        added = f"{-row['delta_auc']:+.3f} AUC [{-row['delta_high']:.3f}, {-row['delta_low']:.3f}]"
        part = _PARTS[str(row["variant"])]
        if math.isnan(row["p_holm"]):
            untested.append(f"{part} ({added})")
        elif row["p_holm"] < ALPHA:
            verb = "adds" if row["delta_auc"] < 0 else "costs"
            said.append(f"{part} {verb} {added}, p {row['p_holm']:.3f}")
        else:
            unseen.append((row["detectable_delta"], f"{part} ({added})"))
    if unseen:
        widest = max(seen_from for seen_from, _ in unseen)
        parts = ", ".join(part for _, part in unseen)
        size = f", as a true difference under {widest:.3f} would mostly go unseen at this size"
        said.append(f"not distinguishable from doing without: {parts}{size if widest > 0 else ''}")
    if untested:
        said.append(f"no test is possible of {', '.join(untested)}")
    return said
