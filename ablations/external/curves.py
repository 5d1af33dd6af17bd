"""The figure of what corruptions cost each arm."""

import math

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from ablations.appearance import in_order, legend_below, look_of, new_figure
from ablations.rows import backbone_of, name_of
from masll.corruptions import CORRUPTIONS

_A_ROW = 4  # panels
_WIDE = 2.1  # inches a panel


def robustness_curves(table: pd.DataFrame, ablation: pd.DataFrame) -> Figure:
    """AUC by severity, rows of panels for each backbone and a panel for each corruption.

    Severity 0 are the images as they are. Bars are the intervals of the means.

    Args:
        table: see `ablations.external.robustness.robustness`.
        ablation: of the same models on the images as they are, see `ablation_table`.
    """
    names = [name for name in CORRUPTIONS if name in set(table["corruption"])]
    backbones = list(dict.fromkeys(map(backbone_of, table["arm"])))
    clean = ablation.set_index("arm")[["auc_mean", "auc_low", "auc_high"]]
    with sns.axes_style("whitegrid"), sns.plotting_context("paper"):
        columns, deep = min(len(names), _A_ROW), math.ceil(len(names) / _A_ROW)
        rows = deep * len(backbones)
        figure = new_figure(max(_WIDE * columns, 4), 2.2 * rows + 0.8)
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
        for number, backbone in enumerate(backbones):
            own = panels[number * deep : (number + 1) * deep]
            for axes in own.flat[len(names) :]:
                axes.axis("off")
            for name, axes in zip(names, own.flat, strict=False):
                for arm in in_order(table["arm"].unique(), backbone):
                    found = table[(table["corruption"] == name) & (table["arm"] == arm)]
                    points = found.set_index("severity")[list(clean.columns)].sort_index()
                    points = pd.concat([clean.loc[[arm]].set_axis([0]), points])
                    look = look_of(arm)
                    mean = points["auc_mean"].to_numpy()
                    spread = np.abs(points[["auc_low", "auc_high"]].to_numpy().T - mean)
                    axes.errorbar(
                        points.index,
                        mean,
                        yerr=spread,
                        color=look.colour,
                        marker=look.marker,
                        linestyle=look.line,
                        elinewidth=0.6,
                        label=name_of(arm),
                    )
                axes.set(title=name, xlabel="severity", xticks=[0, *sorted(set(table["severity"]))])
            for first in own[:, 0]:
                first.set_ylabel(f"AUC, {backbone}")
        legend_below(figure, "mean over seeds, interval of 95 %")
    return figure
