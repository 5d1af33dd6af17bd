"""What a study says of each part, one line a question: the primary one first, single arms last."""

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

from ablations.differences import MARGIN
from ablations.effects import MAIN_EFFECTS, PRIMARY, Finding, effects, statement
from ablations.formats import p_text
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
        *_one_by_one(study, table, margin, silent),
        *_declared(study, table, margin),
        *_tuning(study, table),
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


def _one_by_one(
    study: Study, table: pd.DataFrame, margin: float, silent: Mapping[str, float]
) -> list[str]:
    """Each part by the one arm that lacks it; what the part adds is what that arm has less."""
    lacking = {name: each.lacks for name, each in known_variants().items() if each.lacks}
    compared = table[table["variant"].isin(lacking) & table["delta_auc"].notna()]
    compared = compared[compared["arm"].isin(study.families[0])]
    lines = []
    for row in compared.to_dict("records"):
        arms = [f"{REFERENCE}/{row['backbone']}"] if _lacks_the_gate_alone(row) else []
        judged = _unjudged("it", arms, silent) or statement(
            "it",
            _what_it_lacks(row),
            margin,
        )
        lines.append(f"Without {lacking[row['variant']]}, on {row['backbone']}: {judged}.")
    return lines


def _declared(study: Study, table: pd.DataFrame, margin: float) -> list[str]:
    """Each declared arm against its reference: what that has more, or what the arm has more."""
    lines = []
    compared = table[table["arm"].isin(study.families[1]) & table["delta_auc"].notna()]
    for row in compared.to_dict("records"):
        arm = study.described[row["arm"]]
        assert arm.declared is not None
        lacks, about = arm.declared.lacks, arm.declared.about
        if lacks is not None:
            judged = statement("it", _what_it_lacks(row), margin)
            lines.append(f"Without {lacks} ({arm.name}), on {arm.backbone}: {judged}.")
        else:
            judged = statement("it", _what_it_adds(row), margin)
            what = f" ({about})" * bool(about)
            lines.append(f"{arm.name}{what} against {arm.reference}, on {arm.backbone}: {judged}.")
    return lines


def _tuning(study: Study, table: pd.DataFrame) -> list[str]:
    """What the search added to each arm's default setting, in one line."""
    compared = table[table["arm"].isin(study.families[2]) & table["delta_auc"].notna()]
    shown = []
    for row in compared.to_dict("records"):
        found = _what_it_lacks(row)
        shown.append(
            f"{row['reference']}/{row['backbone']} {found.value:+.3f} "
            f"[{found.low:.3f}, {found.high:.3f}], {p_text(found.p_adjusted, 'p')}"
        )
    return [f"Tuned minus as published, AUC: {'; '.join(shown)}."] if shown else []


def _what_it_adds(row: Mapping[Any, Any]) -> Finding:
    """What an arm has more than its reference."""
    return Finding(
        row["delta_auc"],
        row["delta_low"],
        row["delta_high"],
        row["p_holm"],
        row["equivalence_p"],
        row["detectable_delta"],
    )


def _what_it_lacks(row: Mapping[Any, Any]) -> Finding:
    """What its reference has more than an arm."""
    adds = _what_it_adds(row)
    value, low, high = (0.0 - each for each in (adds.value, adds.high, adds.low))  # never -0.0
    return adds._replace(value=value, low=low, high=high)


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
