"""How far probabilities can be taken at their word."""

import math
import warnings
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.optimize
import scipy.special
import sklearn.linear_model
from sklearn.exceptions import ConvergenceWarning

from ablations.statistics.areas import Floats, checked

BINS = 10


class Calibration(NamedTuple):
    """How well probabilities are meant."""

    intercept: float  # of outcome on logit(score), with slope 1: 0 if the mean risk is right
    slope: float  # of outcome on logit(score): 1 if risks are spread right, less if too extreme
    error: float  # expected calibration error over ten bins of equal number


def calibration(labels: npt.ArrayLike, scores: npt.ArrayLike, bins: int = BINS) -> Calibration:
    """Calibration in the large, slope (Cox 1958) and expected calibration error.

    Args:
        labels: (n,) of 0 and 1.
        scores: (n,) probabilities.
        bins: of equal number of images, for the expected calibration error.

    Returns:
        nan where it is not defined: a class is missing, or (slope) all scores are equal or the
        classes do not overlap, which no finite slope fits best.
    """
    positive, (values,) = checked(labels, scores)
    if positive.all() or not positive.any():
        return Calibration(math.nan, math.nan, math.nan)
    outcome = positive.astype(float)
    gaps = np.abs(np.bincount(equal_bins(values, bins), values - outcome))
    logits = score_logits(values)
    intercept = scipy.optimize.brentq(
        lambda shift: scipy.special.expit(logits + shift).mean() - outcome.mean(), -50, 50
    )
    slope, _ = logistic_fit(logits, positive)
    return Calibration(float(intercept), slope, float(gaps.sum() / len(values)))


def equal_bins(scores: Floats, bins: int = BINS) -> npt.NDArray[np.intp]:
    """The bin of each image, 0 for the lowest scores: (n,) -> (n,).

    The bins are of equal number, but for equal scores, which are never parted: all of them go where
    the middle one lies. So what is computed of a bin does not depend on the order of the images.
    """
    parts = np.array_split(np.arange(len(scores)), min(bins, len(scores)))
    by_rank = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    ordered = np.sort(scores)
    first = np.searchsorted(ordered, scores)
    last = np.searchsorted(ordered, scores, side="right") - 1
    return by_rank[(first + last) // 2]


def logistic_fit(logits: Floats, positive: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and intercept of outcome on logit(score); nan where no finite slope fits best."""
    ill, well = logits[positive], logits[~positive]
    if not (ill.min() < well.max() and well.min() < ill.max()):
        return math.nan, math.nan
    model = sklearn.linear_model.LogisticRegression(
        C=math.inf, solver="newton-cholesky", tol=1e-8, max_iter=1000
    )
    with warnings.catch_warnings():
        # A start at the very optimum leaves nothing to search along; it then does without.
        warnings.filterwarnings("ignore", "Line search", ConvergenceWarning)
        fitted = model.fit(logits[:, None], positive)
    return float(fitted.coef_[0, 0]), float(fitted.intercept_[0])


def score_logits(scores: Floats) -> Floats:
    """logit(score), finite for a score of 0 or 1."""
    return np.asarray(scipy.special.logit(scores.clip(1e-7, 1 - 1e-7)))
