"""A fragment for a paper: items 12c, 12e, 13 and 23a of TRIPOD+AI, from a study's spec and rows.

The checklist is that of Collins et al., "TRIPOD+AI statement", BMJ 385, e078378 (2024). What the
study does not know, such as why a measure was chosen in a clinic's view, is left to the author.
"""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from ablations.defaults import MARGIN
from ablations.formats import (
    ABSENT,
    Cells,
    bullets,
    interval,
    markdown,
    mean_and_sd,
    number,
    p_text,
)
from ablations.remarks import declared, recipe, reopened
from ablations.rows import Study
from ablations.statistics.resampling import LEAST_SENSITIVITY
from ablations.subgroups.words import subgroup_report
from ablations.verdict import verdict
from masll.variants import REFERENCE
from tuning.study.space import Space
from tuning.study.spec import FEWEST_TO_REPEAT
from tuning.study.trial import Stage

_UNKNOWN = "not recorded, as the study has no spec.json"
_SAMPLERS = {
    "tpe": "the tree-structured Parzen estimator of Optuna",
    "random": "random search",
    "gp": "a Gaussian process of Optuna",
}
_VALIDATIONS = {
    "official": "the official validation images",
    "fold": "a stratified fifth of the training and validation images that was held out of "
    "training, with duplicates kept in one part",
    "cv5": "the mean over five stratified folds of the training and validation images, with "
    "duplicates kept in one fold",
}


HEADING = "TRIPOD+AI, items 12c, 12e, 13 and 23a"


def tripod(study: Study, table: pd.DataFrame, level: int = 2, margin: float = MARGIN) -> str:
    """The four items as Markdown.

    Args:
        table: see `ablation_table`.
        level: of the items' headings.
        margin: of equivalence, see `effects`.
    """
    items = {
        "12c. Model building and hyperparameter tuning": _tuning(study, table),
        "12e. Performance measures": _measures(study),
        "13. Class imbalance": _imbalance(study),
        "23a. Model performance": _performance(study, table, margin),
    }
    return "\n\n".join(f"{'#' * level} {item}\n\n{text}" for item, text in items.items())


def _tuning(study: Study, table: pd.DataFrame) -> str:
    options = study.spec.options
    searched = study.stage(Stage.SEARCH)
    counts = searched["status"].value_counts()
    run = (
        f"{len(searched)} search trials of {len(study.arms)} arms were run: "
        f"{counts.get('completed', 0)} completed, {counts.get('pruned', 0)} stopped early, "
        f"{counts.get('failed', 0)} failed."
    )
    return "\n\n".join(
        [
            "Each arm, one variant of the network on one backbone, was tuned by itself with the "
            f"same budget. {_search(options)} {run}",
            f"Searched: {_space(study.spec.space)}. The paper's setting was the first trial of "
            "every arm.",
            *recipe(study),
            *[f"Declared beside the variants: {line}" for line in declared(study)],
            _confirmation(options),
            markdown([_chosen(row) for row in table.to_dict("records")]).rstrip(),
        ]
    )


def _search(options: Mapping[str, Any]) -> str:
    if not options.get("trials"):
        return f"Sampler, budget and validation: {_UNKNOWN}."
    sampler = _SAMPLERS.get(options.get("sampler", ""), f"sampler {options.get('sampler')}")
    stopped = {
        "asha": "Trials that fell behind others of their arm were stopped early (ASHA).",
        "none": "No trial was stopped early.",
    }.get(options.get("scheduler", ""), "")
    judged = _VALIDATIONS.get(options.get("validation", ""), "the validation images")
    epochs = options.get("epochs")
    return (
        f"Budget: {options['trials']} trials an arm of at most {epochs} epochs, drawn by {sampler} "
        f"(seed {options.get('seed')}). A trial was judged by {_judge(options)}, on {judged}; the "
        f"test images were not seen. {_repeats(options)}{stopped}".rstrip()
    )


def _judge(options: Mapping[str, Any]) -> str:
    by_end = options.get("judge") == "end"  # studies of before 0.2 do not say
    return "the mean AUC of its last tenth of epochs" if by_end else "its best AUC over epochs"


def _repeats(options: Mapping[str, Any]) -> str:
    finalists = options.get("finalists", 0)
    if not finalists or options["trials"] < FEWEST_TO_REPEAT:
        return ""
    return (
        f"The best {finalists} settings were trained again with other seeds within that budget, "
        "half of it at most, and chosen from by the mean over seeds. "
    )


def _space(space: Space) -> str:
    parameters = []
    for each in space:
        if each.type == "choice":
            span = f"one of {', '.join(map(str, each.choices))}"
        else:
            scale = ", on a log scale" if each.log else ""
            span = f"{each.low:g} to {each.high:g}{scale}"
        parameters.append(f"{each.name} ({span}; in {', '.join(each.variants)})")
    return "; ".join(parameters) or _UNKNOWN


