"""Weighted sums of arms' mean areas over their seeds, for other seeds and other images.

The variance has three sources that must each count once: which images were drawn, which seeds, and
that a seed ranks some images otherwise than another seed does (seed x image). The areas of an arm's
seeds differ by seeds and by seed x image; so do the placements of the images. For weights w and S
seeds of an arm,

    V = V_images + sum over arms of w^2 (s^2 - V_interaction) / S

with V_images DeLong's variance of the placements of the weighted mean over seeds, s^2 the variance
of the areas over seeds, and V_interaction DeLong's variance of the placements' deviations from the
arm's mean over seeds: the part of s^2 that V_images holds already. (Obuchowski and Rockette 1995,
as Gallas et al. 2009 write it for readers; here seeds are the readers.) Degrees of freedom are
Satterthwaite's. `tests/benchmarks/contrasts.py` shows size, coverage and power.

Images of one lesion or patient are no independent ones: `groups` says which belong together (see
`grouped`), and the degrees of freedom of the images are those of the groups.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.special

from ablations.statistics.areas import Floats, auc_confidence_interval, checked, placements
from ablations.statistics.grouped import Members, delong_variance, fewest_units, members
from ablations.statistics.variance import SeedPart, Variance, t_quantile, t_tail, total_variance

_ROUNDING = 1e-14  # one pair of images ranked otherwise gives 1 / (their number), far more


class Estimate(NamedTuple):
    """A figure with its standard error, its interval and, for a difference, its p-value."""

    value: float
    error: float
    low: float
    high: float
    p_value: float = math.nan
    df: float = math.inf  # degrees of freedom of the error: few where a few seeds make it up


def contrast(
    labels: npt.ArrayLike,
    scores: Sequence[npt.ArrayLike],
    weights: Sequence[float],
    level: float = 0.95,
    *,
    groups: npt.ArrayLike | None = None,
) -> Estimate:
    """A weighted sum of arms' mean areas on the same images, with interval and two-sided test.

    With one seed of every arm it is DeLong's test, over images alone: nothing is known of other
    seeds then.

    >>> labels = [0, 0, 0, 1, 1, 1]
    >>> a = [[1, 2, 3, 4, 5, 6], [1, 2, 4, 3, 5, 6]]
    >>> b = [[2, 1, 4, 3, 5, 6], [4, 2, 1, 3, 6, 5]]
    >>> round(contrast(labels, [a, b], [1, -1]).value, 3)
    0.056

    Args:
        labels: (n,) of 0 and 1.
        scores: (seeds, n) for each arm, or (n,) for one seed; numbers of seeds may differ.
        weights: a number for each arm; arms of weight 0 play no part.
        level: of confidence, between 0 and 1.
        groups: (n,), equal for images of one lesion or patient; None where all are independent.

    Returns:
        value, error, low, high, p_value, df. All nan when a class is missing; all but the value nan
        when one has a single image or group. Where every image says the same (error 0) no test is
        possible: p is nan, or 1 for a value of 0.

    Raises:
        ValueError: lengths differ, a label is neither 0 nor 1, a score is nan, or a bad level.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}")
    if len(scores) != len(weights):
        raise ValueError(f"{len(scores)} arms but {len(weights)} weights; give one per arm")
    labels = np.asarray(labels).ravel()
    arms = [
        np.atleast_2d(np.asarray(each, dtype=float))
        for each, w in zip(scores, weights, strict=True)
        if w
    ]
    used = [float(weight) for weight in weights if weight]
    positive, _ = checked(labels, *(row for rows in arms for row in rows))
    if positive.all() or not positive.any():
        return Estimate(*[math.nan] * 5)
    placed = [seed_placements(positive, rows) for rows in arms]
    return _weighted(placed, used, level, positive, groups)


def difference_of_models(
    labels: npt.ArrayLike,
    scores_a: npt.ArrayLike,
    scores_b: npt.ArrayLike,
    level: float = 0.95,
    *,
    groups: npt.ArrayLike | None = None,
) -> Estimate:
    """Mean area of models minus that of the same models used otherwise, seed by seed.

    Args:
        labels: (n,) of 0 and 1.
        scores_a, scores_b: (seeds, n) each; row i of both is of the same model, so that what a seed
            does to both cancels.
        groups: see `contrast`.

    Returns:
        See `contrast`.
    """
    return _of_changes(labels, [(scores_a, scores_b)], [1.0], level, groups)


def difference_of_changes(
    labels: npt.ArrayLike,
    pair_a: tuple[npt.ArrayLike, npt.ArrayLike],
    pair_b: tuple[npt.ArrayLike, npt.ArrayLike],
    level: float = 0.95,
    *,
    groups: npt.ArrayLike | None = None,
) -> Estimate:
    """How much more the models of arm a gain by being used otherwise than those of arm b.

    Args:
        labels: (n,) of 0 and 1.
        pair_a, pair_b: (seeds, n) scores of each arm's models, and of the same models used
            otherwise: see `difference_of_models`. Numbers of seeds of the arms may differ.
        groups: see `contrast`.

    Returns:
        Of the difference of both `difference_of_models`: see `contrast`.
    """
    return _of_changes(labels, [pair_a, pair_b], [1.0, -1.0], level, groups)


