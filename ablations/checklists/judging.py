"""How a study's networks were judged: Markdown for items of a checklist."""

from ablations.checklists.images import UNKNOWN, counted
from ablations.operating_points import SPECIFICITIES
from ablations.remarks import references
from ablations.rows import Study
from ablations.statistics.resampling import LEAST_SENSITIVITY

_WEIGHTS = "class_weights"  # the option of the loss


def measures(study: Study) -> str:
    """The figures of a report, and how each came by its interval."""
    return (
        "Discrimination: area under the ROC curve, with a 95 % interval on the logit scale from "
        f"{_variance(study)}; sensitivity at a specificity of {_specificities()}, read off the "
        "test curve, and at thresholds that keep these specificities on the validation images; "
        f"partial area where sensitivity is at least {LEAST_SENSITIVITY}. Decisions at a "
        "probability of 0.5: accuracy, sensitivity, specificity; positive and negative predictive "
        "value at a stated prevalence. Calibration: intercept, slope, expected calibration error, "
        "and a calibration curve."
    )


def comparisons(study: Study) -> str:
    """The tests of a report."""
    return (
        f"Comparison: difference in AUC to {references(study)}, paired on the test images, with "
        "p-values adjusted by Holm's method within each family of comparisons; the "
        "primary question and the main effects of the parts as contrasts over all arms; "
        "equivalence by two one-sided tests; McNemar's exact test of decisions; the smallest true "
        "difference that such a test finds with 80 % power."
    )


def _variance(study: Study) -> str:
    several = (
        "the variance over images (DeLong) and over seeds, each counted once (Obuchowski and "
        "Rockette; Student's t with Satterthwaite's degrees of freedom)"
    )
    seeds = _seeds(study)
    if seeds is None:
        return f"{several}, or over images alone where each arm has one seed"
    return several if seeds > 1 else "DeLong's variance, as there is one seed of each arm"


def _seeds(study: Study) -> int | None:
    """The most seeds of an arm, as confirmed or else as planned; None where neither is known."""
    if study.confirmed.empty:
        planned: int | None = study.spec.options.get("seeds")
        return planned
    return int(study.confirmed.groupby("arm").size().max())


def _specificities() -> str:
    *first, last = (f"{each:.2f}" for each in SPECIFICITIES)
    return f"{', '.join(first)} and {last}"


def imbalance(study: Study) -> str:
    """How common melanoma is, and what was done about it."""
    return (
        f"{counted(study)} {_class_weights(study)} Images were not resampled, and probabilities "
        "not recalibrated afterwards; calibration is reported as it is."
    )


def _class_weights(study: Study) -> str:
    """How the loss weighed the classes: in the models that were confirmed, if it was searched."""
    fixed = [
        text for text in study.spec.options.get("set") or () if text.startswith(f"{_WEIGHTS}=")
    ]
    fixed += [
        f"in {name} {_WEIGHTS}={arm.fixed[_WEIGHTS]}"
        for name, arm in study.described.items()
        if _WEIGHTS in arm.fixed
    ]
    if _WEIGHTS not in {*study.trials, *(each.name for each in study.spec.space)}:
        if fixed:
            return f"Weights of the classes in the loss were fixed: {', '.join(fixed)}."
        if not study.spec.is_complete:
            return f"Weights of the classes in the loss: {UNKNOWN}."
        return "Both classes had the same weight in the loss."
    used = study.confirmed.reindex(columns=["arm", _WEIGHTS]).dropna()
    by_arm = [
        f"{arm} {'with' if of_arm[_WEIGHTS].astype(bool).all() else 'without'}"
        for arm, of_arm in used.groupby("arm")
    ]
    chosen = f" Confirmed: {', '.join(by_arm)}." if by_arm else ""
    return (
        "Whether to weigh classes in the loss by the inverse of their frequency was searched, as "
        f"any other hyperparameter.{chosen}"
    )


def output() -> str:
    """What a network says, and which decisions are made of it."""
    return (
        "The probability that an image shows the positive class, 0 to 1. Decisions: at 0.5, and at "
        f"the thresholds that keep a specificity of {_specificities()} on the validation images, "
        "seed by seed; they stand in operating_points.csv."
    )


def calculation() -> str:
    """How a test image came by its score."""
    return (
        "One pass of a confirmed network over the image as it was prepared, not turned and not "
        "flipped; the score is the softmax of its two logits. The scores stand in predictions/, a "
        "row an image and model. python -m masll.predict --model STUDY/models/ARM/seed-N gives "
        "those of other images."
    )


def ensembling(study: Study) -> str:
    """Whether several models speak together; empty without confirmed models."""
    if study.confirmed.empty:
        return ""
    if study.confirmed.groupby("arm").size().max() > 1:
        return (
            "Figures are of single models, as means over the seeds of an arm. Beside them "
            "ensembles.csv has the mean probability over an arm's seeds; McNemar's test decides by "
            "it."
        )
    return "None: figures are of single models."
