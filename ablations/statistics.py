"""Intervals and tests for areas under ROC curves of the same images, and Holm's correction.

The variance is DeLong's (DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988), computed from
midranks in O(n log n) (Sun and Xu, IEEE Signal Processing Letters 21, 2014).
"""

import copy
import functools
import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.optimize
import scipy.special
import scipy.stats
import sklearn.linear_model

from masll.metrics import roc_points

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


class Estimate(NamedTuple):
    """A figure with its standard error, its interval and, for a difference, its p-value."""

    value: float
    error: float
    low: float
    high: float
    p_value: float = math.nan
    df: float = math.inf  # degrees of freedom of the error: few where a few seeds make it up


def mean_auc(
    labels: npt.ArrayLike, scores: npt.ArrayLike, *, level: float = 0.95, draws: int = 2000,
    seed: int = 0,
) -> Estimate:  # fmt: skip
    """Mean area over the seeds of an arm, for other seeds and other images of the same kind.

    Images (within their class) and seeds are drawn again together; the standard error of that
    bootstrap gives an interval symmetric on the logit scale, and so inside [0, 1]. It is as wide
    as Student's t asks where few seeds say how much seeds differ. With one seed it is DeLong's,
    and says nothing of other seeds.

    Args:
        labels: (n,) of 0 and 1.
        scores: (seeds, n).
        draws: of the bootstrap.
        seed: of its random numbers.

    Returns:
        All nan when a class is missing; error and interval nan when one has a single image.
    """
    labels, rows = np.asarray(labels).ravel(), np.atleast_2d(np.asarray(scores, dtype=float))
    if len(rows) == 1:
        auc, low, high = auc_confidence_interval(labels, rows[0], level)
        return Estimate(auc, _error_of_logit(auc, low, high, level), low, high)
    positive, _ = _checked(labels, *rows)
    if positive.all() or not positive.any():
        return Estimate(*[math.nan] * 4)
    value = float(np.mean([_placements(positive, row)[0] for row in rows]))
    if min(positive.sum(), (~positive).sum()) == 1:
        return Estimate(value, math.nan, math.nan, math.nan)
    drawn = _drawn_means(positive, [rows], draws, seed)[0]
    error = float(drawn.std(ddof=1))
    if value in (0.0, 1.0) or error == 0:
        return Estimate(value, error, *auc_confidence_interval(labels, rows[0], level)[1:])
    df = _degrees_of_freedom(positive, [rows], error)
    half = scipy.stats.t.ppf((1 + level) / 2, df) * error / (value * (1 - value))
    low, high = scipy.special.expit(scipy.special.logit(value) + np.array([-half, half]))
    return Estimate(value, error, float(low), float(high), df=df)


def auc_difference(
    labels: npt.ArrayLike, scores_a: npt.ArrayLike, scores_b: npt.ArrayLike, *,
    level: float = 0.95, draws: int = 2000, seed: int = 0,
) -> Estimate:  # fmt: skip
    """Difference of two arms' mean areas on the same images, with a two-sided paired test.

    Images are drawn once for both arms, seeds for each arm. The test is Student's, with fewer
    degrees of freedom the more of the error comes from few seeds. With one seed each it is
    DeLong's test.

    Args:
        labels: (n,) of 0 and 1.
        scores_a, scores_b: (seeds, n) each; the numbers of seeds may differ.
        draws: of the bootstrap.
        seed: of its random numbers.

    Returns:
        mean area of a - mean area of b; p nan where no test can be made.
    """
    a, b = (np.atleast_2d(np.asarray(scores, dtype=float)) for scores in (scores_a, scores_b))
    labels = np.asarray(labels).ravel()
    if len(a) == len(b) == 1:
        difference, error, p = delong_test(labels, a[0], b[0])
        z = scipy.stats.norm.ppf((1 + level) / 2)
        return Estimate(difference, error, difference - z * error, difference + z * error, p)
    positive, _ = _checked(labels, *a, *b)
    if positive.all() or not positive.any():
        return Estimate(*[math.nan] * 5)
    means = [np.mean([_placements(positive, row)[0] for row in rows]) for rows in (a, b)]
    difference = float(means[0] - means[1])
    if min(positive.sum(), (~positive).sum()) == 1:
        return Estimate(difference, *[math.nan] * 4)
    drawn_a, drawn_b = _drawn_means(positive, [a, b], draws, seed)
    error = float((drawn_a - drawn_b).std(ddof=1))
    if error < 1e-12:
        return Estimate(difference, 0.0, difference, difference, math.nan if difference else 1.0)
    df = _degrees_of_freedom(positive, [a, b], error)
    p = float(2 * scipy.stats.t.sf(abs(difference) / error, df))
    half = float(scipy.stats.t.ppf((1 + level) / 2, df)) * error
    return Estimate(difference, error, difference - half, difference + half, p, df)


