"""What every report opens with: what helped, then one line a question, then one line an arm.

The same content for a terminal of 80 columns and as Markdown; all else follows it, or stands in the
report only.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pandas as pd

from ablations.defaults import MARGIN
from ablations.effects import MAIN_EFFECTS, PRIMARY, Outcome, decide
from ablations.formats import Cells, interval, markdown, mean_and_sd, number, p_text
from ablations.remarks import cautions
from ablations.rows import Study, backbone_of, name_of
from ablations.verdict import DECLARED, NOTHING, SINGLE, Answer, answers
from masll.common.terminal import Terminal, fitting_table
from masll.variants import REFERENCE, known_variants

_HEADINGS = {  # of the outcomes that a headline names, in its order
    Outcome.ADDS: "Helps",
    Outcome.COSTS: "Harms",
    Outcome.NO_DIFFERENCE: "Makes no difference",
    Outcome.THE_SAME: "Changes no score",
    Outcome.NOT_SHOWN: "Not shown to help",
}
_NOT_JUDGED = "not judged"
# Columns of an arm's line that narrow screens leave out, the first of them first.
_SPARE = ("SEN@.90", "AUC 95 %", "seeds", "95 % interval")


class Brief(NamedTuple):
    """What a report opens with."""

    headline: list[str]  # sentences: which parts help, harm, make no difference, are not shown to
    questions: list[Cells]  # a row each
    controls: list[Cells]  # likewise, of declared arms
    arms: list[Cells]  # likewise, an arm each; none while no model is confirmed
    notes: list[str]  # how the lines are meant, and what is wrong or missing

    def as_markdown(self) -> str:
        """Paragraphs and tables, without a heading at the top."""
        parts = [f"**{line}**" for line in self.headline]
        for heading, rows in (
            ("", self.questions),
            ("## Controls and arms of your own", self.controls),
            ("## Arms", self.arms),
        ):
            if rows:
                parts += [heading] * bool(heading) + [markdown(rows).rstrip()]
        return "\n\n".join([*parts, *self.notes])

    def show(self, console: Terminal) -> None:
        """On a terminal; no name is broken but at its spaces."""
        for line in self.headline:
            console.print(line)
        for heading, rows in (("", self.questions), ("\nControls", self.controls)):
            if rows:
                console.print(heading)
                console.print(fitting_table(console, rows, ("tells",), header=False))
        if self.arms:
            console.print()
            console.print(fitting_table(console, _by_backbone(self.arms), _SPARE))
            console.print()
        for line in self.notes:
            console.print(line)


def brief(study: Study, table: pd.DataFrame, margin: float = MARGIN) -> Brief:
    """What a study says, in brief.

    Args:
        table: see `ablation_table`.
        margin: of equivalence, see `effects`.
    """
    said = answers(study, table, margin)
    questions = asked(said)
    compared = [answer for answer in said if answer.family == DECLARED]
    confirmed = table[table["seeds"] > 0]
    return Brief(
        headline(questions) or ([] if said else [NOTHING]),
        [_line(answer, said) for answer in questions],
        [_line(answer, said) for answer in compared],
        _arms(confirmed),
        [*_legend(study, confirmed, questions), *_unjudged(questions), *cautions(study)],
    )


def asked(said: Sequence[Answer]) -> list[Answer]:
    """The primary question, the main effects, and single arms for parts that neither asks about."""
    together = [answer for answer in said if answer.family in (PRIMARY, MAIN_EFFECTS)]
    covered = {answer.part for answer in together}
    single = (answer for answer in said if answer.family == SINGLE)
    return [*together, *(answer for answer in single if answer.part not in covered)]


def headline(questions: Iterable[Answer]) -> list[str]:
    """Which parts help and which do not; a part with an answer for each backbone names these."""
    parts = {each.lacks for each in known_variants().values()}  # an interaction is none
    by_outcome: dict[str, list[str]] = {}
    about_parts = [answer for answer in questions if answer.part in parts]
    for answer in about_parts:
        if answer.unjudged:
            heading = "Not judged"
        else:
            heading = _HEADINGS.get(decide(answer.finding), "Not tested")
        by_outcome.setdefault(heading, []).append(named(answer, about_parts))
    order = [*_HEADINGS.values(), "Not judged", "Not tested"]
    return [f"{each}: {', '.join(by_outcome[each])}." for each in order if each in by_outcome]


def named(answer: Answer, among: Sequence[Answer]) -> str:
    """Its part, with the backbone in brackets where others ask the same on other backbones."""
    same = [each for each in among if (each.family, each.part) == (answer.family, answer.part)]
    return answer.part if len(same) == 1 else f"{answer.part} ({' '.join(answer.backbones)})"


def outcome_of(answer: Answer) -> str:
    """The word for it: adds, costs, not shown, not judged and so on."""
    return _NOT_JUDGED if answer.unjudged else decide(answer.finding).value


def _line(answer: Answer, among: Sequence[Answer]) -> Cells:
    found = answer.finding
    cells = {
        "question": named(answer, among),
        "outcome": outcome_of(answer),
        "AUC": f"{found.value:+.3f} [{found.low:.3f}, {found.high:.3f}]",
        "p": "" if answer.unjudged else p_text(found.p_adjusted, "p"),
    }
    return {**cells, "tells": answer.meaning} if answer.meaning else cells


def _arms(table: pd.DataFrame) -> list[Cells]:
    return [
        {
            "arm": row["arm"],
            "seeds": str(row["seeds"]),
            "AUC": _mean(row["auc_mean"], row["auc_sd"]),
            "AUC 95 %": interval(row["auc_low"], row["auc_high"]),
            "SEN@.90": _mean(row["sen_at_spe_90"], row["sen_at_spe_90_sd"]),
            "difference": number(row["delta_auc"], "+.3f"),
            "95 % interval": interval(row["delta_low"], row["delta_high"]),
            "p Holm": p_text(row["p_holm"]),
        }
        for row in table.to_dict("records")
    ]


def _mean(value: float, sd: float) -> str:
    """With its standard deviation, where there are several seeds."""
    return number(value, ".3f") if math.isnan(sd) else mean_and_sd(value, sd)


def _by_backbone(rows: Sequence[Cells]) -> list[Cells]:
    """Arms by name, below a line with their backbone where there are several."""
    backbones = list(dict.fromkeys(backbone_of(row["arm"]) for row in rows))
    shown: list[Cells] = []
    for backbone in backbones:
        if len(backbones) > 1:
            shown.append(dict.fromkeys(rows[0], "") | {"arm": f"{backbone}:"})
        indent = "  " * (len(backbones) > 1)
        shown += [
            {**row, "arm": indent + name_of(row["arm"])}
            for row in rows
            if backbone_of(row["arm"]) == backbone
        ]
    return shown


def _legend(study: Study, table: pd.DataFrame, asked: Sequence[Answer]) -> list[str]:
    """What the lines are of, in a sentence or two."""
    if table.empty:
        return []
    images = study.test_predictions.drop_duplicates("image_id")
    backbones = ", ".join(dict.fromkeys(table["backbone"]))
    seeds = sorted(set(table["seeds"]))
    several = f"{seeds[0]} to " * (len(seeds) > 1) + f"{seeds[-1]} seeds an arm"
    over = "other seeds and other images"
    if seeds[-1] == 1:
        several, over = "1 seed an arm", "other images"
    else:
        several += " (mean ± standard deviation)"
    first = ""
    if asked and asked[0].family == PRIMARY and study.spec.primary:
        first = f" The primary question, fixed beforehand: {asked[0].part}."
    undecided = ""
    if any(outcome_of(answer) == str(Outcome.NOT_SHOWN) for answer in asked):
        undecided = f" {str(Outcome.NOT_SHOWN).capitalize()}: undecided, it may help or harm."
    control = ""
    if any(arm.declared is not None for arm in study.described.values()):
        control = ", of a control minus the arm named with it"
    return [
        f"AUC on {len(images)} test images, {int((images['label'] == 1).sum())} melanoma; "
        f"{backbones}; {several}. Intervals of 95 % hold for {over}.{undecided}{first} "
        f"Difference: the arm minus {REFERENCE}{control}. p is adjusted (Holm): a question's "
        "within its family, an arm's among those of its kind; one comparison can have both."
    ]


def _unjudged(asked: Iterable[Answer]) -> list[str]:
    reasons = dict.fromkeys(answer.unjudged for answer in asked if answer.unjudged)
    return [f"Not judged: {reason}." for reason in reasons]
