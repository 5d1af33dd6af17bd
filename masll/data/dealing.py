"""Dealing the images of a set out to splits, where it has none of its own, or not all three.

`--split-by group 0.7 0.1 0.2` deals all labelled images out to train, validation and test;
two shares deal the training images out to train and validation, and leave the others be.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from masll.common.checks import suggestion
from masll.common.errors import InputError
from masll.data.types import SPLITS, UNKNOWN, Record

_UNITS = ("group", "image")


@dataclass(frozen=True)
class Dealing:
    """What stays together, and the share of the images that each split gets.

    Args:
        by: `group` (images of one patient or lesion stay together) or `image`.
        shares: of train and validation, or of train, validation and test; they sum to 1.
    """

    by: str
    shares: tuple[float, ...]

    def __str__(self) -> str:
        return " ".join([self.by, *(f"{share:g}" for share in self.shares)])

    @property
    def whole(self) -> bool:
        """Whether all splits are dealt out anew, whatever the set itself says."""
        return len(self.shares) == len(SPLITS)

    def deal(self, records: Sequence[Record]) -> list[Record]:
        """The records with their new splits.

        Groups with an image of the positive class and those without are dealt out apart, so that
        the splits are alike; each in the order of a checksum of its name, so that the same images
        always come to the same splits. A split misses its share by at most the largest group of
        each kind. Images without a label cannot be dealt out so: they are left out where all
        splits are new.
        """
        dealt = [r for r in records if self.whole or r.split == SPLITS[0]]
        groups: dict[str, list[Record]] = defaultdict(list)
        for record in dealt:
            if record.label != UNKNOWN:
                grouped = self.by == "group" and record.group
                groups[f"group {record.group}" if grouped else record.image_id].append(record)
        split_of: dict[str, str] = {}
        for positive in (True, False):
            names = [name for name, of in groups.items() if positive == any(r.label for r in of)]
            names.sort(key=lambda name: hashlib.sha256(name.encode()).digest())
            total = sum(len(groups[name]) for name in names)
            before = 0
            for name in names:
                middle = (before + len(groups[name]) / 2) / total
                before += len(groups[name])
                split = self._split_at(middle)
                split_of.update((record.image_id, split) for record in groups[name])
        return [
            record._replace(split=split_of.get(record.image_id, record.split))
            for record in records
            if record.image_id in split_of or not self.whole
        ]

    def check(self, records: Sequence[Record], dealt: Sequence[Record]) -> None:
        """Raise `InputError` where nothing was dealt out, or a split has got no image.

        Args:
            records: all images, in the splits of the set itself.
            dealt: what `deal` made of them.
        """
        shown = f"--split-by {self}"
        if not any(r.label != UNKNOWN and (self.whole or r.split == SPLITS[0]) for r in records):
            if self.whole:
                raise InputError(f"{shown}: no image has a label; leave --split-by out")
            raise InputError(
                f"{shown}: no training image has a label, and two shares deal out no others; give "
                f"three shares, as in --split-by {self.by} 0.7 0.1 0.2"
            )
        for split in SPLITS[: len(self.shares)]:
            if not any(record.split == split for record in dealt):
                raise InputError(
                    f"{shown}: there are too few images or groups, and none is left for {split}; "
                    "give it a larger share, or leave --split-by out"
                )

    def _split_at(self, place: float) -> str:
        end = 0.0
        for split, share in zip(SPLITS, self.shares, strict=False):
            end += share
            if place < end:
                return split
        return SPLITS[len(self.shares) - 1]


def parse_dealing(words: Sequence[str]) -> Dealing | None:
    """What `--split-by group 0.7 0.1 0.2` says; None for nothing.

    Raises:
        InputError: another unit, other than two or three shares, or shares that do not sum to 1.
    """
    if not words:
        return None
    shown = f"--split-by {' '.join(words)}"
    by, *rest = words
    if by not in _UNITS:
        raise InputError(
            f"{shown}: begin with group or image{suggestion(by, _UNITS)}, "
            "as in --split-by group 0.7 0.1 0.2"
        )
    try:
        shares = tuple(float(word) for word in rest)
    except ValueError:
        shares = ()
    sound = all(share > 0 for share in shares) and abs(sum(shares) - 1) <= 1e-6  # nan is not
    if len(shares) not in (2, 3) or not sound:
        raise InputError(
            f"{shown}: give three shares above 0 that sum to 1 (train, validation, test), "
            "or two (train, validation; the other images stay where they are)"
        )
    return Dealing(by, shares)
