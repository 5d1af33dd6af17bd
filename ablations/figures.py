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
from matplotlib.layout_engine import ConstrainedLayoutEngine

from ablations.appearance import in_order, look_of, new_figure
from ablations.differences import test_scores
from ablations.disagreements import sheet_of_disagreements
from ablations.formats import write_result
from ablations.importance import EVALUATORS, FEWEST, parameter_importance
from ablations.rows import Study, backbone_of, name_of
from ablations.statistics import best_quantile, expected_best
from ablations.statistics.decisions import net_benefit, treat_all
from ablations.subgroups.forest import subgroup_forest
from masll.common.storage import AnyPath
from masll.metrics import roc_points
from masll.variants import REFERENCE
from tuning.study.trial import Stage, Status

KINDS = ("png", "svg")
_SHOWN = {"lr": "learning rate", "threshold_scale": "threshold scale (T/mean)"}
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
        _legend(axes, "lower right", f"mean and range of {_several(counts, 'seed')}")
    return figure


def forest(study: Study, table: pd.DataFrame) -> Figure | None:
    """Difference in AUC of each arm to its reference, with its interval."""
    table = table[table["delta_auc"].notna()].iloc[::-1]
    if table.empty:
        return None
    figure = new_figure(6, 0.9 + 0.45 * len(table))
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
    named = [
        f"{row.arm}{other} ({_several([row.seeds], 'seed')})"
        for row, other in zip(table.itertuples(), versus, strict=True)
    ]
    axes.set_yticks(places, named)
    images = study.test_predictions["image_id"].nunique()
    or_as_named = ", or as named" * bool(versus.any())
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


def searched(study: Study, table: pd.DataFrame) -> Figure | None:
    """Validation AUC of every search trial against learning rate and threshold scale, by arm."""
    trials = _search_trials(study)
    if trials.empty:
        return None
    figure = new_figure(8, 3.4)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, name, scale in zip(panels, ("lr", "threshold_scale"), ("log", "linear"), strict=True):
        _dots(axes, trials[trials[name].notna()], name)
        axes.set(xscale=scale, xlabel=_SHOWN[name])
    panels[0].set_ylabel("validation AUC, best epoch")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3)
    count = _several([len(trials)], "search trial")
    panels[1].set_title(f"{count}; crosses were stopped early", loc="right")
    return figure


def importance(study: Study, table: pd.DataFrame) -> Figure | None:
    """How much each searched parameter matters to an arm, by two evaluators, which often disagree.

    See `parameter_importance`.
    """
    measured = parameter_importance(study)
    if measured.empty:
        return None
    apart = ConstrainedLayoutEngine(wspace=0.06)  # "1.0" of one axis and "0.0" of the next
    figure = new_figure(8, 3.4)
    figure.set_layout_engine(apart)
    panels = figure.subplots(1, 2, sharey=True)
    names = list(dict.fromkeys(measured["parameter"]))
    arms = in_order(measured["arm"].unique())
    height = 0.8 / len(arms)
    for axes, evaluator in zip(panels, EVALUATORS, strict=True):
        by = measured[measured["evaluator"] == evaluator]
        for index, arm in enumerate(arms):
            values = by[by["arm"] == arm].set_index("parameter")["importance"].reindex(names)
            axes.barh(
                np.arange(len(names)) + (index - (len(arms) - 1) / 2) * height,
                values,
                height,
                color=look_of(arm).colour,
                label=arm,
            )
        axes.set(title=evaluator, xlabel="share of importance", xlim=(0, 1))
        axes.set_yticks(range(len(names)), [_SHOWN.get(name, name) for name in names])
        axes.grid(axis="y", visible=False)
    panels[0].invert_yaxis()
    handles, labels = panels[0].get_legend_handles_labels()
    trials = measured.drop_duplicates("arm")["trials"]
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=2,
        title=f"{_several(trials, 'completed search trial')} of an arm; those stopped early have "
        "the AUC of fewer epochs, and are left out",
    )
    return figure


def budget(study: Study, table: pd.DataFrame) -> Figure | None:
    """Best validation AUC so far by trials spent, and its expectation for other draws.

    The expectation is that of Dodge et al., "Show Your Work" (2019); its band holds the best of
    half of the draws. What was so far the best happened once, and has no band.
    """
    trials = _search_trials(study)
    if trials.empty:
        return None
    figure = new_figure(8, 3.4)
    panels = figure.subplots(1, 2, sharey=True)
    for arm in in_order(trials["arm"].unique()):
        look = look_of(arm)
        values = trials[trials["arm"] == arm].sort_values("started_at")["val_auc"].to_numpy()
        spent = np.arange(1, len(values) + 1)
        style = {
            "color": look.colour,
            "linestyle": look.line,
            "label": arm,
            "marker": look.marker,
            "markersize": 3,
            "markevery": max(1, len(values) // 20),
        }
        panels[0].step(spent, np.maximum.accumulate(values), where="post", **style)
        panels[1].plot(spent, expected_best(values, len(values)), **style)
        low, high = (best_quantile(values, len(values), q) for q in (0.25, 0.75))
        panels[1].fill_between(spent, low, high, color=look.colour, alpha=0.12, linewidth=0)
    panels[0].set(
        xlabel="search trials, in the order they began",
        ylabel="validation AUC",
        title="best so far",
    )
    panels[1].set(
        xlabel="search trials", title="expected best of so many, and quartiles\n(Dodge et al. 2019)"
    )
    for axes in panels:
        axes.xaxis.get_major_locator().set_params(integer=True)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2)
    return figure


