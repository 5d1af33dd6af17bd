"""Figures of what training did: how networks learned, where they looked, what an arm's AUC cost.

A row of panels for each backbone.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ablations.appearance import (
    in_order,
    legend_below,
    look_of,
    rows_of_panels,
    whole_numbers,
)
from ablations.formats import several
from ablations.rows import Study, name_of

_CURVES = {"val_loss": "validation loss", "val_auc": "validation AUC"}
_BOXES = {
    "box_area": "share of the image in the box",
    "box_fallback_rate": "share of boxes fallen back",
}
_MOST_BANDS = 5  # that can be told apart in one panel


def learning_curves(study: Study) -> Figure | None:
    """Loss and AUC on validation images by epoch, of confirmed models.

    Lines are means over seeds; bands span the seeds, where there are few arms.
    """
    of_confirmed = study.confirmed[["trial_id", "arm"]]
    epochs = study.epochs.merge(of_confirmed)
    if epochs.empty or not set(_CURVES) <= set(epochs.columns):
        return None
    lacking = _lacking(study, epochs["arm"].unique())
    return _by_epoch(epochs, _CURVES, _mean_and_range, "mean", "range", "seed", lacking)


def boxes(study: Study) -> Figure | None:
    """Share of the image inside the box, and share of boxes that fell back to the whole image.

    Lines are medians over trials; bands hold the middle half, where there are few arms.
    """
    epochs = study.epochs
    if not set(_BOXES) <= set(epochs.columns):
        return None
    epochs = epochs[epochs["box_area"].notna()].merge(study.trials[["trial_id", "arm"]])
    return _by_epoch(epochs, _BOXES, _quartiles, "median", "quartiles", "trial", ylim=(-0.02, 1.02))


def _mean_and_range(values: Any) -> list[pd.Series]:
    return [values.mean(), values.min(), values.max()]


def _quartiles(values: Any) -> list[pd.Series]:
    return [values.quantile(q) for q in (0.5, 0.25, 0.75)]


def _by_epoch(
    epochs: pd.DataFrame,
    shown: Mapping[str, str],
    summary: Callable[[Any], list[pd.Series]],
    middle: str,
    band: str,
    of: str,
    lacking: str = "",
    **limits: Any,
) -> Figure | None:
    """Two columns of `epochs` over the epochs, a line an arm.

    Args:
        shown: columns, with the names of their axes.
        summary: line, low and high of the band, of values grouped by epoch.
        middle, band, of: what line and band are, and over what, as a legend says it.
    """
    arms = in_order(epochs["arm"].unique())
    if not arms:
        return None
    figure, panels = rows_of_panels(arms, len(shown))
    banded = False
    for backbone, row in panels.items():
        own = in_order(arms, backbone)
        few = len(own) <= _MOST_BANDS
        banded |= few
        for axes, (column, what) in zip(row, shown.items(), strict=True):
            for arm in own:
                of_arm = epochs[epochs["arm"] == arm].groupby("epoch")[column]
                _line(axes, arm, *summary(of_arm), banded=few)
            axes.set(xlabel="epoch", ylabel=what, **limits)
            whole_numbers(axes)
    counts = epochs[epochs["arm"].isin(arms)].groupby("arm")["trial_id"].nunique()
    what = f"{middle} and {band}" if banded else middle
    legend_below(figure, f"{what} of {several(counts, of)} an arm{lacking}")
    return figure


def _line(
    axes: Axes, arm: str, middle: pd.Series, low: pd.Series, high: pd.Series, *, banded: bool
) -> None:
    look = look_of(arm)
    axes.plot(
        middle.index,
        middle,
        color=look.colour,
        linestyle=look.line,
        marker=look.marker,
        markersize=3,
        markevery=max(1, len(middle) // 10),
        label=name_of(arm),
    )
    if banded:
        axes.fill_between(middle.index, low, high, color=look.colour, alpha=0.12, linewidth=0)


def cost_against_auc(study: Study, table: pd.DataFrame) -> Figure | None:
    """Mean test AUC of each arm against its hours, search and all, and its parameters.

    Upright lines are the intervals of the AUC, 95 %. Hours are those of GPUs, or of processors
    where no arm had a GPU.

    Args:
        table: see `ablation_table`.
    """
    rows = table[table["arm"].isin(in_order(table["arm"])) & table["auc_mean"].notna()]
    if rows.empty:
        return None
    hours = "GPU" if (rows["gpu_hours"] > 0).any() else "CPU"
    rows = rows.assign(millions=rows["parameters"].astype(float) / 1e6)
    costs = {f"{hours.lower()}_hours": f"{hours}-hours of all its trials"}
    if rows["millions"].notna().any():  # earlier versions did not count them
        costs["millions"] = "million parameters"
    figure, panels = rows_of_panels(rows["arm"], len(costs), sharey=True, sharex="col")
    by_arm = rows.set_index("arm")
    for backbone, panel in panels.items():
        for axes, (column, what) in zip(panel, costs.items(), strict=True):
            for arm in in_order(by_arm.index, backbone):
                row, look = by_arm.loc[arm], look_of(arm)
                axes.plot([row[column]] * 2, [row["auc_low"], row["auc_high"]], color=look.colour)
                axes.plot(
                    row[column],
                    row["auc_mean"],
                    color=look.colour,
                    marker=look.marker,
                    linestyle="none",
                    label=name_of(arm),
                )
            axes.set_xlabel(what)
        panel[0].set_ylabel("test AUC")
    legend_below(figure, f"mean over seeds, interval of 95 %{_lacking(study, by_arm.index)}")
    return figure


def _lacking(study: Study, drawn: Iterable[str]) -> str:
    """Which arms of a study are not among those that are drawn, as a legend says it."""
    others = in_order(set(study.arms) - set(drawn))
    return f"; no confirmed model: {', '.join(map(name_of, others))}" if others else ""