def detectable_difference(
    error: float, df: float = math.inf, *, power: float = 0.8, level: float = 0.95
) -> float:
    """The smallest true difference that a two-sided test with such a standard error finds so often.

    Args:
        error: standard error of the difference.
        df: its degrees of freedom.
        power: how often it is found.
        level: 1 - the size of the test.
    """
    t = scipy.stats.t(df)
    return float((t.ppf((1 + level) / 2) + t.ppf(power)) * error)


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


def partial_auc(
    labels: npt.ArrayLike, scores: npt.ArrayLike, least_sensitivity: float = 0.8
) -> float:
    """Area under the part of the ROC curve whose sensitivity is high, over that of a perfect one.

    Args:
        labels: (n,) of 0 and 1.
        scores: (n,).
        least_sensitivity: from 0 to below 1.
    """
    positive, (values,) = _checked(labels, scores)
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


class Calibration(NamedTuple):
    """How well probabilities are meant."""

    intercept: float  # of outcome on logit(score), with slope 1: 0 if the mean risk is right
    slope: float  # of outcome on logit(score): 1 if risks are spread right, less if too extreme
    error: float  # expected calibration error over ten bins of equal number


def calibration(labels: npt.ArrayLike, scores: npt.ArrayLike, bins: int = 10) -> Calibration:
    """Calibration in the large, slope (Cox 1958) and expected calibration error.

    Args:
        labels: (n,) of 0 and 1.
        scores: (n,) probabilities.
        bins: of equal number of images, for the expected calibration error.

    Returns:
        nan where it is not defined: a class is missing, or (slope) all scores are equal or the
        classes do not overlap, which no finite slope fits best.
    """
    positive, (values,) = _checked(labels, scores)
    if positive.all() or not positive.any():
        return Calibration(math.nan, math.nan, math.nan)
    outcome = positive.astype(float)
    order = np.argsort(values, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    gaps = [len(part) * abs(values[part].mean() - outcome[part].mean()) for part in parts]
    logits = scipy.special.logit(values.clip(1e-7, 1 - 1e-7))
    intercept = scipy.optimize.brentq(
        lambda shift: scipy.special.expit(logits + shift).mean() - outcome.mean(), -50, 50
    )
    slope = math.nan
    ill, well = logits[positive], logits[~positive]
    if ill.min() < well.max() and well.min() < ill.max():
        fitted = sklearn.linear_model.LogisticRegression(
            C=math.inf, solver="newton-cholesky", tol=1e-8, max_iter=1000
        )
        slope = float(fitted.fit(logits[:, None], positive).coef_[0, 0])
    return Calibration(float(intercept), slope, float(np.sum(gaps) / len(values)))


def expected_best(values: npt.ArrayLike, budget: int) -> Floats:
    """Expected highest validation figure after 1, 2, ... trials drawn from those that were run.

    Dodge et al., "Show Your Work" (2019), equation 2: of the empirical distribution, with
    replacement.

    Args:
        values: (n,) of the trials.
        budget: most trials.
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    shares = np.arange(len(ordered) + 1) / len(ordered)
    powers = shares[None, :] ** np.arange(1, budget + 1)[:, None]
    return np.diff(powers, axis=1) @ ordered


def best_quantile(values: npt.ArrayLike, budget: int, quantile: float) -> Floats:
    """The quantile of the highest validation figure after 1, 2, ... drawn trials.

    Args:
        values: (n,) of the trials, drawn with replacement as for `expected_best`.
        budget: most trials.
        quantile: above 0, to 1.
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    # All of k draws lie at or below the i-th smallest with probability (i / n)^k.
    shares = quantile ** (1 / np.arange(1, budget + 1))
    return ordered[np.ceil(shares * len(ordered) - 1e-9).astype(int) - 1]


def _drawn_means(
    positive: npt.NDArray[np.bool_], arms: list[Floats], draws: int, seed: int
) -> list[Floats]:
    """Mean areas of each arm over drawn seeds, on images drawn once for all arms: (draws,) each."""
    rng = copy.deepcopy(_drawn_images(int(positive.sum()), int((~positive).sum()), draws, seed)[2])
    means = []
    for rows in arms:
        areas = np.stack([_drawn_areas(positive.tobytes(), row.tobytes(), draws, seed)
                          for row in rows], axis=1)  # fmt: skip
        # One seed fewer than there are: as many would vary by (n - 1) / n of what they should,
        # half of it with two seeds (McCarthy and Snowden 1985).
        drawn = max(len(rows) - 1, 1)
        of_seeds = rng.multinomial(drawn, np.full(len(rows), 1 / len(rows)), draws) / drawn
        means.append((areas * of_seeds).sum(axis=1))
    return means


def _degrees_of_freedom(positive: npt.NDArray[np.bool_], arms: list[Floats], error: float) -> float:
    """Of a standard error, by Welch and Satterthwaite: its parts by seeds, the rest by images.

    Args:
        arms: (seeds, n) each; an arm of one seed has no part by seeds.
    """
    several = [rows for rows in arms if len(rows) > 1]
    by_seeds = [np.var([_placements(positive, row)[0] for row in rows], ddof=1) / len(rows)
                for rows in several]  # fmt: skip
    by_images = max(error**2 - sum(by_seeds), 0.0)
    images = min(positive.sum(), (~positive).sum()) - 1
    parts = [(part, len(rows) - 1) for part, rows in zip(by_seeds, several, strict=True)]
    uncertain = sum(part**2 / df for part, df in [*parts, (by_images, images)])
    return float((by_images + sum(by_seeds)) ** 2 / uncertain) if uncertain > 0 else math.inf


# An arm is compared more than once, gated-fusion with every other: its draws are made once.
@functools.lru_cache(maxsize=128)
def _drawn_areas(positive: bytes, scores: bytes, draws: int, seed: int) -> Floats:
    """Areas of one model on drawn images: (draws,).

    How often an image is drawn weighs its comparisons: with the matrix of who beats whom, all
    draws of a model are one product. Of counts and halves, so without rounding.
    """
    is_positive, row = np.frombuffer(positive, dtype=bool), np.frombuffer(scores)
    n_positive, n_negative = int(is_positive.sum()), int((~is_positive).sum())
    on_positives, on_negatives, _ = _drawn_images(n_positive, n_negative, draws, seed)
    high, low = row[is_positive][:, None], row[~is_positive][None]
    beats = (high > low).astype(np.float32) + 0.5 * (high == low).astype(np.float32)
    won = np.einsum("dn,dn->d", on_positives @ beats, on_negatives, dtype=float)
    return np.asarray(won / (n_positive * n_negative))


@functools.lru_cache(maxsize=4)
def _drawn_images(
    n_positive: int, n_negative: int, draws: int, seed: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], np.random.Generator]:
    """How often each positive and each negative is drawn: (draws, n) each; and the generator."""
    rng = np.random.default_rng(seed)
    counts = [
        rng.multinomial(n, np.full(n, 1 / n), draws).astype(np.float32)
        for n in (n_positive, n_negative)
    ]
    return counts[0], counts[1], rng


def _error_of_logit(auc: float, low: float, high: float, level: float) -> float:
    """The standard error that a logit interval was made of."""
    if not 0 < auc < 1 or math.isnan(low):
        return math.nan
    width = scipy.special.logit(high) - scipy.special.logit(low)
    return float(width / (2 * scipy.stats.norm.ppf((1 + level) / 2)) * auc * (1 - auc))
