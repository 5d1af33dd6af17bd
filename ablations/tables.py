"""The ablation table: what each arm's confirmed models score on the test set.

Every figure is recomputed from the prediction rows. Cells are formatted in one place, for
Markdown, LaTeX and the terminal alike; CSV keeps full precision.
"""

import math
import textwrap
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd
from rich import box
from rich.table import Table

from ablations.differences import REFERENCE, differences
from ablations.formats import HEADINGS, Cells, interval, latex, markdown, mean_and_sd, number
from ablations.rows import Study
from masll.metrics import binary_metrics

FIGURES = ("auc", "acc", "sen", "spe", "sen_at_spe_95", "sen_at_spe_90", "sen_at_spe_85")

_FEW_VALUES = 10  # of a model's scores; with fewer, ties decide its figures
_MODEL = ["trial_id", "arm", "seed"]  # what tells one confirmed model from another


def ablation_table(study: Study) -> pd.DataFrame:
    """One row per arm of the study.

    Returns:
        Columns arm, variant, backbone, seeds; auc_mean, auc_sd and for every other figure its
        mean over seeds under the figure's name and its standard deviation as <figure>_sd (null
        with fewer than two seeds); what `differences` gives; box_area, the mean share of a test
        image inside the box; lr and threshold_scale of the confirmed models, null where these do
        not agree on one; trials, pruned and failed of the search; gpu_hours and cpu_hours of all
        trials, the latter of those that had no GPU. What an arm has not got is null. So is a mean
        over seeds of which one has no such figure: it would be a mean of other seeds than `seeds`
        says.
    """
    scores, compared = seed_scores(study), differences(study)
    return pd.DataFrame([
        _arm_row(study, arm, scores, compared.loc[arm].to_dict()) for arm in study.arms
    ])  # fmt: skip


def seed_scores(study: Study) -> pd.DataFrame:
    """Figures on the test set of each confirmed model.

    Returns:
        Columns trial_id, arm, seed, images, box_area and FIGURES, a row for each model that has
        test predictions.
    """
    rows: list[dict[str, Any]] = []
    for model, made in study.test_predictions.groupby(_MODEL, sort=True):
        area = (made["x1"] - made["x0"]) * (made["y1"] - made["y0"])
        figures = binary_metrics(made["label"].to_numpy(), made["score"].to_numpy())
        rows.append({**dict(zip(_MODEL, model, strict=True)), "images": len(made),
                     "box_area": area.mean(), **figures})  # fmt: skip
    return pd.DataFrame(rows, columns=[*_MODEL, "images", "box_area", *FIGURES])


def remarks(study: Study) -> list[str]:
    """What a reader has to know beside the table: what it shows, and what is missing or wrong."""
    return [*_legend(study), *reopened(study), *_missing(study), *_flawed(study),
            *disagreements(study)]  # fmt: skip


def disagreements(study: Study) -> list[str]:
    """Confirmed trials whose test_auc is not the area that their prediction rows give."""
    both = study.confirmed.merge(seed_scores(study)[["trial_id", "auc"]], on="trial_id")
    both["test_auc"] = both["test_auc"].astype(float)  # a column of nulls has no type
    return [
        f"{row.arm}, seed {row.seed}: trials says test AUC {row.test_auc}, its prediction rows "
        f"give {row.auc}."
        for row in both.itertuples()
        if not math.isclose(row.test_auc, row.auc, rel_tol=0, abs_tol=1e-9)
        and not (math.isnan(row.test_auc) and math.isnan(row.auc))
    ]


def as_markdown(table: pd.DataFrame) -> str:
    """The table for people, as GitHub Markdown."""
    return markdown([
        _results(row) | _evidence(row) | _setting(row) for row in table.to_dict("records")
    ])  # fmt: skip


def as_latex(table: pd.DataFrame) -> str:
    """Results and evidence for a paper: a tabular with the rules of the booktabs package."""
    return latex([_results(row) | _evidence(row) for row in table.to_dict("records")])


