"""Figures of a study: drawn from its rows alone, readable in print and for the colour-blind."""

import io
from collections.abc import Callable, Iterable, Mapping

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from ablations.appearance import (
    MOST_BANDS,
    backbones_in,
    in_order,
    legend_below,
    look_of,
    new_figure,
)
from ablations.defaults import MARGIN
from ablations.differences import test_scores
from ablations.disagreements import sheet_of_disagreements
from ablations.forest import forest
from ablations.formats import several, write_result
from ablations.importance import FEWEST
from ablations.rows import Study, name_of
from ablations.search_figures import budget, importance, searched
from ablations.statistics.calibration import BINS, equal_bins
from ablations.statistics.decisions import net_benefit, treat_all
from ablations.subgroups.forest import subgroup_forest
from ablations.training_figures import boxes, cost_against_auc, learning_curves
from masll.common.storage import AnyPath
from masll.metrics import roc_points
from masll.variants import REFERENCE

KINDS = ("png", "svg")
_GRID = np.linspace(0, 1, 201)


def write_figures(
    study: Study,
    table: pd.DataFrame,
    folder: AnyPath,
    names: Iterable[str] | None = None,
    margin: float = MARGIN,
) -> list[AnyPath]:
    """Draw every figure for which the study has rows; PNG (200 dots an inch) and SVG.

    Args:
        table: see `ablation_table`.
        names: those of FIGURES that are wanted, all where none are given.
        margin: of equivalence, see `effects`.
    """
    written: list[AnyPath] = []
    for name in FIGURES if names is None else names:
        figure = draw(name, study, table, margin)
        if figure is not None:
            written += write_figure(figure, folder, name)
    return written


def write_figure(figure: Figure, folder: AnyPath, name: str) -> list[AnyPath]:
    """Write a figure as PNG (200 dots an inch) and SVG, each file whole or not at all."""
    written = []
    for kind in KINDS:
        content = io.BytesIO()
        # An SVG changes only when what it shows does; its text can be searched, and edited.
        undated = {"Date": None} if kind == "svg" else None
        with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
            figure.savefig(content, format=kind, dpi=200, bbox_inches="tight", metadata=undated)
        written.append(write_result(folder / f"{name}.{kind}", content.getvalue()))
    return written


def draw(name: str, study: Study, table: pd.DataFrame, margin: float = MARGIN) -> Figure | None:
    """One of FIGURES; None where the study has no rows for it. Arguments as of `write_figures`."""
    with sns.axes_style("whitegrid"), sns.plotting_context("paper"):
        return FIGURES[name](study, table, margin)


def roc_curves(study: Study, table: pd.DataFrame) -> Figure | None:
    """Mean ROC curve of each arm, one panel a backbone (the paper's Fig. 3).

    Bands span the seeds, where there are few arms. Sensitivities are averaged at equal specificity
    (vertical averaging, Fawcett 2006).
    """
    if study.test_predictions.empty:
        return None
    labels, scores = test_scores(study)
    backbones = backbones_in(study, scores)
    if not backbones or labels.min() == labels.max():
        return None
    figure = new_figure(4.2 * len(backbones), 4.6 + 0.12 * len(study.arms) / len(backbones))
    panels = figure.subplots(1, len(backbones), squeeze=False)
    auc = table.set_index("arm")["auc_mean"]
    for axes, backbone in zip(panels[0], backbones, strict=True):
        own = in_order(scores, backbone)
        few = len(own) <= MOST_BANDS
        for arm in own:
            look = look_of(arm)
            curves = np.array([_sensitivity_on_grid(labels, row) for row in scores[arm]])
            mean = curves.mean(axis=0)
            axes.plot(
                _GRID,
                mean,
                color=look.colour,
                linestyle=look.line,
                label=f"{name_of(arm)}, AUC {auc[arm]:.3f}",
            )
            if few and len(curves) > 1:
                axes.fill_between(
                    _GRID,
                    curves.min(axis=0),
                    curves.max(axis=0),
                    color=look.colour,
                    alpha=0.12,
                    linewidth=0,
                )
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
        axes.set(
            title=_title(backbone, labels),
            xlabel="1 \N{MINUS SIGN} specificity",
            ylabel="sensitivity",
            aspect="equal",
            xlim=(-0.01, 1.01),
            ylim=(-0.01, 1.01),
        )
        seeds = several([len(scores[arm]) for arm in own], "seed")
        axes.legend(
            title=f"{'mean and range' if few else 'mean'} of {seeds}",
            loc="upper center",
            bbox_to_anchor=(0.5, -0.14),
            ncols=2,
            fontsize="small",
        )
    return figure


