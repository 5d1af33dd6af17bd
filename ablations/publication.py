"""ablation.tex: the arms, and the evidence behind them, as two tables that a paper can take over.

The sentences of `ablations.verdict` and the second table have the same figures, line by line.
"""

import math
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from ablations.brief import named, outcome_of
from ablations.defaults import MARGIN
from ablations.effects import MAIN_EFFECTS
from ablations.formats import (
    ABSENT,
    Cells,
    latex_table,
    number,
    p_text,
    seen_from,
    several,
    with_bounds,
)
from ablations.remarks import references
from ablations.rows import Study, name_of
from ablations.verdict import DECLARED, SINGLE, Answer, answers
from masll.variants import REFERENCE

_NEEDS = "% needs \\usepackage{booktabs}\n"
_FAMILIES: Mapping[str, str] = {  # the primary question has a heading of its own
    MAIN_EFFECTS: "Main effects, all arms together",
    SINGLE: "Single arms",
    DECLARED: "Controls and declared arms",
}


def as_latex(study: Study, table: pd.DataFrame, margin: float = MARGIN) -> str:
    """Two LaTeX tables (booktabs): the arms by backbone, and what each part adds.

    Args:
        table: see `ablation_table`.
        margin: of equivalence, see `effects`.

    Returns:
        The text of ablation.tex; without the second table where nothing can be compared.
    """
    rows = table.to_dict("records")
    backbones = {row["backbone"]: None for row in rows}
    arms = {name: [_arm(row) for row in rows if row["backbone"] == name] for name in backbones}
    text = _NEEDS + latex_table(arms, _caption(study, table), "tab:ablation")
    said = answers(study, table, margin)
    if not said:
        return text
    evidence: dict[str, list[Cells]] = {}
    for answer in said:
        heading = _FAMILIES.get(answer.family, answer.heading)
        evidence.setdefault(heading, []).append(_evidence(answer, said))
    caption = (
        "What each part adds to the test AUC. p is adjusted within each group of rows (Holm), "
        "intervals are each for itself. Equivalence: two one-sided tests that the difference lies "
        f"within ±{margin:g}. Seen from: the true difference that the test finds four times in "
        "five."
    )
    return f"{text}\n{latex_table(evidence, caption, 'tab:evidence')}"


def _arm(row: Mapping[Hashable, Any]) -> Cells:
    name, compared = name_of(row["arm"]), not math.isnan(row["delta_auc"])
    if compared:
        delta = with_bounds(f"{row['delta_auc']:+.3f}", row["delta_low"], row["delta_high"])
        difference = f"{delta}, {p_text(row['p_holm'], 'p')}"
    else:
        difference = "reference" if name == REFERENCE else ABSENT
    elsewhere = compared and row["reference"] != REFERENCE
    auc = number(row["auc_mean"], ".3f")
    return {
        "arm": f"{name} (to {row['reference']})" if elsewhere else name,
        "AUC [95 %]": with_bounds(auc, row["auc_low"], row["auc_high"]),
        "difference [95 %], p Holm": difference,
        **{figure.upper(): number(row[figure], ".3f") for figure in ("acc", "sen", "spe")},
    }


def _caption(study: Study, table: pd.DataFrame) -> str:
    confirmed = table[table["seeds"] > 0]
    if confirmed.empty:
        return "No model is confirmed yet, so the test set has not been opened."
    images = study.test_predictions.drop_duplicates("image_id")
    seeds = "seeds and other " * bool(confirmed["seeds"].max() > 1)
    return (
        f"Results on {len(images)} test images, {int((images['label'] == 1).sum())} melanoma: mean "
        f"of {several(confirmed['seeds'], 'seed')}, in brackets the 95 % interval for other {seeds}"
        f"images. Differences in AUC are to {references(study)}, tested in pairs on the same "
        "images. ACC, SEN and SPE are at a probability of 0.5."
    )


def _evidence(answer: Answer, among: list[Answer]) -> Cells:
    found = answer.finding
    judged = not answer.unjudged
    return {
        "question": named(answer, among),
        "AUC [95 %]": with_bounds(f"{found.value:+.3f}", found.low, found.high),
        "outcome": outcome_of(answer),
        "p Holm": p_text(found.p_adjusted) if judged else ABSENT,
        "p of equivalence": p_text(found.p_equivalence) if judged else ABSENT,
        "seen from": seen_from(found.detectable),
    }