def _confirmation(options: Mapping[str, Any]) -> str:
    seeds = options.get("seeds")
    often = f" with {seeds} seed{'s' * (seeds != 1)}" if seeds else " with one or more seeds"
    return (
        f"The best hyperparameters of each arm were retrained{often}, without early stopping; the "
        "epoch was chosen by validation AUC. Only these models were given the test images."
    )


def _chosen(row: dict[Any, Any]) -> Cells:
    return {
        "arm": row["arm"],
        "trials": str(row["trials"]),
        "learning rate": number(row["lr"], ".2g"),
        "threshold scale": number(row["threshold_scale"], ".2f"),
        "seeds": str(row["seeds"]),
    }


def _measures(study: Study) -> str:
    several = study.confirmed.groupby("arm").size().max() > 1
    variance = (
        "the variance over images (DeLong) and over seeds, each counted once (Obuchowski and "
        "Rockette; Student's t with Satterthwaite's degrees of freedom)"
        if several
        else "DeLong's variance, as there is one seed of each arm"
    )
    return (
        "Discrimination: area under the ROC curve, with a 95 % interval on the logit scale from "
        f"{variance}; sensitivity at a specificity of 0.95, 0.90 and 0.85, read off the test "
        "curve, and at thresholds that keep these specificities on the validation images; partial "
        f"area where sensitivity is at least {LEAST_SENSITIVITY}. Decisions at a probability of "
        "0.5: accuracy, sensitivity, specificity; positive and negative predictive value at a "
        "stated prevalence. Calibration: intercept, slope, expected calibration error, and a "
        f"calibration curve. Comparison: difference in AUC to {REFERENCE} of the same backbone, "
        "paired on the test images, with p-values adjusted by Holm's method for all comparisons "
        "of the study; the primary question and the main effects of the parts as contrasts over "
        "all arms; equivalence by two one-sided tests; McNemar's exact test of decisions; the "
        "smallest true difference that such a test finds with 80 % power."
    )


def _imbalance(study: Study) -> str:
    data = study.spec.data
    counts = {split: (data.melanoma[split], images) for split, images in data.images.items()}
    test = study.test_predictions.drop_duplicates("image_id")
    if not counts and len(test):
        counts = {"test": (int(test["label"].sum()), len(test))}
    shares = [
        f"{ill} of {of} {split} images ({ill / of:.1%})"
        for split, (ill, of) in counts.items()
        if of
    ]
    counted = f"Melanoma: {', '.join(shares)}." if shares else f"Class counts: {_UNKNOWN}."
    if study.left_out:
        counted += (
            f" Of these, {study.left_out} were not trained on, as they show a lesion of a "
            "later split."
        )
    return (
        f"{counted} {_weights(study)} Images were not resampled, and probabilities not "
        "recalibrated afterwards; calibration is reported as it is."
    )


def _weights(study: Study) -> str:
    """How the loss weighed the classes: in the models that were confirmed, if it was searched."""
    if "class_weights" not in study.trials:
        return "Both classes had the same weight in the loss."
    used = study.confirmed.dropna(subset=["class_weights"])
    by_arm = [
        f"{arm} {'with' if of_arm['class_weights'].astype(bool).all() else 'without'}"
        for arm, of_arm in used.groupby("arm")
    ]
    chosen = f" Confirmed: {', '.join(by_arm)}." if by_arm else ""
    return (
        "Whether to weigh classes in the loss by the inverse of their frequency was searched, as "
        f"any other hyperparameter.{chosen}"
    )


def _performance(study: Study, table: pd.DataFrame, margin: float) -> str:
    test = study.test_predictions
    if test.empty:
        return "No confirmed model yet, so there is no performance to report."
    images = test.drop_duplicates("image_id")
    rows = [
        {
            "arm": row["arm"],
            "seeds": str(row["seeds"]),
            "AUC (95 % interval)": _with(row["auc_mean"], row["auc_low"], row["auc_high"], ".3f"),
            "difference (95 % interval)": _with(
                row["delta_auc"], row["delta_low"], row["delta_high"], "+.3f"
            ),
            "p Holm": p_text(row["p_holm"]),
            "SEN": mean_and_sd(row["sen"], row["sen_sd"]),
            "SPE": mean_and_sd(row["spe"], row["spe_sd"]),
        }
        for row in table.to_dict("records")
    ]
    return "\n\n".join(
        [
            f"On {len(images)} test images, {int((images['label'] == 1).sum())} melanoma; "
            f"difference to {REFERENCE} of the same backbone; SEN and SPE at a probability of 0.5, "
            "mean ± standard deviation over seeds.",
            markdown(rows).rstrip(),
            bullets(verdict(study, table, margin)),
            *reopened(study),
            subgroup_report(study),
        ]
    )


def _with(value: float, low: float, high: float, format_spec: str) -> str:
    if math.isnan(value):
        return ABSENT
    return f"{number(value, format_spec)} ({interval(low, high)})"
