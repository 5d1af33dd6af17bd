"""Decisions: several tests at once, and two classifiers on the same images."""

import math

import numpy as np
import numpy.typing as npt
import scipy.stats
import sklearn.metrics

from ablations.statistics.areas import Floats


def holm(p_values: npt.ArrayLike) -> Floats:
    """p-values adjusted for their number by Holm's step-down rule (Holm 1979), in the same order.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]

    nan stands for a test that was not made: it stays nan and does not count.

    Raises:
        ValueError: a p-value lies outside [0, 1].
    """
    p = np.asarray(p_values, dtype=np.float64).ravel()
    tested = ~np.isnan(p)
    strange = p[tested & ~((p >= 0) & (p <= 1))]
    if strange.size:
        raise ValueError(f"a p-value lies in [0, 1], got {strange[0]}")
    order = np.argsort(p[tested], kind="stable")
    remaining = np.arange(tested.sum(), 0, -1)  # m, m - 1, ..., 1
    stepped = np.maximum.accumulate(p[tested][order] * remaining)
    adjusted = np.full_like(p, math.nan)
    adjusted[np.flatnonzero(tested)[order]] = np.minimum(stepped, 1)
    return adjusted


def average_precision(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Area under the precision-recall curve by steps; nan without both classes, or for a score nan.

    Args:
        labels: (n,) of 0 and 1.
        scores: (n,).
    """
    labels, scores = np.asarray(labels).ravel(), np.asarray(scores, dtype=float).ravel()
    if np.isnan(scores).any() or not 0 < labels.sum() < labels.size:
        return math.nan
    return float(sklearn.metrics.average_precision_score(labels, scores))


def worth_of_referring(positive: npt.NDArray[np.bool_], scores: Floats, threshold: float) -> Floats:
    """What each image adds to the net benefit where a score >= threshold is referred.

    A melanoma found counts 1, a false alarm minus the odds of the threshold (Vickers and Elkin
    2006).
    """
    odds = threshold / (1 - threshold)
    return np.asarray(np.where(positive, 1.0, -odds) * (scores >= threshold))


def net_benefit(labels: npt.ArrayLike, scores: Floats, threshold: float) -> Floats:
    """Net benefit per image: labels (n,) and scores (..., n) -> (...)."""
    positive = np.asarray(labels) == 1
    return np.asarray(worth_of_referring(positive, scores, threshold).mean(axis=-1))


def treat_all(prevalence: float, threshold: float) -> float:
    """Net benefit of referring everybody; of referring nobody it is 0."""
    return prevalence - (1 - prevalence) * threshold / (1 - threshold)


def mcnemar(
    labels: npt.ArrayLike, called_a: npt.ArrayLike, called_b: npt.ArrayLike
) -> tuple[int, int, float]:
    """Exact paired test of two classifiers' decisions on the same images (McNemar 1947).

    Args:
        labels, called_a, called_b: (n,) of 0 and 1.

    Returns:
        (images that only a gets right, images that only b gets right, two-sided binomial p).
    """
    labels, a, b = (np.asarray(each).ravel() for each in (labels, called_a, called_b))
    only_a = int(((a == labels) & (b != labels)).sum())
    only_b = int(((a != labels) & (b == labels)).sum())
    if only_a + only_b == 0:
        return 0, 0, 1.0
    return only_a, only_b, float(scipy.stats.binomtest(only_a, only_a + only_b).pvalue)
