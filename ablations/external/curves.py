"""The figure of what corruptions cost each arm."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from ablations.appearance import in_order, look_of, new_figure
from ablations.rows import backbone_of, name_of
from masll.corruptions import CORRUPTIONS

_WIDE = 2.6  # inches a panel


def robustness_curves(table: pd.DataFrame, ablation: pd.DataFrame) -> Figure:
    """AUC by severity, a row of panels for each backbone and a panel for each corruption.

    Severity 0 are the images as they are. Bars are the intervals of the means.

    Args:
        table: see `ablations.external.robustness.robustness`.
        ablation: of the same models on the images as they are, see `ablation_table`.
    """
    names = [name for name in CORRUPTIONS if name in set(table["corruption"])]
    backbones = list(dict.fromkeys(map(backbone_of, table["arm"])))
    clean = ablation.set_index("arm")[["auc_mean", "auc_low", "auc_high"]]
    with sns.axes_style("whitegrid"), sns.plotting_context("paper"):
        figure = new_figure(_WIDE * len(names) + 1.6, 2.6 * len(backbones))
        panels = figure.subplots(
            len(backbones), len(names), sharex=True, sharey="row", squeeze=False
        )
        for backbone, of_backbone in zip(backbones, panels, strict=True):
            for name, axes in zip(names, of_backbone, strict=True):
                for arm in in_order(table["arm"].unique(), backbone):
                    rows = table[(table["corruption"] == name) & (table["arm"] == arm)]
                    points = rows.set_index("severity")[list(clean.columns)].sort_index()
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
            of_backbone[0].set_ylabel(f"AUC, {backbone}")
        panels[0][-1].legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
    return figure
