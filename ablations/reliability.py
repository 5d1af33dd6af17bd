"""How far probabilities can be taken at their word, and what referring by them is worth."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from ablations.differences import test_groups, test_scores
from ablations.formats import Cells, number, p_text, with_interval
from ablations.intervals import drawn
from ablations.rows import Study
from ablations.statistics import mcnemar
from ablations.statistics.decisions import treat_all
from ablations.statistics.resampling import LEAST_SENSITIVITY, NET_BENEFIT_AT
from masll.variants import REFERENCE

RELIABILITY = ("partial_auc", "intercept", "slope", "ece", "brier")


def reliability(study: Study) -> pd.DataFrame:
    """How far the probabilities can be taken at their word, and decisions against gated-fusion's.

    Returns:
        A row for each arm all of whose models have all scores: arm, seeds, and of each of
        RELIABILITY the mean over seeds (see `calibration`; partial_auc is where sensitivity is at
        least LEAST_SENSITIVITY; brier the mean squared error), its interval <figure>_low to
        <figure>_high (95 %), and delta_<figure> with _low and _high, the paired difference to
        gated-fusion of the same backbone. Then McNemar's test at 0.5 of the mean probability over
        seeds: only_arm and only_reference (images that one alone gets right), mcnemar_p (nan where
        images belong together, as the test takes them for independent).
    """
    again = drawn(study)
    if again is None:
        return pd.DataFrame()
    labels, _ = test_scores(study)
    table = []
    for arm in (arm for arm in study.arms if arm in again.figures):
        own, reference = again.figures[arm], again.reference_of(arm)
        other = None if reference is None else again.figures[reference]
        row: dict[str, Any] = {"arm": arm, "seeds": len(again.scores[arm])}
        for name in RELIABILITY:
            mean = again.mean(name, own[name])
            row |= {name: mean.value, f"{name}_low": mean.low, f"{name}_high": mean.high}
        for name in RELIABILITY:
            minus = again.minus(name, own[name], None if other is None else other[name])
            row |= {
                f"delta_{name}": minus.value,
                f"delta_{name}_low": minus.low,
                f"delta_{name}_high": minus.high,
            }
        row |= {"only_arm": math.nan, "only_reference": math.nan, "mcnemar_p": math.nan}
        if reference is not None:
            called = [again.scores[each].mean(axis=0) >= 0.5 for each in (arm, reference)]
            row["only_arm"], row["only_reference"], p_value = mcnemar(labels, *called)
            row["mcnemar_p"] = p_value if test_groups(study) is None else math.nan
        table.append(row)
    return pd.DataFrame(table)


def net_benefits(study: Study) -> pd.DataFrame:
    """What referring by an arm's probabilities is worth (Vickers and Elkin 2006), per image.

    Returns:
        A row for each arm all of whose models have all scores, then `treat all` and `treat none`,
        at each of NET_BENEFIT_AT: arm, threshold, net_benefit (mean over seeds), low, high (95 %),
        delta, delta_low, delta_high (paired, to gated-fusion of the same backbone).
    """
    again = drawn(study)
    if again is None:
        return pd.DataFrame()
    rows: list[dict[str, Any]] = []
    for arm in (arm for arm in study.arms if arm in again.figures):
        reference = again.reference_of(arm)
        for threshold in NET_BENEFIT_AT:
            name = f"net_benefit_{round(100 * threshold)}"
            own = again.figures[arm][name]
            mean = again.mean(name, own)
            minus = again.minus(
                name, own, None if reference is None else again.figures[reference][name]
            )
            rows.append(
                {
                    "arm": arm,
                    "threshold": threshold,
                    "net_benefit": mean.value,
                    "low": mean.low,
                    "high": mean.high,
                    "delta": minus.value,
                    "delta_low": minus.low,
                    "delta_high": minus.high,
                }
            )
    prevalence = float(again.images.positive.mean())
    for threshold in NET_BENEFIT_AT:
        everybody = treat_all(prevalence, threshold)
        rows.append({"arm": "treat all", "threshold": threshold, "net_benefit": everybody})
        rows.append({"arm": "treat none", "threshold": threshold, "net_benefit": 0.0})
    return pd.DataFrame(rows)


def net_benefit_cells(table: pd.DataFrame) -> list[Cells]:
    """`net_benefits` as a person reads it: a row for each arm, a column for each threshold."""
    cells: dict[str, Cells] = {}
    for row in table.to_dict("records"):
        shown = with_interval(number(row["net_benefit"], ".3f"), row["low"], row["high"])
        cells.setdefault(row["arm"], {"arm": row["arm"]})[f"at {row['threshold']:g}"] = shown
    return list(cells.values())


_RELIABILITY_CELLS = {
    "partial_auc": (f"partial AUC, SEN >= {LEAST_SENSITIVITY}", ".3f"),
    "brier": ("Brier score", ".3f"),
    "intercept": ("intercept", "+.2f"),
    "slope": ("slope", ".2f"),
    "ece": ("ECE", ".3f"),
}


def reliability_cells(table: pd.DataFrame) -> list[Cells]:
    """`reliability` as a person reads it."""
    return [
        {
            "arm": row["arm"],
            **figure_cells(row, tuple(_RELIABILITY_CELLS)),
            "only it right": number(row["only_arm"], ".0f"),
            f"only {REFERENCE} right": number(row["only_reference"], ".0f"),
            "McNemar p": p_text(row["mcnemar_p"]),
        }
        for row in table.to_dict("records")
    ]


def figure_cells(row: Mapping[Hashable, Any], figures: Sequence[str]) -> Cells:
    """Some of the RELIABILITY figures of a row as a person reads them, with their intervals."""
    return {
        heading: with_interval(number(row[name], spec), row[f"{name}_low"], row[f"{name}_high"])
        for name, (heading, spec) in ((name, _RELIABILITY_CELLS[name]) for name in figures)
    }