def mean_auc(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    level: float = 0.95,
    groups: npt.ArrayLike | None = None,
) -> Estimate:
    """Mean area over the seeds of an arm: a contrast of one arm, with an interval inside [0, 1].

    The interval is symmetric on the logit scale. With one seed it is `auc_confidence_interval`.

    Args:
        labels: (n,) of 0 and 1.
        scores: (seeds, n).
        groups: see `contrast`.
    """
    rows = np.atleast_2d(np.asarray(scores, dtype=float))
    mean = contrast(labels, [rows], [1.0], level, groups=groups)
    if math.isnan(mean.error):
        return mean._replace(p_value=math.nan)
    if mean.error == 0 or not 0 < mean.value < 1:
        _, low, high = auc_confidence_interval(labels, rows[0], level, groups=groups)
    else:
        slope = mean.value * (1 - mean.value)
        half = t_quantile((1 + level) / 2, mean.df) * mean.error / slope
        middle = scipy.special.logit(mean.value)
        low, high = map(float, scipy.special.expit([middle - half, middle + half]))
    return mean._replace(low=low, high=high, p_value=math.nan)


def auc_difference(
    labels: npt.ArrayLike,
    scores_a: npt.ArrayLike,
    scores_b: npt.ArrayLike,
    *,
    level: float = 0.95,
    groups: npt.ArrayLike | None = None,
) -> Estimate:
    """Mean area of arm a minus that of arm b: `contrast` with weights 1 and -1."""
    return contrast(labels, [scores_a, scores_b], [1.0, -1.0], level, groups=groups)


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
    return float((t_quantile((1 + level) / 2, df) + t_quantile(power, df)) * error)


def equivalence_p(estimate: Estimate, margin: float) -> float:
    """p of two one-sided tests (TOST, Schuirmann 1987) that a difference lies within a margin.

    Below .05 the interval of 90 % lies between -margin and margin.

    Args:
        estimate: of a difference.
        margin: above 0.

    Returns:
        nan where there is no test.
    """
    if not estimate.error > 0:
        return math.nan
    from_below = (estimate.value + margin) / estimate.error
    from_above = (margin - estimate.value) / estimate.error
    return t_tail(min(from_below, from_above), estimate.df)


def _of_changes(
    labels: npt.ArrayLike,
    pairs: Sequence[tuple[npt.ArrayLike, npt.ArrayLike]],
    weights: Sequence[float],
    level: float,
    groups: npt.ArrayLike | None,
) -> Estimate:
    """A weighted sum over arms of what their models gain by being used otherwise."""
    arms = [
        [np.atleast_2d(np.asarray(each, dtype=float)) for each in scores_of] for scores_of in pairs
    ]
    positive, _ = checked(labels, *(row for pair in arms for rows in pair for row in rows))
    if positive.all() or not positive.any():
        return Estimate(*[math.nan] * 5)
    placed = []
    for pair in arms:
        (on_a, off_a), (on_b, off_b) = (seed_placements(positive, rows) for rows in pair)
        placed.append((on_a - on_b, off_a - off_b))
    return _weighted(placed, weights, level, positive, groups)


def seed_placements(positive: npt.NDArray[np.bool_], rows: Floats) -> tuple[Floats, Floats]:
    """Placements of the positives, (seeds, P), and of the negatives, (seeds, N)."""
    each = [placements(positive, row)[1] for row in rows]
    return np.stack([on for on, _ in each]), np.stack([off for _, off in each])


def _weighted(
    placed: Sequence[tuple[Floats, Floats]],
    weights: Sequence[float],
    level: float,
    positive: npt.NDArray[np.bool_],
    groups: npt.ArrayLike | None,
) -> Estimate:
    """The estimate of a weighted sum over arms, from each arm's placements."""
    together = members(positive, groups)
    value = math.fsum(w * float(on.mean()) for w, (on, _) in zip(weights, placed, strict=True))
    on = sum(w * p.mean(axis=0) for w, (p, _) in zip(weights, placed, strict=True))
    off = sum(w * n.mean(axis=0) for w, (_, n) in zip(weights, placed, strict=True))
    fewest = fewest_units(positive, together)
    if fewest == 1:
        return Estimate(value, *[math.nan] * 4)
    arms = []
    for weight, (positives, negatives) in zip(weights, placed, strict=True):
        seeds = len(positives)
        if seeds == 1:
            continue
        of_areas = float(positives.mean(axis=1).var(ddof=1))
        arms.append(SeedPart(weight, seeds, of_areas, interaction(positives, negatives, together)))
    by_images = float(delong_variance(on[None], off[None], together)[0])
    return estimate(value, total_variance(by_images, fewest - 1, arms), level)


def interaction(positives: Floats, negatives: Floats, groups: Members | None = None) -> float:
    """V_interaction of an arm, from the placements of its seeds: (seeds, P) and (seeds, N)."""
    deviations = positives - positives.mean(axis=0), negatives - negatives.mean(axis=0)
    return float(delong_variance(*deviations, groups).sum()) / (len(positives) - 1)


def estimate(value: float, variance: Variance, level: float = 0.95) -> Estimate:
    """A value with its symmetric interval and the two-sided test that it is 0."""
    error = math.sqrt(max(variance.value, 0.0))
    if error < _ROUNDING:
        return Estimate(value, 0.0, value, value, 1.0 if abs(value) < _ROUNDING else math.nan)
    p_value = 2 * t_tail(abs(value) / error, variance.df)
    half = t_quantile((1 + level) / 2, variance.df) * error
    return Estimate(value, error, value - half, value + half, p_value, variance.df)
