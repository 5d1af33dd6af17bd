"""What a reader in a clinic asks: decisions at thresholds fixed beforehand, and calibration.

The paper reads the sensitivity at a specificity off the test curve, which picks the threshold on
the images that it is judged by. Here it is also picked on the validation images, and kept.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ablations.differences import REFERENCE, test_scores
from ablations.formats import Cells, mean_and_sd, number
from ablations.rows import Study
from ablations.statistics import calibration, mcnemar, partial_auc
from masll.metrics import binary_metrics

SPECIFICITIES = (0.95, 0.90, 0.85)
LEAST_SENSITIVITY = 0.8  # of the partial area


def threshold_at(labels: npt.ArrayLike, scores: npt.ArrayLike, specificity: float) -> float:
    """The lowest threshold that keeps a specificity, of those that lie on a score.

    Args:
        labels: (n,) of 0 and 1.
        scores: (n,); an image is called positive where its score >= the threshold.
        specificity: to reach at least, from 0 to 1.

    Returns:
        infinity where only calling nothing reaches it; nan without a negative image.
    """
    labels, scores = np.asarray(labels), np.asarray(scores, dtype=float)
    negatives = np.sort(scores[labels == 0])
    if not negatives.size:
        return math.nan
    candidates = np.append(np.unique(scores), math.inf)
    kept = np.searchsorted(negatives, candidates, side="left")  # negatives below
    # Counts, not shares: 19 of 20 must equal a target of 0.95.
    reached = kept / negatives.size >= specificity
    return float(candidates[reached][0])


def predictive_values(
    sensitivity: float, specificity: float, prevalence: float
) -> tuple[float, float]:
    """Positive and negative predictive value at a prevalence, by Bayes' rule.

    Args:
        sensitivity, specificity, prevalence: from 0 to 1.

    Returns:
        (PPV, NPV); nan where nobody is called so.
    """
    hits, alarms = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    misses, cleared = (1 - sensitivity) * prevalence, specificity * (1 - prevalence)
    ppv = hits / (hits + alarms) if hits + alarms > 0 else math.nan
    npv = cleared / (cleared + misses) if cleared + misses > 0 else math.nan
    return ppv, npv


def operating_points(study: Study, prevalence: float | None = None) -> pd.DataFrame:
    """Decisions on the test images at thresholds that the validation images fixed.

    Args:
        prevalence: for the predictive values, between 0 and 1; the test set's where none is given.

    Returns:
        A row for each arm with confirmed models and each of SPECIFICITIES: arm, specificity (aimed
        at on validation), seeds, threshold, sen, spe (reached on test; means over seeds, with
        sen_sd and spe_sd), sen_on_curve (the paper's way: read off the test curve), prevalence,
        ppv, npv.
    """
    made = study.predictions[study.predictions["trial_id"].isin(study.confirmed["trial_id"])]
    test = made[made["split"] == "test"]
    if test.empty:
        return pd.DataFrame()
    if prevalence is None:
        prevalence = float(test.drop_duplicates("image_id")["label"].mean())
    rows = []
    for arm in study.arms:
        models = list(made[made["arm"] == arm].groupby("trial_id"))
        for specificity in SPECIFICITIES:
            found = pd.DataFrame([_decided(rows, specificity) for _, rows in models])
            if found.empty:
                continue
            mean = found.mean(skipna=False)
            sd = found[["sen", "spe"]].std(ddof=1, skipna=False)  # a threshold may be infinite
            ppv, npv = predictive_values(mean["sen"], mean["spe"], prevalence)
            rows.append({
                "arm": arm, "specificity": specificity, "seeds": len(found),
                "threshold": mean["threshold"], "sen": mean["sen"], "sen_sd": sd["sen"],
                "spe": mean["spe"], "spe_sd": sd["spe"], "sen_on_curve": mean["sen_on_curve"],
                "prevalence": prevalence, "ppv": ppv, "npv": npv,
            })  # fmt: skip
    return pd.DataFrame(rows)


def reliability(study: Study) -> pd.DataFrame:
    """How far the probabilities can be taken at their word, and decisions against gated-fusion's.

    Returns:
        A row for each arm all of whose models have all scores: arm, seeds, partial_auc (where
        sensitivity is at least LEAST_SENSITIVITY), intercept, slope, ece (means over seeds; see
        `calibration`), and McNemar's test at 0.5 of the mean probability over seeds: only_arm and
        only_reference (images that one alone gets right), mcnemar_p.
    """
    if study.test_predictions.empty:
        return pd.DataFrame()
    labels, scores = test_scores(study)
    table = []
    for arm in (arm for arm in study.arms if arm in scores):
        seeds = scores[arm]
        calibrated = np.array([calibration(labels, row) for row in seeds]).mean(axis=0)
        row: dict[str, Any] = {
            "arm": arm, "seeds": len(seeds),
            "partial_auc": np.mean([partial_auc(labels, s, LEAST_SENSITIVITY) for s in seeds]),
            **dict(zip(("intercept", "slope", "ece"), calibrated, strict=True)),
            "only_arm": math.nan, "only_reference": math.nan, "mcnemar_p": math.nan,
        }  # fmt: skip
        variant, _, backbone = arm.partition("/")
        reference = scores.get(f"{REFERENCE}/{backbone}")
        if variant != REFERENCE and reference is not None:
            called = [each.mean(axis=0) >= 0.5 for each in (seeds, reference)]
            row["only_arm"], row["only_reference"], row["mcnemar_p"] = mcnemar(labels, *called)
        table.append(row)
    return pd.DataFrame(table)


def operating_cells(table: pd.DataFrame) -> list[Cells]:
    """`operating_points` as a person reads it."""
    return [
        {
            "arm": row["arm"],
            "aimed at SPE": f"{row['specificity']:.2f}",
            "SEN": mean_and_sd(row["sen"], row["sen_sd"]),
            "SPE": mean_and_sd(row["spe"], row["spe_sd"]),
            "SEN on the test curve": number(row["sen_on_curve"], ".3f"),
            "PPV": number(row["ppv"], ".3f"),
            "NPV": number(row["npv"], ".3f"),
        }
        for row in table.to_dict("records")
    ]


def reliability_cells(table: pd.DataFrame) -> list[Cells]:
    """`reliability` as a person reads it."""
    return [
        {
            "arm": row["arm"],
            f"partial AUC, SEN >= {LEAST_SENSITIVITY}": number(row["partial_auc"], ".3f"),
            "intercept": number(row["intercept"], "+.2f"),
            "slope": number(row["slope"], ".2f"),
            "ECE": number(row["ece"], ".3f"),
            "only it right": number(row["only_arm"], ".0f"),
            f"only {REFERENCE} right": number(row["only_reference"], ".0f"),
            "McNemar p": number(row["mcnemar_p"], ".3f"),
        }
        for row in table.to_dict("records")
    ]


def _decided(rows: pd.DataFrame, specificity: float) -> dict[str, float]:
    """One model: its threshold by validation, and what it decides on the test images."""
    validation, test = (rows[rows["split"] == split] for split in ("validation", "test"))
    figures = {"threshold": math.nan, "sen": math.nan, "spe": math.nan}
    labels, scores = test["label"].to_numpy(), test["score"].to_numpy(dtype=float)
    read_off = binary_metrics(labels, scores)[f"sen_at_spe_{round(100 * specificity)}"]
    if validation["score"].notna().all() and not np.isnan(scores).any():
        threshold = threshold_at(validation["label"], validation["score"], specificity)
        if not math.isnan(threshold):
            decided = binary_metrics(labels, scores, threshold)
            figures = {"threshold": threshold, "sen": decided["sen"], "spe": decided["spe"]}
    return figures | {"sen_on_curve": read_off}
