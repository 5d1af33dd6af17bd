"""The figure of subgroups: each arm's difference to its reference in each group of images."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ablations.appearance import (
    backbones_in,
    in_order,
    look_of,
    margin_band,
    new_figure,
    put_mean,
)
from ablations.defaults import MARGIN
from ablations.differences import ALPHA, differences
from ablations.formats import p_text
from ablations.rows import Study
from ablations.subgroups.figures import subgroups
from ablations.subgroups.gaps import gaps
from ablations.subgroups.images import LEAST

_A_ROW = 4  # panels
_TICKS = 3  # gaps between ticks of a narrow panel, at most


def subgroup_forest(study: Study, margin: float = MARGIN) -> Figure | None:
    """A panel an arm, a line a group: the difference in AUC to the reference, with its interval.

    Above all groups, in grey, the difference on all test images. A group of a gap that is found
    has its p (Holm) beside it. The band is that of `ablations.forest`.

    Args:
        margin: see `effects`.

    Returns:
        None without `--by`, or where no arm stands beside its reference.
    """
    table = subgroups(study)
    table = table[table["delta_auc"].notna()]
    if table.empty:
        return None
    every = table["arm"].unique()
    arms = [arm for name in backbones_in(study, every) for arm in in_order(every, name)]
    lines = table.drop_duplicates(["by", "group"])
    columns = min(len(arms), _A_ROW)
    rows = math.ceil(len(arms) / _A_ROW)
    height = rows * (1.1 + 0.26 * (len(lines) + 1))
    figure = new_figure(2.2 + 2.3 * columns, height)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    names = [f"{row.by}: {row.group} ({row.images}, {row.melanoma})" for row in lines.itertuples()]
    on_all, tested = differences(study), gaps(study)
    for axes, arm in zip(panels.flat, arms, strict=False):
        of_arm = table[table["arm"] == arm].set_index(["by", "group"])
        margin_band(axes, margin)
        whole = on_all.loc[arm]
        axes.plot([whole["delta_low"], whole["delta_high"]], [0, 0], color="0.4")
        axes.plot(whole["delta_auc"], 0, marker="D", color="0.4", markersize=4)
        for place, key in enumerate(zip(lines["by"], lines["group"], strict=True), 1):
            if key in of_arm.index:
                _draw(axes, arm, place, of_arm.loc[key])
                _mark(axes, place, tested[(tested["arm"] == arm)], key)
        reference = study.reference_of(arm)
        axes.set_title(f"{arm}\nminus {reference}", fontsize=7, parse_math=False)
        axes.set_yticks(range(len(lines) + 1), ["all test images", *names])
        for label in axes.get_yticklabels():
            label.set_parse_math(False)  # a value of the metadata may hold a $
        axes.grid(axis="y", visible=False)
    for axes in panels.flat[len(arms) :]:
        axes.axis("off")
    for axes in panels.flat[max(0, len(arms) - columns) : len(arms)]:
        axes.tick_params(labelbottom=True)  # the last of its column, if a panel below is off
    panels[0][0].set_ylim(len(lines) + 0.6, -0.6)
    panels[0][0].xaxis.set_major_locator(MaxNLocator(_TICKS))
    images = study.test_predictions["image_id"].nunique()
    figure.supxlabel(
        f"difference in AUC, 95 % interval; band: margin of equivalence, ±{margin:g}\n{images} "
        "test images; in brackets images and melanoma of a group; groups with\n"
        f"fewer than {LEAST} of a class are left out",
        fontsize=8,
    )
    return figure


def _draw(axes: Axes, arm: str, place: int, row: pd.Series) -> None:
    look = look_of(arm)
    axes.plot([row["delta_low"], row["delta_high"]], [place, place], color=look.colour)
    put_mean(axes, row["delta_auc"], place, look, markersize=5)


def _mark(axes: Axes, place: int, tested: pd.DataFrame, key: tuple[str, str]) -> None:
    """The p of a gap that is found, beside the group that it is of."""
    by, group = key
    found = tested[(tested["by"] == by) & (tested["group"] == group) & (tested["p_holm"] < ALPHA)]
    for p in found["p_holm"]:
        place_of_text = ("axes fraction", "data")
        axes.annotate(
            p_text(p, "p"),
            (0.99, place),
            xycoords=place_of_text,
            ha="right",
            va="bottom",
            fontsize=7,
        )