def boxes(study: Study, table: pd.DataFrame) -> Figure | None:
    """Share of the image inside the box, and share of boxes that fell back to the whole image."""
    epochs = study.epochs
    if not {"box_area", "box_fallback_rate"} <= set(epochs.columns):
        return None
    epochs = epochs[epochs["box_area"].notna()].merge(study.trials[["trial_id", "arm"]])
    if epochs.empty:
        return None
    figure = new_figure(8, 3.4)
    panels = figure.subplots(1, 2)
    for arm in in_order(epochs["arm"].unique()):
        look = look_of(arm)
        of_arm = epochs[epochs["arm"] == arm].groupby("epoch")
        for axes, name in zip(panels, ("box_area", "box_fallback_rate"), strict=True):
            mean, low, high = (of_arm[name].quantile(q) for q in (0.5, 0.25, 0.75))
            axes.plot(
                mean.index,
                mean,
                color=look.colour,
                linestyle=look.line,
                marker=look.marker,
                markersize=3,
                label=arm,
            )
            axes.fill_between(mean.index, low, high, color=look.colour, alpha=0.15, linewidth=0)
    for axes, what in zip(
        panels, ("share of the image in the box", "share of boxes fallen back"), strict=True
    ):
        axes.set(xlabel="epoch", ylabel=what, ylim=(-0.02, 1.02))
        axes.xaxis.get_major_locator().set_params(integer=True)
    handles, names = panels[0].get_legend_handles_labels()
    trials = epochs.groupby("arm")["trial_id"].nunique()
    figure.legend(
        handles,
        names,
        loc="outside lower center",
        ncols=2,
        title=f"median and quartiles of {_several(trials, 'trial')} an arm",
    )
    return figure


def calibration_curves(study: Study, table: pd.DataFrame) -> Figure | None:
    """Observed melanomas by predicted probability, images in bins of equal number, all seeds."""
    if study.test_predictions.empty:
        return None
    labels, scores = test_scores(study)
    if not scores:
        return None
    figure = new_figure(4.6, 4.4)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
    for arm in in_order(scores):
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
            label=arm,
        )
    axes.set(
        xlabel="predicted probability of melanoma",
        ylabel="observed share of melanoma",
        title=f"{len(labels)} test images, {_several(map(len, scores.values()), 'seed')}, "
        f"{min(_BINS, len(labels))} bins",
        xlim=(-0.01, 1.01),
        ylim=(-0.01, 1.01),
    )
    _legend(axes, "upper left")
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
    counts = _several([len(rows) for rows in scores.values()], "seed")
    _legend(panels[0][-1], "upper right", f"mean of {counts}")
    return figure


FIGURES: Mapping[str, Callable[[Study, pd.DataFrame], Figure | None]] = {
    "roc": roc_curves,
    "differences": forest,
    "subgroups": lambda study, table: subgroup_forest(study),
    "search": searched,
    "importance": importance,
    "budget": budget,
    "boxes": boxes,
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
    "boxes": "epochs of an arm with SLL",
    "calibration": "test predictions of confirmed models, without nan",
    "decision": _BOTH_CLASSES,
    "cases": f"images that baseline and {REFERENCE} of one backbone call otherwise, and the "
    "study's data at hand",
}


def _several(counts: Iterable[int], thing: str) -> str:
    """`3 seeds`, or `1 to 3 seeds` where arms differ."""
    fewest, most = min(counts := list(counts)), max(counts)
    number = f"{most}" if fewest == most else f"{fewest} to {most}"
    return f"{number} {thing}{'s' * (most > 1)}"


def _search_trials(study: Study) -> pd.DataFrame:
    trials = study.stage(Stage.SEARCH)
    return trials[trials["val_auc"].notna()] if "val_auc" in trials else trials[:0]


def _dots(axes: Axes, trials: pd.DataFrame, name: str) -> None:
    size = min(1, 300 / len(trials)) if len(trials) else 1
    for arm in in_order(trials["arm"].unique()):
        look = look_of(arm)
        of_arm = trials[trials["arm"] == arm]
        pruned = of_arm["status"] == Status.PRUNED
        whole, cut = of_arm[~pruned], of_arm[pruned]
        axes.scatter(
            whole[name].astype(float),
            whole["val_auc"],
            color=look.colour,
            marker=look.marker,
            s=22 * size,
            label=arm,
        )
        axes.scatter(
            cut[name].astype(float),
            cut["val_auc"],
            color=look.colour,
            marker="x",
            s=18 * size,
            linewidth=size,
        )


def _sensitivity_on_grid(labels: np.ndarray, row: np.ndarray) -> np.ndarray:
    sensitivities, specificities = roc_points(labels == 1, row)
    # At equal alarms the highest sensitivity counts: np.interp takes the last of equal places.
    return np.interp(_GRID, 1 - specificities, sensitivities)


def _backbones(arms: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(backbone_of(arm) for arm in arms))
