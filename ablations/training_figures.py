"""Figures of what training did: how networks learned, where they looked, what an arm's AUC cost.

A row of panels for each backbone.
"""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ablations.appearance import (
    in_order,
    legend_below,
    look_of,
    rows_of_panels,
    several,
    whole_numbers,
)
from ablations.rows import Study, name_of
from tuning.study.trial import Stage

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
    of_confirmed = study.stage(Stage.CONFIRM)[["trial_id", "arm"]]
    epochs = study.epochs.merge(of_confirmed)
    arms = in_order(epochs["arm"].unique())
    if not arms or not set(_CURVES) <= set(epochs.columns):
        return None
    figure, panels = rows_of_panels(arms, 2)
    for backbone, row in panels.items():
        own = in_order(arms, backbone)
        for axes, (column, what) in zip(row, _CURVES.items(), strict=True):
            for arm in own:
                of_arm = epochs[epochs["arm"] == arm].groupby("epoch")[column]
                _line(axes, arm, of_arm.mean(), of_arm.min(), of_arm.max(), len(own))
            _by_epoch(axes, what)
    seeds = of_confirmed[of_confirmed["arm"].isin(arms)].groupby("arm")["trial_id"].nunique()
    legend_below(figure, f"mean of {several(seeds, 'seed')}{_lacking(study, arms)}")
    return figure


def boxes(study: Study) -> Figure | None:
    """Share of the image inside the box, and share of boxes that fell back to the whole image."""
    epochs = study.epochs
    if not set(_BOXES) <= set(epochs.columns):
        return None
    epochs = epochs[epochs["box_area"].notna()].merge(study.trials[["trial_id", "arm"]])
    arms = in_order(epochs["arm"].unique())
    if not arms:
        return None
    figure, panels = rows_of_panels(arms, 2)
    for backbone, row in panels.items():
        own = in_order(arms, backbone)
        for axes, (column, what) in zip(row, _BOXES.items(), strict=True):
            for arm in own:
                of_arm = epochs[epochs["arm"] == arm].groupby("epoch")[column]
                middle, low, high = (of_arm.quantile(q) for q in (0.5, 0.25, 0.75))
                _line(axes, arm, middle, low, high, len(own))
            _by_epoch(axes, what, ylim=(-0.02, 1.02))
    trials = epochs.groupby("arm")["trial_id"].nunique()
    legend_below(figure, f"median of {several(trials, 'trial')} an arm")
    return figure


def _line(
    axes: Axes, arm: str, middle: pd.Series, low: pd.Series, high: pd.Series, arms: int
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
    if arms <= _MOST_BANDS:
        axes.fill_between(middle.index, low, high, color=look.colour, alpha=0.12, linewidth=0)


def _by_epoch(axes: Axes, what: str, **more: Any) -> None:
    axes.set(xlabel="epoch", ylabel=what, **more)
    whole_numbers(axes)


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


def _lacking(study: Study, arms: "pd.Index[str] | list[str]") -> str:
    """Which arms of a study are not among those that are drawn, as a legend says it."""
    others = [arm for arm in in_order(study.arms) if arm not in arms]
    return f"; no confirmed model: {', '.join(map(name_of, others))}" if others else ""
