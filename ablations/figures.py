"""Figures of a study: drawn from its rows alone, readable in print and for the colour-blind."""

import io
import math
from collections.abc import Callable, Iterable, Mapping

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ablations.appearance import in_order, look_of, new_figure
from ablations.differences import test_scores
from ablations.disagreements import sheet_of_disagreements
from ablations.formats import several, write_result
from ablations.importance import FEWEST
from ablations.rows import Study, backbone_of, name_of
from ablations.search_figures import budget, importance, searched
from ablations.statistics.decisions import net_benefit, treat_all
from ablations.subgroups.forest import subgroup_forest
from ablations.training_figures import boxes, cost_against_auc, learning_curves
from masll.common.storage import AnyPath
from masll.metrics import roc_points
from masll.variants import REFERENCE

KINDS = ("png", "svg")
_FEW_NAMES = 6  # that a legend inside the axes holds
_BINS = 10  # of a calibration curve, of equal number of images
_GRID = np.linspace(0, 1, 201)


def write_figures(
    study: Study, table: pd.DataFrame, folder: AnyPath, names: Iterable[str] | None = None
) -> list[AnyPath]:
    """Draw every figure for which the study has rows; PNG (200 dots an inch) and SVG.

    Args:
        table: see `ablation_table`.
        names: those of FIGURES that are wanted, all where none are given.
    """
    written: list[AnyPath] = []
    for name in FIGURES if names is None else names:
        figure = draw(name, study, table)
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


def draw(name: str, study: Study, table: pd.DataFrame) -> Figure | None:
    """One of FIGURES; None where the study has no rows for it."""
    with sns.axes_style("whitegrid"), sns.plotting_context("paper"):
        return FIGURES[name](study, table)


def roc_curves(study: Study, table: pd.DataFrame) -> Figure | None:
    """Mean ROC curve of each arm, one panel a backbone; bands span the seeds (the paper's Fig. 3).

    Sensitivities are averaged at equal specificity (vertical averaging, Fawcett 2006).
    """
    if study.test_predictions.empty:
        return None
    labels, scores = test_scores(study)
    backbones = _backbones(scores)
    if not backbones or labels.min() == labels.max():
        return None
    figure = new_figure(4.2 * len(backbones), 4.2)
    panels = figure.subplots(1, len(backbones), squeeze=False)
    auc = table.set_index("arm")["auc_mean"]
    for axes, backbone in zip(panels[0], backbones, strict=True):
        for arm in in_order(scores, backbone):
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
            if len(curves) > 1:
                axes.fill_between(
                    _GRID,
                    curves.min(axis=0),
                    curves.max(axis=0),
                    color=look.colour,
                    alpha=0.12,
                    linewidth=0,
                )
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
        counts = [len(scores[arm]) for arm in in_order(scores, backbone)]
        axes.set(
            title=f"{backbone}: {len(labels)} test images, {int(labels.sum())} melanoma",
            xlabel="1 - specificity",
            ylabel="sensitivity",
            aspect="equal",
            xlim=(-0.01, 1.01),
            ylim=(-0.01, 1.01),
        )
        _legend(axes, "lower right", f"mean and range of {several(counts, 'seed')}")
    return figure


def forest(study: Study, table: pd.DataFrame) -> Figure | None:
    """Difference in AUC of each arm to its reference, with its interval."""
    table = table[table["delta_auc"].notna()].iloc[::-1]
    if table.empty:
        return None
    figure = new_figure(7, 1.1 + 0.4 * len(table))
    axes = figure.subplots()
    places = np.arange(len(table))
    axes.axvline(0, color="0.4", linewidth=0.8)
    for height, row in zip(places, table.to_dict("records"), strict=True):
        look = look_of(row["arm"])
        axes.plot([row["delta_low"], row["delta_high"]], [height, height], color=look.colour)
        axes.plot(row["delta_auc"], height, marker=look.marker, color=look.colour)
        p = "" if math.isnan(row["p_holm"]) else f"p Holm {row['p_holm']:.3f}"
        axes.annotate(
            p, (1.02, height), xycoords=("axes fraction", "data"), va="center", fontsize=8
        )
    versus = table["reference"].map(lambda name: "" if name == REFERENCE else f" minus {name}")
    backbones = _backbones(table["arm"])
    named = [
        f"{name_of(row.arm) if len(backbones) == 1 else row.arm}{other} "
        f"({several([row.seeds], 'seed')})"
        for row, other in zip(table.itertuples(), versus, strict=True)
    ]
    axes.set_yticks(places, named)
    images = study.test_predictions["image_id"].nunique()
    or_as_named = ", or as named" * bool(versus.any())
    if len(backbones) == 1:
        axes.set_title(backbones[0])
    axes.set(
        xlabel=f"AUC minus that of {REFERENCE}{or_as_named}\n95 % interval, {images} test images",
        ylim=(-0.6, len(table) - 0.4),
    )
    axes.grid(axis="y", visible=False)
    return figure


