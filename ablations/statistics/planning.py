"""What difference a study will see, before its test set is opened."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from ablations.statistics.contrasts import detectable_difference
from ablations.statistics.variance import SeedPart, total_variance, welch_df

_MOST_SEEDS, _MOST_TIMES = 100, 100.0


class Assumptions(NamedTuple):
    """What the variance of a contrast depends on."""

    auc: float = 0.80
    correlation: float = 0.7  # of two arms' areas over images drawn again
    sd_of_seeds: float = 0.02  # of an arm's area
    seeds_by_group: float = 0.5  # share of that variance that a group of images has by itself
    seed_by_image: float = 0.3  # share of an area's variance over images that each seed has alone


class PlannedGroup(NamedTuple):
    """Test images of a subgroup, and its weight where subgroups are compared."""

    weight: float  # they sum to 0 over the groups of a design
    positives: int
    negatives: int


class Design(NamedTuple):
    """A question to a study of a size."""

    weights: Sequence[float]  # of the arms; they sum to 0
    positives: int  # test images
    negatives: int
    seeds: int
    level: float = 0.95  # 1 - the size of the test
    groups: tuple[PlannedGroup, ...] = ()  # between which a contrast is compared, if it is


def auc_variance(auc: float, positives: int, negatives: int) -> float:
    """Of an area over images, from the area alone (Hanley and McNeil 1982).

    >>> round(auc_variance(0.8, 117, 483) ** 0.5, 4)
    0.0258
    """
    both_positives, both_negatives = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc)
    spread += (positives - 1) * (both_positives - auc**2)
    spread += (negatives - 1) * (both_negatives - auc**2)
    return spread / (positives * negatives)


def expected_detectable(design: Design, assumed: Assumptions) -> float:
    """The true difference that a study of such a design finds four times in five.

    Arms share the images: what they have in common cancels in a contrast. Groups of images do not,
    but the models: what a seed does to all groups alike cancels between them. nan with fewer than
    two images of a class.
    """
    weights, positives, negatives, seeds, level, groups = design
    images = groups or (PlannedGroup(1.0, positives, negatives),)
    if min(n for each in images for n in (each.positives, each.negatives)) < 2:
        return math.nan
    spread = (1 - assumed.correlation) * math.fsum(w**2 for w in weights)
    areas = [u**2 * auc_variance(assumed.auc, p, n) for u, p, n in images]
    parts = [(area * spread, min(p, n) - 1) for area, (_, p, n) in zip(areas, images, strict=True)]
    of_seeds = assumed.sd_of_seeds**2
    if groups:
        of_seeds *= assumed.seeds_by_group * math.fsum(group.weight**2 for group in groups)
    # Areas of seeds differ by both; what is of the images is taken off, but costs certainty.
    interaction = assumed.seed_by_image * math.fsum(areas)
    arms = [SeedPart(w, seeds, of_seeds + interaction, interaction) for w in weights if w]
    by_images = math.fsum(part for part, _ in parts)
    variance = total_variance(by_images, welch_df(parts), arms if seeds > 1 else [])
    return detectable_difference(math.sqrt(variance.value), variance.df, level=level)


def seeds_for(difference: float, design: Design, assumed: Assumptions) -> int | None:
    """The fewest seeds with which a difference is found so often; None if no number does."""
    for seeds in range(2, _MOST_SEEDS + 1):
        if expected_detectable(design._replace(seeds=seeds), assumed) <= difference:
            return seeds
    return None


def images_for(difference: float, design: Design, assumed: Assumptions) -> int | None:
    """The fewest test images, of the same prevalence, with which it is; None if no number does."""
    images = design.positives + design.negatives

    def seen(times: float) -> float:
        positives, negatives = round(design.positives * times), round(design.negatives * times)
        groups = tuple(
            PlannedGroup(each.weight, round(each.positives * times), round(each.negatives * times))
            for each in design.groups
        )
        larger = design._replace(positives=positives, negatives=negatives, groups=groups)
        return expected_detectable(larger, assumed)

    if not seen(_MOST_TIMES) <= difference:
        return None
    low, high = 0.0, _MOST_TIMES
    while round(images * low) + 1 < round(images * high):
        middle = (low + high) / 2
        low, high = (low, middle) if seen(middle) <= difference else (middle, high)
    return round(images * high)
