"""What a reader in a clinic asks: decisions at thresholds fixed beforehand, and calibration.

The paper reads the sensitivity at a specificity off the test curve, which picks the threshold on
the images that it is judged by. Here it is also picked on the validation images, and kept.
"""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from ablations.differences import Floats
from ablations.formats import Cells, mean_and_sd, number, with_interval
from ablations.intervals import Drawn, drawn, linear_in
from ablations.rows import Study
from masll.metrics import binary_metrics, threshold_at
from masll.variants import REFERENCE

SPECIFICITIES = (0.95, 0.90, 0.85)
_DECIDED = ("sen", "spe", "ppv", "npv")


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
        ppv, npv. <figure>_low and <figure>_high (95 %) of sen, spe, ppv and npv are for other seeds
        and other test images at the thresholds as they are; delta_sen and delta_spe, with _low and
        _high, are paired differences to gated-fusion of the same backbone.
    """
    predictions = study.predictions[study.predictions["trial_id"].isin(study.confirmed["trial_id"])]
    test = predictions[predictions["split"] == "test"]
    if test.empty:
        return pd.DataFrame()
    if prevalence is None:
        prevalence = float(test.drop_duplicates("image_id")["label"].mean())
    again = drawn(study)
    rows = []
    for specificity in SPECIFICITIES:
        decisions = {
            str(arm): pd.DataFrame(
                [_decided(rows, specificity) for _, rows in of_arm.groupby("seed", sort=True)]
            )
            for arm, of_arm in predictions.groupby("arm")
        }
        found = _decisions_on_draws(
            again, {arm: rows["threshold"].to_numpy(float) for arm, rows in decisions.items()}
        )
        for arm in (arm for arm in study.arms if arm in decisions):
            decided = decisions[arm]
            mean = decided.mean(skipna=False)
            sd = decided[["sen", "spe"]].std(ddof=1, skipna=False)  # a threshold may be infinite
            ppv, npv = predictive_values(mean["sen"], mean["spe"], prevalence)
            rows.append(
                {
                    "arm": arm,
                    "specificity": specificity,
                    "seeds": len(decided),
                    "threshold": mean["threshold"],
                    "sen": mean["sen"],
                    "sen_sd": sd["sen"],
                    "spe": mean["spe"],
                    "spe_sd": sd["spe"],
                    "sen_on_curve": mean["sen_on_curve"],
                    "prevalence": prevalence,
                    "ppv": ppv,
                    "npv": npv,
                    **_certainty(again, arm, found, (ppv, npv), prevalence),
                }
            )
    table = pd.DataFrame(rows)
    order = {arm: place for place, arm in enumerate(study.arms)}
    return table.sort_values("arm", key=lambda arms: arms.map(order), kind="stable")


def _decisions_on_draws(
    again: Drawn | None, thresholds: Mapping[str, Floats]
) -> dict[str, dict[str, Floats]]:
    """sen and spe of every arm that is whole, each (seeds, draws + 1)."""
    found = {}
    for arm, scores in ({} if again is None else again.scores).items():
        if again is None or np.isnan(thresholds[arm]).any():
            continue
        models = [again.images.decided(*each) for each in zip(scores, thresholds[arm], strict=True)]
        found[arm] = {name: np.stack([model[name] for model in models]) for name in ("sen", "spe")}
    return found


def _certainty(
    again: Drawn | None,
    arm: str,
    decisions: Mapping[str, Mapping[str, Floats]],
    values: tuple[float, float],
    prevalence: float,
) -> dict[str, float]:
    """Intervals of an arm's decisions, and its differences to gated-fusion of its backbone.

    Args:
        values: PPV and NPV.
    """
    found = {f"{name}_{end}": math.nan for name in _DECIDED for end in ("low", "high")}
    found |= {f"delta_{n}{end}": math.nan for n in ("sen", "spe") for end in ("", "_low", "_high")}
    if again is None or arm not in decisions:
        return found
    own = dict(decisions[arm])
    sen, spe = (float(own[name][:, 0].mean()) for name in ("sen", "spe"))
    of_ppv, of_npv = _slopes(sen, spe, prevalence)
    own["ppv"] = linear_in(own, values[0], of_ppv)
    own["npv"] = linear_in(own, values[1], of_npv)
    for name in _DECIDED:
        mean = again.mean(name, own[name])
        found[f"{name}_low"], found[f"{name}_high"] = mean.low, mean.high
    reference = decisions.get(again.reference_of(arm) or "")
    for name in ("sen", "spe"):
        minus = again.minus(name, own[name], None if reference is None else reference[name])
        found[f"delta_{name}"] = minus.value
        found[f"delta_{name}_low"], found[f"delta_{name}_high"] = minus.low, minus.high
    return found


def _slopes(sen: float, spe: float, prevalence: float) -> tuple[dict[str, float], dict[str, float]]:
    """Derivatives of PPV and NPV by sensitivity and specificity."""
    ill, well = prevalence, 1 - prevalence
    called, cleared = sen * ill + (1 - spe) * well, spe * well + (1 - sen) * ill
    of_called, of_cleared = (
        ill * well / share**2 if share > 0 else math.nan for share in (called, cleared)
    )
    return (
        {"sen": (1 - spe) * of_called, "spe": sen * of_called},
        {"sen": spe * of_cleared, "spe": (1 - sen) * of_cleared},
    )


def operating_cells(table: pd.DataFrame) -> list[Cells]:
    """`operating_points` as a person reads it."""
    return [
        {
            "arm": row["arm"],
            "aimed at SPE": f"{row['specificity']:.2f}",
            **{
                name.upper(): with_interval(
                    mean_and_sd(row[name], row[f"{name}_sd"]),
                    row[f"{name}_low"],
                    row[f"{name}_high"],
                )
                for name in ("sen", "spe")
            },
            "SEN on the test curve": number(row["sen_on_curve"], ".3f"),
            **{
                name.upper(): with_interval(
                    number(row[name], ".3f"), row[f"{name}_low"], row[f"{name}_high"]
                )
                for name in ("ppv", "npv")
            },
            **{
                f"{name.upper()} minus {REFERENCE}": with_interval(
                    number(row[f"delta_{name}"], "+.3f"),
                    row[f"delta_{name}_low"],
                    row[f"delta_{name}_high"],
                )
                for name in ("sen", "spe")
            },
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
