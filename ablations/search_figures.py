"""Figures of the search: what was tried, which parameters matter, and what a longer one would find.

A row of panels for each backbone.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ablations.appearance import (
    MOST_BANDS,
    backbones_in,
    in_order,
    legend_below,
    log_ticks,
    look_of,
    rows_of_panels,
    whole_numbers,
)
from ablations.formats import several
from ablations.importance import EVALUATORS, parameter_importance
from ablations.rows import Study, name_of
from ablations.statistics import best_quantile, expected_best
from tuning.study.trial import Stage, Status

_SHOWN = {"lr": "learning rate", "threshold_scale": "threshold scale (T/mean)"}
_SCALES = {"lr": "log", "threshold_scale": "linear"}


def searched(study: Study) -> Figure | None:
    """Validation AUC of every search trial against learning rate and threshold scale, by arm."""
    trials = _search_trials(study)
    arms = in_order(trials["arm"].unique())
    if not arms:
        return None
    figure, panels = rows_of_panels(backbones_in(study, arms), 2, sharey="row")
    for backbone, row in panels.items():
        for axes, (name, scale) in zip(row, _SCALES.items(), strict=True):
            for arm in in_order(arms, backbone):
                _dots(axes, arm, trials[(trials["arm"] == arm) & trials[name].notna()], name)
            axes.set(xscale=scale, xlabel=_SHOWN[name])
            if scale == "log":
                log_ticks(axes)
        row[0].set_ylabel("validation AUC, best epoch")
    legend_below(figure, f"{several([len(trials)], 'search trial')}; crosses were stopped early")
    return figure


def _dots(axes: Axes, arm: str, trials: pd.DataFrame, name: str) -> None:
    size = min(1, 60 / max(len(trials), 1))
    look = look_of(arm)
    pruned = trials["status"] == Status.PRUNED
    for some, marker, label in (
        (trials[~pruned], look.marker, name_of(arm)),
        (trials[pruned], "x", None),
    ):
        axes.scatter(
            some[name].astype(float),
            some["val_auc"],
            color=look.colour,
            marker=marker,
            s=22 * size,
            label=label,
        )


def importance(study: Study) -> Figure | None:
    """How much each searched parameter matters to an arm, by two evaluators, which often disagree.

    See `parameter_importance`.
    """
    measured = parameter_importance(study)
    if measured.empty:
        return None
    names = list(dict.fromkeys(measured["parameter"]))
    every = in_order(measured["arm"].unique())
    figure, panels = rows_of_panels(backbones_in(study, every), 2, titled=True, sharey="row")
    for backbone, row in panels.items():
        arms = in_order(every, backbone)
        height = 0.8 / len(arms)
        for axes, evaluator in zip(row, EVALUATORS, strict=True):
            by = measured[measured["evaluator"] == evaluator]
            for index, arm in enumerate(arms):
                values = by[by["arm"] == arm].set_index("parameter")["importance"].reindex(names)
                axes.barh(
                    np.arange(len(names)) + (index - (len(arms) - 1) / 2) * height,
                    values,
                    height,
                    color=look_of(arm).colour,
                    label=name_of(arm),
                )
            axes.set(title=evaluator, xlabel="share of importance", xlim=(0, 1))
            axes.set_yticks(range(len(names)), [_SHOWN.get(name, name) for name in names])
            axes.grid(axis="y", visible=False)
        row[0].invert_yaxis()
    trials = measured.drop_duplicates("arm")["trials"]
    legend_below(
        figure,
        f"{several(trials, 'completed search trial')} of an arm; those stopped early have the AUC "
        "of fewer epochs, and are left out",
    )
    return figure


def budget(study: Study) -> Figure | None:
    """Best validation AUC so far by trials spent, and its expectation for other draws.

    The expectation is that of Dodge et al., "Show Your Work" (2019); its band, where there are few
    arms, holds the best of half of the draws. What was so far the best happened once, and has no
    band.
    """
    trials = _search_trials(study)
    arms = in_order(trials["arm"].unique())
    if not arms:
        return None
    figure, panels = rows_of_panels(backbones_in(study, arms), 2, titled=True, sharey="row")
    for backbone, (so_far, expected) in panels.items():
        own = in_order(arms, backbone)
        for arm in own:
            look = look_of(arm)
            values = trials[trials["arm"] == arm].sort_values("started_at")["val_auc"].to_numpy()
            spent = np.arange(1, len(values) + 1)
            style: dict[str, Any] = {
                "color": look.colour,
                "linestyle": look.line,
                "label": name_of(arm),
                "marker": look.marker,
                "markersize": 3,
                "markevery": max(1, len(values) // 10),
            }
            so_far.step(spent, np.maximum.accumulate(values), where="post", **style)
            expected.plot(spent, expected_best(values, len(values)), **style)
            if len(own) <= MOST_BANDS:
                low, high = (best_quantile(values, len(values), q) for q in (0.25, 0.75))
                expected.fill_between(spent, low, high, color=look.colour, alpha=0.12, linewidth=0)
        quartiles = ", and quartiles" * (len(own) <= MOST_BANDS)
        so_far.set(
            xlabel="search trials, in the order they began",
            ylabel="validation AUC",
            title="best so far",
        )
        expected.set(
            xlabel="search trials",
            title=f"expected best of so many{quartiles}\n(Dodge et al. 2019)",
        )
        for axes in (so_far, expected):
            whole_numbers(axes)
    legend_below(figure)
    return figure


def _search_trials(study: Study) -> pd.DataFrame:
    trials = study.stage(Stage.SEARCH)
    return trials[trials["val_auc"].notna()] if "val_auc" in trials else trials[:0]
