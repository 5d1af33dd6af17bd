"""Images that belong together: several of one lesion or patient, which are no independent ones.

Sums over such a group stand where single images stood: DeLong's variance becomes that of Obuchowski
(Biometrics 53, 1997), whose groups may hold both classes. With one image in each group it is
DeLong's again, term by term.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Members(NamedTuple):
    """Which group each image of either class is in."""

    positives: Ints  # (P,), numbers from 0 to total - 1
    negatives: Ints  # (N,)
    total: int  # of groups


def numbered(groups: npt.ArrayLike | None, n: int) -> Ints | None:
    """Groups by numbers from 0 on; None where no two images share one.

    >>> numbered([7, 3, 7], 3).tolist(), numbered([1, 2, 3], 3)
    ([1, 0, 1], None)

    Args:
        groups: (n,), equal for images that belong together; None where none do.

    Raises:
        ValueError: another length than n.
    """
    if groups is None:
        return None
    values = np.asarray(groups).ravel()
    if values.size != n:
        raise ValueError(f"{n} images but {values.size} groups; give one per image")
    names, numbers = np.unique(values, return_inverse=True)
    return None if names.size == n else np.asarray(numbers, dtype=np.int64)


def members(positive: npt.NDArray[np.bool_], groups: npt.ArrayLike | None) -> Members | None:
    """The groups of the images of either class; None where no two images share one."""
    numbers = numbered(groups, positive.size)
    if numbers is None:
        return None
    return Members(numbers[positive], numbers[~positive], int(numbers.max()) + 1)


def fewest_units(positive: npt.NDArray[np.bool_], groups: Members | None) -> int:
    """Images of the rarer class, or how many groups have any, if these are fewer."""
    if groups is None:
        return int(min(positive.sum(), (~positive).sum()))
    return min(np.unique(groups.positives).size, np.unique(groups.negatives).size)


def delong_variance(positives: Floats, negatives: Floats, groups: Members | None = None) -> Floats:
    """Variance of areas from placements: (k, P) and (k, N) -> (k,)."""
    if groups is None:
        by_positives = positives.var(axis=1, ddof=1) / positives.shape[1]
        return np.asarray(by_positives + negatives.var(axis=1, ddof=1) / negatives.shape[1])
    ill, well = (  # each (k, G): what the groups add to the area
        _deviations(values, numbers, groups.total)
        for values, numbers in (
            (positives, groups.positives),
            (negatives, groups.negatives),
        )
    )
    together = 2 * _unbiased(groups.total) * (ill * well).sum(axis=1)
    parts = (
        _unbiased(np.unique(numbers).size) * (sums**2).sum(axis=1)
        for sums, numbers in ((ill, groups.positives), (well, groups.negatives))
    )
    return np.maximum(sum(parts) + together, 0.0)


def variance_of_mean(values: Floats, groups: Ints | None = None) -> Floats:
    """Variance of a mean over images: (k, n) -> (k,).

    Args:
        groups: (n,), see `numbered`.
    """
    if groups is None:
        return np.asarray(values.var(axis=1, ddof=1) / values.shape[1])
    count = int(groups.max()) + 1
    return np.asarray(_unbiased(count) * (_deviations(values, groups, count) ** 2).sum(axis=1))


def _deviations(values: Floats, numbers: Ints, count: int) -> Floats:
    """What each group adds to the mean, less what it would as an average one: (k, n) -> (k, G)."""
    centred = (values - values.mean(axis=1, keepdims=True)) / values.shape[1]
    return np.stack([np.bincount(numbers, row, count) for row in centred])


def _unbiased(count: int) -> float:
    """The factor that makes a sum of squares of so many deviations unbiased."""
    return count / (count - 1) if count > 1 else np.nan