def calibration_curves(study: Study) -> Figure | None:
    """Observed melanomas by predicted probability, images in bins of equal number, all seeds."""
    if study.test_predictions.empty:
        return None
    labels, scores = test_scores(study)
    if not scores:
        return None
    backbones = backbones_in(study, scores)
    figure = new_figure(4.2 * len(backbones), 5)
    panels = figure.subplots(1, len(backbones), squeeze=False, sharey=True)
    for axes, backbone in zip(panels[0], backbones, strict=True):
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
        for arm in in_order(scores, backbone):
            look = look_of(arm)
            score, label = scores[arm].ravel(), np.tile(labels, len(scores[arm]))
            bin_of = equal_bins(score)
            parts = [bin_of == each for each in np.unique(bin_of)]
            axes.plot(
                [score[part].mean() for part in parts],
                [label[part].mean() for part in parts],
                color=look.colour,
                linestyle=look.line,
                marker=look.marker,
                markersize=3,
                label=name_of(arm),
            )
        axes.set(
            title=_title(backbone, labels),
            xlabel="predicted probability of melanoma",
            xlim=(-0.01, 1.01),
            ylim=(-0.01, 1.01),
        )
    panels[0][0].set_ylabel("observed share of melanoma")
    seeds = several(map(len, scores.values()), "seed")
    legend_below(figure, f"{seeds}, {min(BINS, len(labels))} bins")
    return figure


def decision_curves(study: Study) -> Figure | None:
    """Net benefit over the probability from which somebody is referred (Vickers and Elkin 2006).

    One panel a backbone; the mean over seeds. Grey: referring everybody, or nobody.
    """
    if study.test_predictions.empty:
        return None
    labels, scores = test_scores(study)
    backbones = backbones_in(study, scores)
    if not backbones or labels.min() == labels.max():
        return None
    prevalence = float(labels.mean())
    thresholds = np.linspace(0.01, min(0.99, 3 * prevalence), 100)
    figure = new_figure(4.2 * len(backbones), 4.4)
    panels = figure.subplots(1, len(backbones), squeeze=False, sharey=True)
    for axes, backbone in zip(panels[0], backbones, strict=True):
        everybody = [treat_all(prevalence, threshold) for threshold in thresholds]
        axes.plot(thresholds, everybody, color="0.6", linewidth=0.8, label="refer everybody")
        axes.axhline(0, color="0.6", linewidth=0.8, linestyle=":", label="refer nobody")
        for arm in in_order(scores, backbone):
            look = look_of(arm)
            curve = [net_benefit(labels, scores[arm], threshold).mean() for threshold in thresholds]
            axes.plot(thresholds, curve, color=look.colour, linestyle=look.line, label=name_of(arm))
        axes.set(
            title=_title(backbone, labels),
            xlabel="probability from which somebody is referred",
            ylim=(-0.05 * prevalence, 1.05 * prevalence),
        )
    panels[0][0].set_ylabel("net benefit per image")
    counts = several([len(rows) for rows in scores.values()], "seed")
    legend_below(figure, f"mean of {counts}")
    return figure


FIGURES: Mapping[str, Callable[[Study, pd.DataFrame, float], Figure | None]] = {
    "roc": lambda study, table, _: roc_curves(study, table),
    "differences": forest,
    "subgroups": lambda study, _, margin: subgroup_forest(study, margin),
    "search": lambda study, *_: searched(study),
    "importance": lambda study, *_: importance(study),
    "budget": lambda study, *_: budget(study),
    "learning": lambda study, *_: learning_curves(study),
    "cost": lambda study, table, _: cost_against_auc(study, table),
    "boxes": lambda study, *_: boxes(study),
    "calibration": lambda study, *_: calibration_curves(study),
    "decision": lambda study, *_: decision_curves(study),
    "cases": lambda study, *_: sheet_of_disagreements(study),
}


# What a study must have for each, as a reader is told where it has not.
_BOTH_CLASSES = "test predictions of confirmed models, with both classes and without nan"
NEEDS: Mapping[str, str] = {
    "roc": _BOTH_CLASSES,
    "differences": f"{_BOTH_CLASSES}, of {REFERENCE} and another variant on one backbone",
    "subgroups": "--by, and what the figure of differences needs",
    "search": "search trials with a validation AUC",
    "importance": f"{FEWEST} completed search trials of an arm, and a spec that names the space",
    "budget": "search trials with a validation AUC",
    "learning": "epochs of confirmed models",
    "cost": _BOTH_CLASSES,
    "boxes": "epochs of an arm with SLL",
    "calibration": "test predictions of confirmed models, without nan",
    "decision": _BOTH_CLASSES,
    "cases": f"images that baseline and {REFERENCE} of one backbone call otherwise, and the "
    "study's data at hand",
}


def _sensitivity_on_grid(labels: np.ndarray, row: np.ndarray) -> np.ndarray:
    sensitivities, specificities = roc_points(labels == 1, row)
    # At equal alarms the highest sensitivity counts: np.interp takes the last of equal places.
    return np.interp(_GRID, 1 - specificities, sensitivities)


def _title(backbone: str, labels: np.ndarray) -> str:
    return f"{backbone}\n{len(labels)} test images, {int(labels.sum())} melanoma"