def panels(table: pd.DataFrame) -> list[list[Cells]]:
    """The table for people in parts that a screen holds: results, evidence, setting."""
    rows = table.to_dict("records")
    return [[part(row) for row in rows] for part in (_results, _evidence, _setting)]


def as_rich(table: pd.DataFrame) -> Table:
    """The table for people, on a terminal."""
    return stacked_panels(panels(table))


def stacked_panels(parts: list[list[Cells]]) -> Table:
    """Parts of a table one over the other, as 80 columns hold not all."""
    stacked = Table.grid()
    for place, part in enumerate(parts):
        if place:
            stacked.add_row()
        stacked.add_row(_panel(part))
    return stacked


def _arm_row(
    study: Study, arm: str, scores: pd.DataFrame, compared: dict[str, float]
) -> dict[str, Any]:
    variant, _, backbone = arm.partition("/")
    trials = study.trials[study.trials["arm"] == arm]
    searched = trials[trials["stage"] == "search"]
    confirmed = study.confirmed[study.confirmed["arm"] == arm]
    of_arm = scores[scores["arm"] == arm]
    row: dict[str, Any] = {
        "arm": arm, "variant": variant, "backbone": backbone, "seeds": len(of_arm),
    }  # fmt: skip
    for figure in FIGURES:
        values = of_arm[figure].astype(float)
        row["auc_mean" if figure == "auc" else figure] = values.mean(skipna=False)
        row[f"{figure}_sd"] = values.std(ddof=1, skipna=False)
        if figure == "auc":
            row |= {bound: compared.pop(bound) for bound in ("auc_low", "auc_high")}
    hours = trials["seconds"] / 3600
    return (
        row
        | compared
        | {
            "box_area": of_arm["box_area"].astype(float).mean(),
            "lr": _shared(confirmed["lr"]),
            "threshold_scale": _shared(confirmed["threshold_scale"]),
            "trials": len(searched),
            "pruned": int((searched["status"] == "pruned").sum()),
            "failed": int((searched["status"] == "failed").sum()),
            "gpu_hours": float((hours * trials["gpus"]).sum()),
            "cpu_hours": float(hours[trials["gpus"] == 0].sum()),
        }
    )


def _shared(values: pd.Series) -> float:
    """The value that all have; nan where there is none."""
    found = values.unique()
    return float(found[0]) if len(found) == 1 and pd.notna(found[0]) else math.nan


def _legend(study: Study) -> list[str]:
    test = study.test_predictions
    if test.empty:
        return ["No confirmed model yet, so the test set has not been opened."]
    images = test.drop_duplicates("image_id")
    seeds = seed_scores(study).groupby("arm").size()
    told = f"{seeds.min()} to {seeds.max()}" if seeds.min() < seeds.max() else f"{seeds.min()}"
    legend = [
        f"Test set: {len(images)} images, {int((images['label'] == 1).sum())} melanoma. "
        f"Mean ± standard deviation over seeds ({told}).",
        "ACC, SEN and SPE at a probability of 0.5. SEN@.95 is the highest sensitivity on the test "
        "curve whose specificity is at least 0.95, and so on.",
        f"Differences are to {REFERENCE} of the same backbone, tested in pairs on the same images; "
        "Holm's p holds for all of them together; seen from: the true difference that such a test "
        "finds four times in five.",
    ]
    if seeds.max() == 1:
        legend.append("One seed each: intervals and tests are over images, and say nothing of what "
                      "another seed would give.")  # fmt: skip
    if images["label"].nunique() == 1:
        legend.append("One class only: AUC, SEN at SPE, and SEN or SPE of the other are undefined.")
    return legend


def reopened(study: Study) -> list[str]:
    """Whether the test set was opened more than once: its figures are then chosen among several."""
    return [
        f"{arm}: the test set was opened {times} times; the table shows confirmation {times}."
        for arm, times in study.confirmations.items()
        if times > 1
    ]