def _legend(axes: Axes, place: str, title: str | None = None) -> None:
    """Inside the axes where it leaves room for curves, or beside them."""
    beside = len(axes.get_legend_handles_labels()[0]) > _FEW_NAMES
    where = {"loc": "upper left", "bbox_to_anchor": (1.02, 1)} if beside else {"loc": place}
    axes.legend(title=title, **where)


def calibration_curves(study: Study, table: pd.DataFrame) -> Figure | None:
    """Observed melanomas by predicted probability, images in bins of equal number, all seeds."""
    if study.test_predictions.empty:
        return None
    labels, scores = test_scores(study)
    if not scores:
        return None
    backbones = _backbones(scores)
    figure = new_figure(4.2 * len(backbones), 4.4)
    panels = figure.subplots(1, len(backbones), squeeze=False, sharey=True)
    for axes, backbone in zip(panels[0], backbones, strict=True):
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
        for arm in in_order(scores, backbone):
            look = look_of(arm)
            score, label = scores[arm].ravel(), np.tile(labels, len(scores[arm]))
            parts = np.array_split(np.argsort(score, kind="stable"), min(_BINS, len(score)))
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
            title=f"{backbone}: {len(labels)} test images",
            xlabel="predicted probability of melanoma",
            xlim=(-0.01, 1.01),
            ylim=(-0.01, 1.01),
        )
    panels[0][0].set_ylabel("observed share of melanoma")
    seeds = several(map(len, scores.values()), "seed")
    _legend(panels[0][-1], "upper left", f"{seeds}, {min(_BINS, len(labels))} bins")
    return figure


def decision_curves(study: Study, table: pd.DataFrame) -> Figure | None:
    """Net benefit over the probability from which somebody is referred (Vickers and Elkin 2006).

    One panel a backbone; the mean over seeds. Grey: referring everybody, or nobody.
    """
    if study.test_predictions.empty:
        return None
    labels, scores = test_scores(study)
    backbones = _backbones(scores)
    if not backbones or labels.min() == labels.max():
        return None
    prevalence = float(labels.mean())
    thresholds = np.linspace(0.01, min(0.99, 3 * prevalence), 100)
    figure = new_figure(4.2 * len(backbones), 3.6)
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
            title=f"{backbone}: {len(labels)} test images, {int(labels.sum())} melanoma",
            xlabel="probability from which somebody is referred",
            ylim=(-0.05 * prevalence, 1.05 * prevalence),
        )
    panels[0][0].set_ylabel("net benefit per image")
    counts = several([len(rows) for rows in scores.values()], "seed")
    _legend(panels[0][-1], "upper right", f"mean of {counts}")
    return figure


FIGURES: Mapping[str, Callable[[Study, pd.DataFrame], Figure | None]] = {
    "roc": roc_curves,
    "differences": forest,
    "subgroups": lambda study, table: subgroup_forest(study),
    "search": lambda study, table: searched(study),
    "importance": lambda study, table: importance(study),
    "budget": lambda study, table: budget(study),
    "learning": lambda study, table: learning_curves(study),
    "cost": lambda study, table: cost_against_auc(study, table),
    "boxes": lambda study, table: boxes(study),
    "calibration": calibration_curves,
    "decision": decision_curves,
    "cases": lambda study, table: sheet_of_disagreements(study),
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


def _backbones(arms: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(backbone_of(arm) for arm in arms))
