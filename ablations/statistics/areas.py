"""Areas under ROC curves of the same images: DeLong's interval and paired test.

The variance is DeLong's (DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988), computed from
midranks in O(n log n) (Sun and Xu, IEEE Signal Processing Letters 21, 2014); where images belong
together, see `grouped`.
"""

import math

import numpy as np
import numpy.typing as npt
import scipy.special
import scipy.stats

from ablations.statistics.grouped import delong_variance, fewest_units, members
from masll.metrics import roc_points

Floats = npt.NDArray[np.float64]


def auc_confidence_interval(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    level: float = 0.95,
    *,
    groups: npt.ArrayLike | None = None,
) -> tuple[float, float, float]:
    """The area under the ROC curve with a two-sided interval that stays inside [0, 1].

    The interval is symmetric on the logit scale (Pepe 2003, section 5.2). Where that scale or
    DeLong's variance breaks down, at an area of 0 or 1, it is the exact binomial one (Clopper and
    Pearson 1934) for all of min(positives, negatives) independent comparisons won, which is wide
    rather than empty. Constant scores have an area of 1/2 whatever the sample: (0.5, 0.5, 0.5).

    >>> area, low, high = auc_confidence_interval([0, 0, 0, 1, 1], [0.1, 0.4, 0.2, 0.3, 0.8])
    >>> print(f"{area:.3f} [{low:.3f}, {high:.3f}]")
    0.833 [0.152, 0.993]

    Args:
        labels: (n,) of 0 and 1.
        scores: (n,), higher for 1.
        level: of confidence, between 0 and 1.
        groups: (n,), equal for images of one lesion or patient; these count as one comparison.

    Returns:
        (auc, low, high); all nan when a class is missing, low and high nan when one class has a
        single image, or group, as no variance can be estimated then.

    Raises:
        ValueError: lengths differ, a label is neither 0 nor 1, a score is nan, or a bad level.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}")
    positive, (values,) = checked(labels, scores)
    if positive.all() or not positive.any():
        return math.nan, math.nan, math.nan
    together = members(positive, groups)
    fewest = fewest_units(positive, together)
    auc, (on_positives, on_negatives) = placements(positive, values)
    if fewest == 1:
        return auc, math.nan, math.nan
    if auc in (0.0, 1.0):
        edge = ((1 - level) / 2) ** (1 / fewest)
        return (auc, edge, 1.0) if auc == 1.0 else (auc, 0.0, 1 - edge)
    variance = float(delong_variance(on_positives[None], on_negatives[None], together)[0])
    half = scipy.stats.norm.ppf((1 + level) / 2) * math.sqrt(variance) / (auc * (1 - auc))
    middle = scipy.special.logit(auc)
    return auc, float(scipy.special.expit(middle - half)), float(scipy.special.expit(middle + half))


def delong_test(
    labels: npt.ArrayLike, scores_a: npt.ArrayLike, scores_b: npt.ArrayLike
) -> tuple[float, float, float]:
    """Paired test of two scores' areas on the same images.

    >>> labels = [0, 0, 0, 1, 1]
    >>> difference, error, p = delong_test(labels, [1, 2, 3, 4, 5], [1, 4, 2, 3, 5])
    >>> print(f"{difference:.3f} +- {error:.3f}, p {p:.2f}")
    0.167 +- 0.236, p 0.48

    Args:
        labels: (n,) of 0 and 1.
        scores_a, scores_b: (n,) each, in the order of the labels.

    Returns:
        (auc of a - auc of b, its standard error, two-sided p). Scores that rank every pair of
        images alike give (0, 0, 1). A difference that is the same for every image, such as of
        perfect and constant scores, has a standard error of 0, which supports no test: p is nan.
        All nan when a class is missing; standard error and p nan when one has a single image.

    Raises:
        ValueError: lengths differ, a label is neither 0 nor 1, or a score is nan.
    """
    positive, (a, b) = checked(labels, scores_a, scores_b)
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if not (n_positive and n_negative):
        return math.nan, math.nan, math.nan
    auc_a, (positives_a, negatives_a) = placements(positive, a)
    auc_b, (positives_b, negatives_b) = placements(positive, b)
    difference = auc_a - auc_b
    if min(n_positive, n_negative) == 1:
        return difference, math.nan, math.nan
    variance = (positives_a - positives_b).var(ddof=1) / n_positive + (
        negatives_a - negatives_b
    ).var(ddof=1) / n_negative
    error = math.sqrt(variance)
    if error < 1e-14:  # rounding; one pair of images ranked otherwise gives 1 / (their number)
        return difference, 0.0, math.nan if difference else 1.0
    return difference, error, float(2 * scipy.stats.norm.sf(abs(difference) / error))


def partial_auc(
    labels: npt.ArrayLike, scores: npt.ArrayLike, least_sensitivity: float = 0.8
) -> float:
    """Area under the part of the ROC curve whose sensitivity is high, over that of a perfect one.

    Args:
        labels: (n,) of 0 and 1.
        scores: (n,).
        least_sensitivity: from 0 to below 1.
    """
    positive, (values,) = checked(labels, scores)
    if positive.all() or not positive.any():
        return math.nan
    sensitivities, specificities = roc_points(positive, values)
    # The curve on its side, specificity over sensitivity, begins within one of its segments.
    first = int(np.searchsorted(sensitivities, least_sensitivity))
    x, y = sensitivities[first:], specificities[first:]
    if x[0] > least_sensitivity:
        share = (least_sensitivity - sensitivities[first - 1]) / (x[0] - sensitivities[first - 1])
        begin = specificities[first - 1] + share * (y[0] - specificities[first - 1])
        x, y = np.append(least_sensitivity, x), np.append(begin, y)
    return float(np.trapezoid(y, x) / (1 - least_sensitivity))


def placements(
    positive: npt.NDArray[np.bool_], scores: Floats
) -> tuple[float, tuple[Floats, Floats]]:
    """The area, and each image's placement: the share of the other class that it beats.

    For a positive the share of negatives below it, for a negative the share of positives above
    it; a tie counts one half. Both average to the area.
    """
    n_positive, n_negative = positive.sum(), (~positive).sum()
    ranks = scipy.stats.rankdata(scores)  # midranks among all
    within_positives = scipy.stats.rankdata(scores[positive])
    within_negatives = scipy.stats.rankdata(scores[~positive])
    on_positives = (ranks[positive] - within_positives) / n_negative
    on_negatives = 1 - (ranks[~positive] - within_negatives) / n_positive
    return float(on_positives.mean()), (on_positives, on_negatives)


def checked(
    labels: npt.ArrayLike, *scores: npt.ArrayLike
) -> tuple[npt.NDArray[np.bool_], list[Floats]]:
    labels = np.asarray(labels).ravel()
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"labels must be 0 or 1, got {labels[~np.isin(labels, (0, 1))][0]}")
    arrays = [np.asarray(each, dtype=np.float64).ravel() for each in scores]
    for each in arrays:
        if each.shape != labels.shape:
            raise ValueError(f"{labels.size} labels but {each.size} scores; give one per label")
        if np.isnan(each).any():
            raise ValueError(f"score {int(np.flatnonzero(np.isnan(each))[0])} is nan")
    return labels == 1, arrays