def _missing(study: Study) -> list[str]:
    """What an arm's row still lacks, or mixes."""
    counts = seed_scores(study).groupby("arm").size()
    options = (study.spec or {}).get("options", {})
    asked, budget = options.get("seeds", 0), options.get("trials", 0)
    searched = study.trials[study.trials["stage"] == "search"].groupby("arm").size()
    told = []
    for arm in study.arms:
        seeds, trials = int(counts.get(arm, 0)), int(searched.get(arm, 0))
        if trials < budget:
            told.append(f"{arm}: {trials} of {budget} search trials finished.")
        if seeds == 0:
            told.append(f"{arm}: no confirmed seed yet.")
        elif seeds < asked:
            told.append(f"{arm}: {seeds} of {asked} seeds confirmed.")
        models = study.confirmed[study.confirmed["arm"] == arm]
        if len(models[["lr", "threshold_scale"]].drop_duplicates()) > 1:
            told.append(f"{arm}: its seeds were confirmed with different hyperparameters.")
    return told


def _flawed(study: Study) -> list[str]:
    """Single models that did not get their figures, or got them on other terms."""
    scores, trials = seed_scores(study), study.trials
    failed = trials[(trials["stage"] == "confirm") & (trials["status"] == "failed")]
    silent = study.confirmed[~study.confirmed["trial_id"].isin(scores["trial_id"])]
    most = scores["images"].max()
    short = scores[scores["images"] < most]
    test = study.test_predictions
    broken = scores[scores["trial_id"].isin(test.loc[test["score"].isna(), "trial_id"])]
    values = test.groupby("trial_id")["score"].nunique().reindex(scores["trial_id"]).to_numpy()
    constant, coarse = scores[values == 1], scores[(values > 1) & (values < _FEW_VALUES)]
    return [
        *_of_each(failed, "its confirm trial failed."),
        *_of_each(silent, "confirmed, but without test predictions."),
        *_of_each(short, f"fewer test predictions than the {most} of others."),
        *_of_each(constant, "the same score for every image, so it tells none from another."),
        *_of_each(coarse, f"fewer than {_FEW_VALUES} different scores, so its curve is coarse."),
        *_of_each(broken, "scores are nan, so the arm's means are undefined."),
    ]


def _of_each(models: pd.DataFrame, what: str) -> list[str]:
    return [f"{row.arm}, seed {row.seed}: {what}" for row in models.itertuples()]


def _results(row: Mapping[Hashable, Any]) -> Cells:
    """What an arm scores, as a person reads it: heading to text."""
    names = {figure: "auc_mean" if figure == "auc" else figure for figure in FIGURES}
    return {"arm": row["arm"], "seeds": str(row["seeds"])} | {
        HEADINGS[figure]: mean_and_sd(row[name], row[f"{figure}_sd"])
        for figure, name in names.items()
    }


def _evidence(row: Mapping[Hashable, Any]) -> Cells:
    """How sure an arm's area is, and its difference to gated-fusion, as a person reads it."""
    return {
        "arm": row["arm"],
        "AUC, 95 %": interval(row["auc_low"], row["auc_high"]),
        f"minus {REFERENCE}": number(row["delta_auc"], "+.3f"),
        "its 95 %": interval(row["delta_low"], row["delta_high"]),
        "p": number(row["p_value"], ".3f"),
        "p Holm": number(row["p_holm"], ".3f"),
        "seen from": number(row["detectable_delta"], ".3f"),
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


def _panel(rows: list[Cells]) -> Table:
    """Cells for a terminal: a narrow one breaks them at ±, not in a number."""
    shown = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    shown.add_column("arm", no_wrap=True)
    for heading in list(rows[0])[1:]:
        longest = max(len(cell) for cell in [heading, *(row[heading] for row in rows)])
        shown.add_column(heading, justify="right", min_width=min(longest, len("0.000 ±")))
    for row in rows:
        arm, *others = row.values()
        variant, _, backbone = arm.partition("/")
        shown.add_row("\n".join([f"{variant}/", *textwrap.wrap(backbone, 18)]), *others)
    return shown
