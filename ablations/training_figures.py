"""Figures of what training did: how networks learned, where they looked, what an arm's AUC cost.

A row of panels for each backbone.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from ablations.appearance import (
    MOST_BANDS,
    backbones_in,
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
    "box_area": "share of image in box",
    "box_fallback_rate": "share of boxes fallen back",
}


_ASIDE = 0.1  # inches between arms of nearly equal cost
_PANEL = 2.5  # inches that a panel is wide at least
_NEAR = 0.02  # of the range of costs


def learning_curves(study: Study) -> Figure | None:
    """Loss and AUC on validation images by epoch, of confirmed models.

    Lines are means over seeds; bands span the seeds, where there are few arms.
    """
    of_confirmed = study.confirmed[["trial_id", "arm"]]
    epochs = study.epochs.merge(of_confirmed)
    if epochs.empty or not set(_CURVES) <= set(epochs.columns):
        return None
    lacking = _lacking(study, epochs["arm"].unique())
    return _by_epoch(study, epochs, _CURVES, _mean_and_range, "mean", "range", "seed", lacking)


def boxes(study: Study) -> Figure | None:
    """Share of the image inside the box, and share of boxes that fell back to the whole image.

    Lines are medians over trials; bands hold the middle half, where there are few arms.
    """
    epochs = study.epochs
    if not set(_BOXES) <= set(epochs.columns):
        return None
    epochs = epochs[epochs["box_area"].notna()].merge(study.trials[["trial_id", "arm"]])
    words = ("median", "quartiles", "trial")
    return _by_epoch(study, epochs, _BOXES, _quartiles, *words, ylim=(-0.02, 1.02))


def _mean_and_range(values: Any) -> list[pd.Series]:
    return [values.mean(), values.min(), values.max()]


def _quartiles(values: Any) -> list[pd.Series]:
    return [values.quantile(q) for q in (0.5, 0.25, 0.75)]


def _by_epoch(
    study: Study,
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
    figure, panels = rows_of_panels(backbones_in(study, arms), len(shown))
    banded = False
    for backbone, row in panels.items():
        own = in_order(arms, backbone)
        few = len(own) <= MOST_BANDS
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

    Upright lines are the intervals of the AUC, 95 %; arms of equal cost stand side by side. Hours
    are those of GPUs, or of processors where no arm had a GPU.

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
    figure, panels = rows_of_panels(backbones_in(study, rows["arm"]), len(costs), sharey=True)
    by_arm = rows.set_index("arm")
    beside = False
    for backbone, panel in panels.items():
        for axes, (column, what) in zip(panel, costs.items(), strict=True):
            arms = in_order(by_arm.index, backbone)
            asides = _asides(by_arm.loc[arms, column])
            for arm in arms:
                row, look = by_arm.loc[arm], look_of(arm)
                bounds = [row["auc_low"], row["auc_high"]]
                drawn = axes.plot([row[column]] * 2, bounds, color=look.colour)
                drawn += axes.plot(
                    row[column],
                    row["auc_mean"],
                    color=look.colour,
                    marker=look.marker,
                    linestyle="none",
                    label=name_of(arm),
                )
                moved = ScaledTranslation(asides[arm], 0, figure.dpi_scale_trans)
                for line in drawn:
                    line.set_transform(axes.transData + moved)
            axes.set_xlabel(what)
            axes.margins(x=0.06 + max(asides.values()) / _PANEL)
            beside |= any(asides.values())
        panel[0].set_ylabel("test AUC")
    side_by_side = "; arms of nearly equal cost side by side" * beside
    lacking = _lacking(study, by_arm.index)
    legend_below(figure, f"mean over seeds, interval of 95 %{side_by_side}{lacking}")
    return figure


def _asides(costs: pd.Series) -> dict[str, float]:
    """How far each arm is moved aside, in inches, so that those of nearly equal cost can be seen.

    Args:
        costs: by arm.
    """
    ordered = costs.astype(float).sort_values(kind="stable")
    near = (costs.max() - costs.min()) * _NEAR
    heaps = (ordered.diff() > near).cumsum()
    places = heaps.groupby(heaps)
    asides = (places.cumcount() - (places.transform("size") - 1) / 2) * _ASIDE
    return {str(arm): float(aside) for arm, aside in asides.items()}


def _lacking(study: Study, drawn: Iterable[str]) -> str:
    """Which arms of a study are not among those that are drawn, as a legend says it."""
    others = in_order(set(study.arms) - set(drawn))
    return f"; no confirmed model: {', '.join(map(name_of, others))}" if others else ""
