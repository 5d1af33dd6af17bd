"""What a study says of each part, one line a question: the primary one first, single arms last."""

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

from ablations.differences import MARGIN
from ablations.effects import MAIN_EFFECTS, PRIMARY, Finding, effects, statement
from ablations.gates import silent_gates
from ablations.rows import Study
from ablations.statistics.factorial import main_effects
from masll.variants import REFERENCE, describe, known_variants

NOTHING = "Nothing to compare yet: no arm stands beside a gated-fusion of the same backbone."
NOTE = "Intervals are of 95 %, each for itself; p is adjusted within each family (Holm)."


def verdict(study: Study, table: pd.DataFrame, margin: float = MARGIN) -> list[str]:
    """The lines of the verdict.

    Args:
        table: see `ablation_table`.
        margin: of equivalence, see `effects`.
    """
    together, silent = effects(study, margin), silent_gates(study)
    lines = [
        *_of_family(together, PRIMARY, _primary_heading(study), margin, silent),
        *_of_family(together, MAIN_EFFECTS, "Main effect", margin, silent),
        *_one_by_one(table, margin, silent),
    ]
    return [*lines, NOTE] if lines else [NOTHING]


def _primary_heading(study: Study) -> str:
    named = "named beforehand" if study.spec.primary else "which the spec does not name"
    return f"Primary question, {named}"


def _of_family(
    together: pd.DataFrame, family: str, heading: str, margin: float, silent: Mapping[str, float]
) -> list[str]:
    gated = {q.name: q.gated_variants for q in main_effects() if q.about_gate}
    lines = []
    for row in together[together["family"] == family].to_dict("records"):
        arms = [
            f"{variant}/{backbone}"
            for variant in gated.get(row["question"], ())
            for backbone in row["backbones"].split()
        ]
        judged = _unjudged(row["question"], arms, silent) or statement(
            row["question"],
            Finding(
                row["value"],
                row["low"],
                row["high"],
                row["p_holm"],
                row["equivalence_p"],
                row["detectable"],
            ),
            margin,
        )
        lines.append(f"{heading}: {judged}.")
    return lines


def _one_by_one(table: pd.DataFrame, margin: float, silent: Mapping[str, float]) -> list[str]:
    """Each part by the one arm that lacks it; what the part adds is what that arm has less."""
    lacking = {name: each.lacks for name, each in known_variants().items() if each.lacks}
    compared = table[table["variant"].isin(lacking) & table["delta_auc"].notna()]
    lines = []
    for row in compared.to_dict("records"):
        arms = [f"{REFERENCE}/{row['backbone']}"] if _lacks_the_gate_alone(row) else []
        judged = _unjudged("it", arms, silent) or statement(
            "it",
            Finding(
                -row["delta_auc"],
                -row["delta_high"],
                -row["delta_low"],
                row["p_holm"],
                row["equivalence_p"],
                row["detectable_delta"],
            ),
            margin,
        )
        lines.append(f"Without {lacking[row['variant']]}, on {row['backbone']}: {judged}.")
    return lines


def _lacks_the_gate_alone(row: Mapping[Any, Any]) -> bool:
    has, whole = describe(row["variant"]), describe(REFERENCE)
    return not has.gates and has.parts_of_features == whole.parts_of_features


def _unjudged(part: str, gated: Collection[str], silent: Mapping[str, float]) -> str:
    """What is said instead of a judgement where the gates that it is about do nothing."""
    if not gated or not set(gated) <= set(silent):
        return ""
    most = max(silent[arm] for arm in gated)
    return (
        f"{part} is not judged, as the gate did nothing: frozen at its channel means it changes no "
        f"score by more than {most:.4f}"
    )
