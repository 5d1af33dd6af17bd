"""What is asked of a study's arms together: the primary question, and the 2 x 2 of its parts.

The primary question is named in the spec before anything is trained, and tested alone. Main effects
and their interaction are a family of their own. The comparisons of single arms (see `differences`)
are secondary.
"""

import math
from enum import StrEnum
from typing import NamedTuple

import pandas as pd

from ablations.defaults import MARGIN
from ablations.differences import ALPHA, test_groups, test_scores
from ablations.formats import Cells, interval, number, p_text, seen_from
from ablations.rows import Study, backbone_of, name_of
from ablations.statistics import contrast, detectable_difference, equivalence_p, holm
from ablations.statistics.factorial import main_effects, weights_over, whole

COLUMNS = (
    *("family", "question", "backbones", "value", "low", "high", "p_value", "p_holm", "df"),
    *("equivalence_p", "detectable"),
)
PRIMARY, MAIN_EFFECTS = "primary", "main effects"


def effects(study: Study, margin: float = MARGIN) -> pd.DataFrame:
    """The primary question and the main effects, over the confirmed models of all backbones.

    Args:
        margin: of equivalence, above 0, as a difference in AUC.

    Returns:
        A row for each question that the study's arms can answer, of COLUMNS: family; question;
        backbones, over which it is pooled; value with its 95 % interval, unadjusted; p_value;
        p_holm, adjusted within the family; df; equivalence_p (two one-sided tests within the
        margin); and detectable, the true difference that the test of the family finds four times in
        five.
    """
    table = pd.DataFrame(columns=list(COLUMNS))
    if study.test_predictions.empty:
        return table
    labels, scores = test_scores(study)
    groups = test_groups(study)
    arms = [(name_of(arm), backbone_of(arm)) for arm in scores]
    families = {PRIMARY: [whole()], MAIN_EFFECTS: list(main_effects())}
    for family, questions in families.items():
        rows = []
        for question in questions:
            weights = weights_over(question, arms)
            if weights is None:
                continue
            estimate = contrast(labels, list(scores.values()), weights, groups=groups)
            if math.isnan(estimate.value):  # one class only
                continue
            used = {b for (_, b), weight in zip(arms, weights, strict=True) if weight}
            rows.append(
                {
                    "family": family,
                    "question": question.name,
                    "backbones": " ".join(sorted(used)),
                    "value": estimate.value,
                    "low": estimate.low,
                    "high": estimate.high,
                    "p_value": estimate.p_value,
                    "df": estimate.df,
                    "equivalence_p": equivalence_p(estimate, margin),
                    "error": estimate.error,
                }
            )
        if not rows:
            continue
        of_family = pd.DataFrame(rows)
        of_family["p_holm"] = holm(of_family["p_value"])
        level = 1 - ALPHA / len(of_family)  # Holm's first step, which the smallest p has to take
        of_family["detectable"] = [
            detectable_difference(row.error, row.df, level=level) for row in of_family.itertuples()
        ]
        table = of_family if table.empty else pd.concat([table, of_family], ignore_index=True)
    return table.reindex(columns=list(COLUMNS))


def effect_cells(table: pd.DataFrame) -> list[Cells]:
    """`effects` as a person reads it."""
    return [
        {
            "question": row["question"],
            "family": row["family"],
            "AUC": number(row["value"], "+.3f"),
            "95 % interval": interval(row["low"], row["high"]),
            "p": p_text(row["p_value"]),
            "p Holm": p_text(row["p_holm"]),
            "p of equivalence": p_text(row["equivalence_p"]),
            "seen from": seen_from(row["detectable"]),
        }
        for row in table.to_dict("records")
    ]


class Finding(NamedTuple):
    """What a study found of a part."""

    value: float  # what it adds, in AUC
    low: float  # of its 95 % interval
    high: float
    p_adjusted: float  # of the test, adjusted for its family; nan where there is none
    p_equivalence: float  # of equivalence within the margin
    detectable: float  # see `effects`


class Outcome(StrEnum):
    """What the test of a part decides, in the word of a line."""

    ADDS = "adds"
    COSTS = "costs"
    NO_DIFFERENCE = "no difference"  # beyond the margin of equivalence
    NOT_SHOWN = "not shown"  # neither to help nor to harm
    THE_SAME = "the same"  # every score
    NO_TEST = "no test"


def decide(finding: Finding) -> Outcome:
    """What a part does, by its test at the level of its family, then by that of equivalence."""
    if finding.value == finding.low == finding.high == 0:
        return Outcome.THE_SAME
    if math.isnan(finding.p_adjusted):
        return Outcome.NO_TEST
    if finding.p_adjusted < ALPHA:
        return Outcome.ADDS if finding.value > 0 else Outcome.COSTS
    return Outcome.NO_DIFFERENCE if finding.p_equivalence < ALPHA else Outcome.NOT_SHOWN


def statement(part: str, finding: Finding, margin: float) -> str:
    """One sentence on a part, whose decision is that of its test."""
    value, low, high, p_adjusted, p_equivalence, detectable = finding
    shown = f"{value:+.3f} AUC [{low:.3f}, {high:.3f}]"
    match decide(finding):
        case Outcome.THE_SAME:
            return f"{part} makes no difference: every score is the same"
        case Outcome.NO_TEST:
            return f"{part}: {value:+.3f} AUC, no test is possible"
        case Outcome.ADDS | Outcome.COSTS as outcome:
            return f"{part} {outcome} {shown}, {p_text(p_adjusted, 'p')}"
        case Outcome.NO_DIFFERENCE:
            return f"{part} makes no difference beyond ±{margin:g} AUC: {shown}, " + p_text(
                p_equivalence, "p of equivalence"
            )
    most = f"adds at most {max(high, 0):.3f}, costs at most {max(-low, 0):.3f}"
    found = f"a true {detectable:.3f} is" if detectable < 1 else "no difference would be"
    return (
        f"{part} is not distinguishable from nothing ({shown}, {p_text(p_adjusted, 'p')}): {most}; "
        f"{found} found four times in five"
    )
