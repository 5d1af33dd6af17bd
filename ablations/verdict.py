"""What a study says of each part, one sentence a question: the primary one first, single arms last.

`ablations.brief` says the same in one line each.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from ablations.defaults import MARGIN
from ablations.effects import MAIN_EFFECTS, PRIMARY, Finding, effects, statement
from ablations.formats import p_text
from ablations.gates import silent_gates
from ablations.rows import Study
from ablations.statistics.factorial import main_effects
from ablations.subgroups.words import subgroup_lines
from masll.variants import REFERENCE, describe, known_variants

NOTHING = "Nothing to compare yet: no arm stands beside a gated-fusion of the same backbone."
NOTE = "Intervals are of 95 %, each for itself; p is adjusted within each family (Holm)."
SINGLE, DECLARED = "single arms", "declared arms"


class Answer(NamedTuple):
    """What a study says to one question."""

    family: str  # PRIMARY, MAIN_EFFECTS, SINGLE or DECLARED: p is adjusted within it
    part: str  # what the question is about, in words: the local branch
    heading: str  # of its sentence
    subject: str  # likewise
    backbones: tuple[str, ...]
    finding: Finding
    unjudged: str = ""  # why there is no judgement, in words; empty where there is one
    meaning: str = ""  # of a declared arm, what its answer tells

    def sentence(self, margin: float) -> str:
        """As the report says it."""
        said = (
            f"{self.subject} is not judged, as {self.unjudged}"
            if self.unjudged
            else statement(self.subject, self.finding, margin)
        )
        return f"{self.heading}: {said}."


def answers(study: Study, table: pd.DataFrame, margin: float = MARGIN) -> list[Answer]:
    """What the study's arms answer, in the order of the verdict.

    Args:
        table: see `ablation_table`.
        margin: of equivalence, see `effects`.
    """
    silent = silent_gates(study)
    return [
        *_together(study, margin, silent),
        *_one_by_one(study, table, silent),
        *_declared(study, table),
    ]


def verdict(study: Study, table: pd.DataFrame, margin: float = MARGIN) -> list[str]:
    """The sentences of the verdict; arguments as of `answers`."""
    lines = [answer.sentence(margin) for answer in answers(study, table, margin)]
    lines += [*_tuning(study, table), *subgroup_lines(study)]
    return [*lines, NOTE] if lines else [NOTHING]


def _together(study: Study, margin: float, silent: Mapping[str, float]) -> Iterable[Answer]:
    """The primary question and the main effects, over all backbones."""
    named = "named beforehand" if study.spec.primary else "which the spec does not name"
    headings = {PRIMARY: f"Primary question, {named}", MAIN_EFFECTS: "Main effect"}
    gated = {q.name: q.gated_variants for q in main_effects() if q.about_gate}
    for row in effects(study, margin).to_dict("records"):
        question, backbones = row["question"], tuple(row["backbones"].split())
        arms = [f"{variant}/{b}" for variant in gated.get(question, ()) for b in backbones]
        finding = Finding(
            row["value"],
            row["low"],
            row["high"],
            row["p_holm"],
            row["equivalence_p"],
            row["detectable"],
        )
        heading = headings[row["family"]]
        yield Answer(
            row["family"],
            question,
            heading,
            question,
            backbones,
            finding,
            _unjudged(arms, silent),
        )


def _one_by_one(study: Study, table: pd.DataFrame, silent: Mapping[str, float]) -> Iterable[Answer]:
    """Each part by the one arm that lacks it; what the part adds is what that arm has less."""
    lacking = {name: each.lacks for name, each in known_variants().items() if each.lacks}
    compared = table[table["variant"].isin(lacking) & table["delta_auc"].notna()]
    compared = compared[compared["arm"].isin(study.families[0])]
    for row in compared.to_dict("records"):
        arms = [f"{REFERENCE}/{row['backbone']}"] if _lacks_the_gate_alone(row) else []
        part, backbone = lacking[row["variant"]], row["backbone"]
        yield Answer(
            SINGLE,
            part,
            f"Without {part}, on {backbone}",
            "it",
            (backbone,),
            _what_it_lacks(row),
            _unjudged(arms, silent),
        )


def _declared(study: Study, table: pd.DataFrame) -> Iterable[Answer]:
    """Each declared arm against its reference: what that has more, or what the arm has more."""
    compared = table[table["arm"].isin(study.families[1]) & table["delta_auc"].notna()]
    for row in compared.to_dict("records"):
        arm = study.described[row["arm"]]
        assert arm.declared is not None
        lacks, about = arm.declared.lacks, arm.declared.about
        if lacks is not None:
            part, finding = f"{arm.reference} against {arm.name}", _what_it_lacks(row)
            heading = f"Without {lacks} ({arm.name}), on {arm.backbone}"
        else:
            part, finding = f"{arm.name} against {arm.reference}", _what_it_adds(row)
            what = f" ({about})" * bool(about)
            heading = f"{arm.name}{what} against {arm.reference}, on {arm.backbone}"
        meaning = lacks or about.partition(",")[0]
        yield Answer(DECLARED, part, heading, "it", (arm.backbone,), finding, meaning=meaning)


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


def _unjudged(gated: Collection[str], silent: Mapping[str, float]) -> str:
    """Why there is no judgement, where the gates that it is about do nothing."""
    if not gated or not set(gated) <= set(silent):
        return ""
    most = max(silent[arm] for arm in gated)
    return (
        f"the gate did nothing: frozen at its channel means it changes no score by more than "
        f"{most:.4f}"
    )
