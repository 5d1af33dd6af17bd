"""Dealing images out in folds that can all be judged: both classes in each, groups together."""

import numpy as np
import numpy.typing as npt

from masll.common.errors import InputError

Ints = npt.NDArray[np.int64]


def deal_folds(labels: Ints, groups: Ints, count: int, seed: int = 0) -> Ints:
    """The fold of each image, 0 to `count` - 1; every fold has images of both classes.

    Folds are alike in size and in their share of melanomas as far as the groups let them.

    Args:
        labels: (N,) of 0 and 1.
        groups: (N,) images of one number stay in one fold.

    Raises:
        InputError: no way of dealing these groups out gives every fold both classes.
    """
    mixed, single = _groups_by_class(labels, groups)
    possible = len(mixed) + min(map(len, single))
    if possible < count:
        raise InputError(
            f"{count} folds need both classes each, and images that belong together stay in one: "
            f"{np.count_nonzero(labels == 0)} images without melanoma and "
            f"{np.count_nonzero(labels == 1)} with it, in {len(np.unique(groups))} groups, are "
            f"enough for {possible}; use --validation official"
        )
    from sklearn.model_selection import StratifiedGroupKFold  # seconds to import

    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed % 2**32)
    folds = np.empty(len(labels), dtype=np.int64)
    for fold, (_, held) in enumerate(splitter.split(labels, labels, groups)):
        folds[held] = fold
    if not lacking(labels, folds, count):
        return folds
    return _dealt_by_need(groups, count, mixed, single)


def lacking(labels: Ints, folds: Ints, count: int) -> list[int]:
    """The folds that lack a class."""
    return [fold for fold in range(count) if len(np.unique(labels[folds == fold])) < 2]


def _groups_by_class(labels: Ints, groups: Ints) -> tuple[list[int], tuple[list[int], list[int]]]:
    """Groups with both classes; those with label 0 only, with label 1 only. Small ones first."""
    numbers, sizes = np.unique(groups, return_counts=True)
    mixed: list[int] = []
    single: tuple[list[int], list[int]] = ([], [])
    for group in numbers[np.argsort(sizes, kind="stable")].tolist():
        classes = np.unique(labels[groups == group])
        (mixed if len(classes) == 2 else single[int(classes[0])]).append(group)
    return mixed, single


def _dealt_by_need(
    groups: Ints, count: int, mixed: list[int], single: tuple[list[int], list[int]]
) -> Ints:
    """First what gives each fold both classes, then each group to the fold that is the smallest."""
    fold_of = dict(zip(mixed, range(count), strict=False))
    without = range(len(fold_of), count)  # folds that need a group of each class
    for of_class in single:
        fold_of |= dict(zip(of_class, without, strict=False))
    sizes = np.zeros(count, dtype=np.int64)
    for group, fold in fold_of.items():
        sizes[fold] += np.count_nonzero(groups == group)
    numbers, members = np.unique(groups, return_counts=True)
    for row in np.argsort(-members, kind="stable"):
        group = int(numbers[row])
        if group not in fold_of:
            fold_of[group] = int(np.argmin(sizes))
            sizes[fold_of[group]] += members[row]
    return np.array([fold_of[int(group)] for group in groups])
