"""Intervals and tests for areas under ROC curves of the same images, and Holm's correction.

The variance is DeLong's (DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988), computed from
midranks in O(n log n) (Sun and Xu, IEEE Signal Processing Letters 21, 2014).
"""

import math

import numpy as np
import numpy.typing as npt
import scipy.special
import scipy.stats

Floats = npt.NDArray[np.float64]


def auc_confidence_interval(
    labels: npt.ArrayLike, scores: npt.ArrayLike, level: float = 0.95
) -> tuple[float, float, float]:
    """The area under the ROC curve with a two-sided interval that stays inside [0, 1].

    The interval is symmetric on the logit scale (Pepe 2003, section 5.2). Where that scale or
    DeLong's variance breaks down, at an area of 0 or 1, it is the exact binomial one (Clopper and
    Pearson 1934) for all of min(positives, negatives) independent comparisons won, which is wide
    rather than empty. Constant scores have an area of 1/2 whatever the sample: (0.5, 0.5, 0.5).

    Args:
        labels: (n,) of 0 and 1.
        scores: (n,), higher for 1.
        level: of confidence, between 0 and 1.

    Returns:
        (auc, low, high); all nan when a class is missing, low and high nan when one class has a
        single image, as no variance can be estimated then.

    Raises:
        ValueError: lengths differ, a label is neither 0 nor 1, a score is nan, or a bad level.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}")
    positive, (values,) = _checked(labels, scores)
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if not (n_positive and n_negative):
        return math.nan, math.nan, math.nan
    auc, (on_positives, on_negatives) = _placements(positive, values)
    if min(n_positive, n_negative) == 1:
        return auc, math.nan, math.nan
    if auc in (0.0, 1.0):
        edge = ((1 - level) / 2) ** (1 / min(n_positive, n_negative))
        return (auc, edge, 1.0) if auc == 1.0 else (auc, 0.0, 1 - edge)
    variance = on_positives.var(ddof=1) / n_positive + on_negatives.var(ddof=1) / n_negative
    half = scipy.stats.norm.ppf((1 + level) / 2) * math.sqrt(variance) / (auc * (1 - auc))
    middle = scipy.special.logit(auc)
    return auc, float(scipy.special.expit(middle - half)), float(scipy.special.expit(middle + half))


def delong_test(
    labels: npt.ArrayLike, scores_a: npt.ArrayLike, scores_b: npt.ArrayLike
) -> tuple[float, float, float]:
    """Paired test of two scores' areas on the same images.

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
    positive, (a, b) = _checked(labels, scores_a, scores_b)
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if not (n_positive and n_negative):
        return math.nan, math.nan, math.nan
    auc_a, (positives_a, negatives_a) = _placements(positive, a)
    auc_b, (positives_b, negatives_b) = _placements(positive, b)
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


def holm(p_values: npt.ArrayLike) -> Floats:
    """p-values adjusted for their number by Holm's step-down rule (Holm 1979), in the same order.

    nan stands for a test that was not made: it stays nan and does not count.

    Raises:
        ValueError: a p-value lies outside [0, 1].
    """
    p = np.asarray(p_values, dtype=np.float64).ravel()
    made = ~np.isnan(p)
    strange = p[made & ~((p >= 0) & (p <= 1))]
    if strange.size:
        raise ValueError(f"a p-value lies in [0, 1], got {strange[0]}")
    order = np.argsort(p[made], kind="stable")
    remaining = np.arange(made.sum(), 0, -1)  # m, m - 1, ..., 1
    stepped = np.maximum.accumulate(p[made][order] * remaining)
    adjusted = np.full_like(p, math.nan)
    adjusted[np.flatnonzero(made)[order]] = np.minimum(stepped, 1)
    return adjusted


def _placements(
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


def _checked(
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
