"""The verdict as a picture: what each part adds, with its interval, and the arms behind it.

The same lines as in `ablations.brief`, in the same order: for a front page, a talk or a poster.
"""

from collections.abc import Mapping, Sequence
from textwrap import wrap

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ablations.appearance import look_of, margin_band, new_figure, put_mean
from ablations.brief import asked, headline, named, outcome_of
from ablations.differences import MARGIN
from ablations.effects import Outcome
from ablations.formats import mean_and_sd, p_text
from ablations.rows import Study, name_of
from ablations.verdict import DECLARED, Answer, answers

_COLOURS: Mapping[str, str] = {Outcome.ADDS: "#0173b2", Outcome.COSTS: "#d55e00"}
_UNDECIDED = "#595959"
_ROW, _WIDTH = 0.3, 8.4  # inches
_LETTERS = 84  # of a heading in one line
_COLUMNS = (8, 70, 178)  # points from the axes: where the text beside them begins


def verdict_figure(study: Study, table: pd.DataFrame, margin: float = MARGIN) -> Figure | None:
    """Draw what a report opens with.

    Above, a line for each question: what the part adds in AUC, its 95 % interval, blue where it
    helps, orange where it harms, grey where neither is shown; the band is the margin of
    equivalence. Below, the mean test AUC of each arm, its 95 % interval, and its seeds.

    Args:
        table: see `ablation_table`.
        margin: of equivalence, see `effects`.

    Returns:
        The figure; None where the study has nothing to compare yet.
    """
    said = answers(study, table, margin)
    questions = asked(said)
    lines = [*questions, *(answer for answer in said if answer.family == DECLARED)]
    if not lines:
        return None
    arms = table[table["auc_mean"].notna()]
    sizes = [len(lines), len(arms)]
    with sns.axes_style("whitegrid"), sns.plotting_context("paper"):
        heading = "\n".join(line for each in headline(questions) for line in wrap(each, _LETTERS))
        height = _ROW * (sum(sizes) + 5 + heading.count("\n"))
        figure = new_figure(_WIDTH, height)
        above, below = figure.subplots(2, 1, height_ratios=[size + 0.6 for size in sizes])
        _answers(above, lines, said, margin)
        _arms(below, arms, study)
    figure.suptitle(heading, x=0.01, ha="left", fontweight="bold")
    return figure


def _answers(axes: Axes, lines: Sequence[Answer], among: Sequence[Answer], margin: float) -> None:
    margin_band(axes, margin)
    for place, answer in enumerate(lines):
        found, outcome = answer.finding, outcome_of(answer)
        colour = _COLOURS.get(outcome, _UNDECIDED)
        axes.plot([found.low, found.high], [place, place], color=colour, linewidth=2)
        axes.plot(found.value, place, marker="o", color=colour)
        p = "" if answer.unjudged else p_text(found.p_adjusted, "p")
        interval = f"{found.value:+.3f} [{found.low:.3f}, {found.high:.3f}]"
        _beside(axes, place, (outcome, interval, p), colour)
    _rows(axes, [named(answer, among) for answer in lines])
    axes.set_xlabel(f"adds to the test AUC, 95 % interval; band: ±{margin:g}", fontsize="small")


def _arms(axes: Axes, arms: pd.DataFrame, study: Study) -> None:
    seeds = study.confirmed.groupby("arm")["test_auc"].apply(list)
    for place, row in enumerate(arms.to_dict("records")):
        look = look_of(row["arm"])
        axes.plot([row["auc_low"], row["auc_high"]], [place, place], color=look.colour, linewidth=2)
        put_mean(axes, row["auc_mean"], place, look)
        axes.plot(seeds[row["arm"]], [place] * len(seeds[row["arm"]]), "|", color="0.2")
        _beside(axes, place, (mean_and_sd(row["auc_mean"], row["auc_sd"]),), "0.2")
    backbones = arms["backbone"].unique()
    _rows(axes, [name_of(arm) if len(backbones) == 1 else arm for arm in arms["arm"]])
    images = study.test_predictions.drop_duplicates("image_id")
    axes.set_xlabel(
        f"test AUC: each seed, mean and 95 % interval; {len(images)} test images, "
        f"{int((images['label'] == 1).sum())} melanoma; {', '.join(backbones)}",
        fontsize="small",
    )


def _rows(axes: Axes, names: Sequence[str]) -> None:
    """One line for each name, the first on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)


def _beside(axes: Axes, place: int, cells: Sequence[str], colour: str) -> None:
    for cell, offset in zip(cells, _COLUMNS, strict=False):
        axes.annotate(
            cell,
            (1, place),
            (offset, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            color=colour,
            fontsize="small",
        )
