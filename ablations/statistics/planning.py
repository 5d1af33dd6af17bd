"""What difference a study will see, before its test set is opened."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from ablations.statistics.contrasts import detectable_difference
from ablations.statistics.variance import SeedPart, total_variance

_MOST_SEEDS, _MOST_TIMES = 100, 100.0


class Assumptions(NamedTuple):
    """What the variance of a contrast depends on."""

    auc: float = 0.80
    correlation: float = 0.7  # of two arms' areas over images drawn again
    sd_of_seeds: float = 0.02  # of an arm's area


class Design(NamedTuple):
    """A question to a study of a size."""

    weights: Sequence[float]  # of the arms; they sum to 0
    positives: int  # test images
    negatives: int
    seeds: int
    level: float = 0.95  # 1 - the size of the test


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

    Arms share the images: what they have in common cancels in a contrast. nan with fewer than two
    images of a class.
    """
    weights, positives, negatives, seeds, level = design
    if min(positives, negatives) < 2:
        return math.nan
    one = auc_variance(assumed.auc, positives, negatives)
    by_images = one * (1 - assumed.correlation) * math.fsum(w**2 for w in weights)
    arms = [SeedPart(w, seeds, assumed.sd_of_seeds**2, 0.0) for w in weights if w and seeds > 1]
    variance = total_variance(by_images, min(positives, negatives) - 1, arms)
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
        larger = design._replace(positives=positives, negatives=negatives)
        return expected_detectable(larger, assumed)

    if not seen(_MOST_TIMES) <= difference:
        return None
    low, high = 0.0, _MOST_TIMES
    while round(images * low) + 1 < round(images * high):
        middle = (low + high) / 2
        low, high = (low, middle) if seen(middle) <= difference else (middle, high)
    return round(images * high)
