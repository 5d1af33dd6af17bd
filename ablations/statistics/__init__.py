"""Intervals and tests for areas under ROC curves of the same images, and what goes with them."""

from ablations.statistics.areas import auc_confidence_interval, delong_test, partial_auc
from ablations.statistics.between import (
    ImageGroup,
    change_between_sets,
    contrast_between_groups,
)
from ablations.statistics.budget import best_quantile, expected_best
from ablations.statistics.calibration import Calibration, calibration
from ablations.statistics.contrasts import (
    Estimate,
    auc_difference,
    contrast,
    detectable_difference,
    difference_of_changes,
    difference_of_models,
    equivalence_p,
    mean_auc,
)
from ablations.statistics.decisions import average_precision, holm, mcnemar

__all__ = [
    "Calibration",
    "Estimate",
    "ImageGroup",
    "auc_confidence_interval",
    "auc_difference",
    "average_precision",
    "best_quantile",
    "calibration",
    "change_between_sets",
    "contrast",
    "contrast_between_groups",
    "delong_test",
    "detectable_difference",
    "difference_of_changes",
    "difference_of_models",
    "equivalence_p",
    "expected_best",
    "holm",
    "mcnemar",
    "mean_auc",
    "partial_auc",
]
