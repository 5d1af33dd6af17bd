"""The variance of means over seeds and images, each source counted once; Student's t for it."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import scipy.stats


class Variance(NamedTuple):
    value: float
    df: float  # degrees of freedom, Satterthwaite's


class SeedPart(NamedTuple):
    """What an arm's seeds add to the variance of a weighted sum over arms."""

    weight: float
    seeds: int  # 2 at least
    of_values: float  # variance of the figure over seeds, ddof 1
    interaction: float  # the part of it that comes of ranking some images otherwise


def total_variance(by_images: float, image_df: float, arms: Sequence[SeedPart]) -> Variance:
    """Images' part, and seeds' part with the interaction taken off, as the images' part holds it.

    Where seeds differ by no more than by their interaction, the images' part is all.

    Args:
        by_images: of the weighted sum of the means over seeds, for other images.
        image_df: its degrees of freedom.
        arms: those that have several seeds.
    """
    if not arms:
        return Variance(by_images, math.inf)  # as DeLong's test has it
    parts = [(by_images, image_df)]
    for weight, seeds, of_values, interaction in arms:
        parts += [
            (weight**2 * of_values / seeds, seeds - 1),
            (-(weight**2) * interaction / seeds, (seeds - 1) * image_df),
        ]
    value = math.fsum(part for part, _ in parts)
    if value <= by_images:
        return Variance(by_images, image_df)
    return Variance(value, value**2 / math.fsum(part**2 / df for part, df in parts))


def welch_df(parts: Sequence[tuple[float, float]]) -> float:
    """Degrees of freedom of a sum of independent variances (Welch 1947).

    Args:
        parts: each variance with its own degrees of freedom, 1 at least.
    """
    squares = math.fsum(value**2 / df for value, df in parts)
    return math.fsum(value for value, _ in parts) ** 2 / squares if squares else 1.0


def t_tail(t: float, df: float) -> float:
    return float(scipy.stats.norm.sf(t) if math.isinf(df) else scipy.stats.t.sf(t, df))


def t_quantile(q: float, df: float) -> float:
    return float(scipy.stats.norm.ppf(q) if math.isinf(df) else scipy.stats.t.ppf(q, df))
