"""Whether a contrast of arms differs between groups of images: interaction of arm and group.

The groups have no image in common, so that the images' parts of the variance add up. The models are
the same in all groups: what a seed does to every group alike cancels. For weights u of the groups
and w of the arms, and S seeds of an arm,

    V = sum over groups of u^2 V_images + sum over arms of w^2 (s^2 - V_interaction) / S

with V_images as in `contrasts` within each group, s^2 the variance over seeds of the arm's weighted
sum of areas over groups, and V_interaction the sum over groups of u^2 times that of `contrasts`.
Degrees of freedom of the images are Welch's.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ablations.statistics.areas import Floats, checked
from ablations.statistics.contrasts import (
    Estimate,
    estimate,
    interaction,
    seed_placements,
)
from ablations.statistics.grouped import delong_variance, fewest_units, members
from ablations.statistics.variance import SeedPart, total_variance, welch_df


class ImageGroup(NamedTuple):
    """Images of a group, and what models say of them."""

    labels: npt.ArrayLike  # (n,) of 0 and 1
    scores: Sequence[npt.ArrayLike]  # of each arm (seeds, n); row i is of one model in all groups
    together: npt.ArrayLike | None = None  # (n,), equal for images of one lesion or patient


def contrast_between_groups(
    groups: Sequence[ImageGroup],
    between: Sequence[float],
    weights: Sequence[float],
    level: float = 0.95,
) -> Estimate:
    """A weighted sum over groups of images of a contrast of arms, with interval and test.

    >>> women = ImageGroup([0, 0, 1, 1], [[[1, 2, 3, 4]], [[1, 3, 2, 4]]])
    >>> men = ImageGroup([0, 0, 1, 1], [[[1, 3, 2, 4]], [[1, 3, 2, 4]]])
    >>> contrast_between_groups([women, men], [1, -1], [1, -1]).value
    0.25

    Args:
        groups: images that no two of them share, with the same arms and models.
        between: a number for each group; they sum to 0 where groups are compared.
        weights: a number for each arm, as of `contrast`.
        level: of confidence, between 0 and 1.

    Returns:
        See `contrast`. All nan when a class is missing in a group; all but the value nan when one
        has a single image.

    Raises:
        ValueError: as many weights as groups or arms are not given, or as of `contrast`.
    """
    if len(groups) != len(between) or any(len(each.scores) != len(weights) for each in groups):
        raise ValueError("give one number for each group, and one for each arm of every group")
    parts = [_part(group, weights) for group in groups]
    if not all(part.fewest for part in parts):
        return Estimate(*[math.nan] * 5)
    arms = [
        sum(u * part.areas[arm] for u, part in zip(between, parts, strict=True))
        for arm in range(len(weights))
    ]  # of each (seeds,), over the groups
    value = math.fsum(w * float(np.mean(each)) for w, each in zip(weights, arms, strict=True))
    if any(part.fewest == 1 for part in parts):
        return Estimate(value, *[math.nan] * 4)
    squares = np.square(between)
    by_images = squares * [part.by_images for part in parts]
    interactions = squares @ [part.interactions for part in parts]
    seeds = [
        SeedPart(w, np.size(each), float(np.var(each, ddof=1)), float(of_images))
        for w, each, of_images in zip(weights, arms, interactions, strict=True)
        if w and np.size(each) > 1
    ]
    image_df = welch_df(
        [(v, part.fewest - 1) for v, part in zip(by_images.tolist(), parts, strict=True)]
    )
    return estimate(value, total_variance(float(by_images.sum()), image_df, seeds), level)


def change_between_sets(
    labels_a: npt.ArrayLike,
    scores_a: npt.ArrayLike,
    labels_b: npt.ArrayLike,
    scores_b: npt.ArrayLike,
    level: float = 0.95,
    *,
    groups_a: npt.ArrayLike | None = None,
    groups_b: npt.ArrayLike | None = None,
) -> Estimate:
    """Mean area of models on one set of images minus that of the same models on another set.

    Args:
        labels_a, labels_b: (n,) and (m,) of 0 and 1.
        scores_a, scores_b: (seeds, n) and (seeds, m); row i of both is of the same model.
        groups_a, groups_b: of the images of either set, see `contrast`.

    Returns:
        See `contrast`.
    """
    sets = [
        ImageGroup(labels_a, [scores_a], groups_a),
        ImageGroup(labels_b, [scores_b], groups_b),
    ]
    return contrast_between_groups(sets, [1.0, -1.0], [1.0], level)


class _Part(NamedTuple):
    """What a group adds, before its weight."""

    fewest: int  # images of its rarer class, or lesions or patients that have any
    areas: list[Floats]  # of each arm (seeds,)
    by_images: float = math.nan
    interactions: Sequence[float] = ()  # of each arm; 0 with one seed


def _part(group: ImageGroup, weights: Sequence[float]) -> _Part:
    arms = [np.atleast_2d(np.asarray(each, dtype=float)) for each in group.scores]
    positive, _ = checked(group.labels, *(row for rows in arms for row in rows))
    if positive.all() or not positive.any():
        return _Part(0, [])
    together = members(positive, group.together)
    fewest = fewest_units(positive, together)
    placed = [seed_placements(positive, rows) for rows in arms]
    areas = [on.mean(axis=1) for on, _ in placed]
    if fewest == 1:
        return _Part(1, areas)
    on, off = (
        sum(w * each[side].mean(axis=0) for w, each in zip(weights, placed, strict=True))
        for side in (0, 1)
    )
    by_images = float(delong_variance(on[None], off[None], together)[0])
    interactions = [interaction(*each, together) if len(each[0]) > 1 else 0.0 for each in placed]
    return _Part(fewest, areas, by_images, interactions)
