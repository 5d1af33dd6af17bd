"""The ablation table: what each arm's confirmed models score on the test set.

Every figure is recomputed from the prediction rows. Cells are formatted in one place, for
Markdown, LaTeX and the terminal alike; CSV keeps full precision.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd
from rich import box
from rich.table import Table

from ablations.defaults import MARGIN
from ablations.differences import differences
from ablations.formats import (
    HEADINGS,
    Cells,
    interval,
    markdown,
    mean_and_sd,
    number,
    p_text,
    seen_from,
    with_interval,
)
from ablations.intervals import DRAWN, intervals
from ablations.rows import Study, backbone_of, name_of
from ablations.statistics import average_precision
from masll.metrics import binary_metrics
from masll.variants import REFERENCE
from tuning.study.trial import Stage, Status

FIGURES = ("auc", "acc", "sen", "spe", "sen_at_spe_95", "sen_at_spe_90", "sen_at_spe_85")
_COST = ("parameters", "multiply_adds", "milliseconds")
_ALL = ("auc", *DRAWN)
_SCREENS = (("auc", "acc", "sen", "spe"), (*FIGURES[4:], "average_precision"))

_MODEL = ["trial_id", "arm", "seed"]  # what tells one confirmed model from another


def ablation_table(study: Study, margin: float = MARGIN) -> pd.DataFrame:
    """One row per arm of the study.

    Args:
        margin: of equivalence, see `differences`.

    Returns:
        Columns arm, variant, backbone, reference (name of the arm that it is compared with), seeds;
        auc_mean, auc_sd and for every other figure its mean over seeds under the figure's name, its
        standard deviation as <figure>_sd (null with fewer than two seeds), and the interval of the
        mean, <figure>_low to <figure>_high; what `differences` gives; box_area, the mean share of a
        test image inside the box; lr and threshold_scale of the confirmed models, null where these
        do not agree on one; trials, pruned and failed of the search; parameters, multiply_adds and
        milliseconds an image of the confirmed models (see `ModelCost`); gpu_hours and cpu_hours of
        all trials, the latter of those that had no GPU. What an arm has not got is null. So is a
        mean over seeds of which one has no such figure: it would be a mean of other seeds than
        `seeds` says.
    """
    scores = seed_scores(study)
    compared = differences(study, margin).join(intervals(study, DRAWN))
    return pd.DataFrame(
        [_arm_row(study, arm, scores, compared.loc[arm].to_dict()) for arm in study.arms]
    )


def seed_scores(study: Study) -> pd.DataFrame:
    """Figures on the test set of each confirmed model.

    Returns:
        Columns trial_id, arm, seed, images, box_area, FIGURES and average_precision, a row for
        each model that has test predictions.
    """
    rows: list[dict[str, Any]] = []
    for model, predictions in study.test_predictions.groupby(_MODEL, sort=True):
        area = (predictions["x1"] - predictions["x0"]) * (predictions["y1"] - predictions["y0"])
        labels, values = predictions["label"].to_numpy(), predictions["score"].to_numpy()
        figures = binary_metrics(labels, values)
        figures["average_precision"] = average_precision(labels, values)
        rows.append(
            {
                **dict(zip(_MODEL, model, strict=True)),
                "images": len(predictions),
                "box_area": area.mean(),
                **figures,
            }
        )
    return pd.DataFrame(rows, columns=[*_MODEL, "images", "box_area", "auc", *DRAWN])


def as_markdown(table: pd.DataFrame) -> str:
    """The table for people, as GitHub Markdown."""
    return markdown(
        [
            _results(row, _ALL) | _evidence(row) | _setting(row) | _cost(row)
            for row in table.to_dict("records")
        ]
    )


def panels(table: pd.DataFrame) -> list[list[Cells]]:
    """The table for people in parts that a screen holds: results, evidence, setting."""
    rows = table.to_dict("records")
    return [
        *([_results(row, figures) for row in rows] for figures in _SCREENS),
        *([part(row) for row in rows] for part in (_evidence, _setting, _cost)),
    ]


def as_rich(table: pd.DataFrame) -> Table:
    """The table for people, on a terminal."""
    return stacked_panels(panels(table))


def stacked_panels(parts: list[list[Cells]]) -> Table:
    """Parts of a table one over the other, as 80 columns hold not all."""
    stacked = Table.grid()
    for index, part in enumerate(parts):
        if index:
            stacked.add_row()
        stacked.add_row(_panel(part))
    return stacked


def _arm_row(
    study: Study, arm: str, scores: pd.DataFrame, compared: dict[str, float]
) -> dict[str, Any]:
    described = study.described[arm]
    trials = study.trials[study.trials["arm"] == arm]
    searched = trials[trials["stage"] == Stage.SEARCH]
    confirmed = study.confirmed[study.confirmed["arm"] == arm]
    of_arm = scores[scores["arm"] == arm]
    row: dict[str, Any] = {
        "arm": arm,
        "variant": described.variant,
        "backbone": described.backbone,
        "reference": described.reference,
        "seeds": len(of_arm),
    }
    for figure in ("auc", *DRAWN):
        values = of_arm[figure].astype(float)
        row["auc_mean" if figure == "auc" else figure] = values.mean(skipna=False)
        row[f"{figure}_sd"] = values.std(ddof=1, skipna=False)
        row |= {bound: compared.pop(bound) for bound in (f"{figure}_low", f"{figure}_high")}
    hours = trials["seconds"] / 3600
    return (
        row
        | compared
        | {
            "box_area": of_arm["box_area"].astype(float).mean(),
            "lr": _shared(confirmed["lr"]),
            "threshold_scale": _shared(confirmed["threshold_scale"]),
            "trials": len(searched),
            "pruned": int((searched["status"] == Status.PRUNED).sum()),
            "failed": int((searched["status"] == Status.FAILED).sum()),
            **{name: _mean(confirmed, name) for name in _COST},
            "gpu_hours": float((hours * trials["gpus"]).sum()),
            "cpu_hours": float(hours[trials["gpus"] == 0].sum()),
        }
    )


def _mean(trials: pd.DataFrame, name: str) -> float:
    """Over trials that say so; nan in studies of earlier versions."""
    return float(trials[name].astype(float).mean()) if name in trials else math.nan


def _shared(values: pd.Series) -> float:
    """The value that all have; nan where there is none."""
    distinct = values.unique()
    return float(distinct[0]) if len(distinct) == 1 and pd.notna(distinct[0]) else math.nan


def _results(row: Mapping[Hashable, Any], figures: Sequence[str]) -> Cells:
    """What an arm scores, as a person reads it: heading to text."""
    names = {figure: "auc_mean" if figure == "auc" else figure for figure in figures}
    return {"arm": row["arm"], "seeds": str(row["seeds"])} | {
        HEADINGS[figure]: with_interval(
            mean_and_sd(row[name], row[f"{figure}_sd"]), row[f"{figure}_low"], row[f"{figure}_high"]
        )
        for figure, name in names.items()
    }


def _evidence(row: Mapping[Hashable, Any]) -> Cells:
    """How sure an arm's area is, and its difference to its reference, as a person reads it.

    Where that is another than gated-fusion, it is named.
    """
    elsewhere = row["reference"] != REFERENCE and not math.isnan(row["delta_auc"])
    versus = f" to {row['reference']}" if elsewhere else ""
    return {
        "arm": row["arm"],
        f"AUC minus {REFERENCE}": number(row["delta_auc"], "+.3f") + versus,
        "95 % interval": interval(row["delta_low"], row["delta_high"]),
        "p": p_text(row["p_value"]),
        "p Holm": p_text(row["p_holm"]),
        "seen from": seen_from(row["detectable_delta"]),
    }


def _setting(row: Mapping[Hashable, Any]) -> Cells:
    """What an arm was confirmed with, and the search that found it, as a person reads it."""
    return {
        "arm": row["arm"],
        "box area": number(row["box_area"], ".2f"),
        "lr": number(row["lr"], ".2g"),
        "scale": number(row["threshold_scale"], ".2f"),
        **{counted: str(row[counted]) for counted in ("trials", "pruned", "failed")},
    }


def _cost(row: Mapping[Hashable, Any]) -> Cells:
    """What an arm took to search and confirm, and its network takes to use."""
    return {
        "arm": row["arm"],
        "M parameters": number(row["parameters"] / 1e6, ".1f"),
        "G multiply-adds": number(row["multiply_adds"] / 1e9, ".2f"),
        "ms an image": number(row["milliseconds"], ".1f"),
        "GPU-hours": number(row["gpu_hours"], ".2f"),
        "CPU-hours": number(row["cpu_hours"], ".2f"),
    }


def _panel(rows: list[Cells]) -> Table:
    """Cells for a terminal: a narrow one breaks them at ±, not in a number.

    An interval stands below its value.
    """
    shown = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    shown.add_column("arm", no_wrap=True)
    for heading in list(rows[0])[1:]:
        parts = [part for row in rows for part in row[heading].split(" (")]
        longest = max(map(len, [heading, *parts]))
        shown.add_column(heading, justify="right", min_width=min(longest, len("0.000 ±")))
    for row in rows:
        arm, *others = (cell.replace(" (", "\n").removesuffix(")") for cell in row.values())
        name, backbone = name_of(arm), backbone_of(arm)
        shown.add_row(f"{name}/\n{backbone}", *others)
    return shown
