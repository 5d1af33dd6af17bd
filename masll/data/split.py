"""Images of one split, or of a part of several, as memory-mapped arrays that are not copied."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from masll.common.errors import InputError


class Pixels:
    """Rows of arrays of images or masks as if they were one array, copied when asked for.

    Attributes:
        parts: arrays of (M, ...), one after the other.
        rows: (N,), which of theirs.
    """

    def __init__(
        self, parts: Sequence[npt.NDArray[np.uint8]], rows: npt.NDArray[np.int64] | None = None
    ) -> None:
        self.parts = [*parts]
        self._starts = np.cumsum([0, *map(len, parts)])
        self.rows = np.arange(self._starts[-1]) if rows is None else rows
        self.shape = (len(self.rows), *parts[0].shape[1:])

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, rows: npt.NDArray[np.int64]) -> "Pixels":
        """Some of the rows, still not copied."""
        return Pixels(self.parts, self.rows[rows])

    def __getitem__(self, chosen: Any) -> npt.NDArray[np.uint8]:
        """Rows by index array or slice: (n, 3, S, S) of images, (n, S, S) of masks."""
        rows = self.rows[chosen]
        part_of = np.searchsorted(self._starts, rows, side="right") - 1
        images = np.empty((len(rows), *self.shape[1:]), np.uint8)
        for part in np.unique(part_of):
            here = part_of == part
            images[here] = self.parts[part][rows[here] - self._starts[part]]
        return images


@dataclass(frozen=True, eq=False)
class Split:
    """The images of one split, or of a part of one or more."""

    name: str
    ids: tuple[str, ...]
    labels: npt.NDArray[np.int64]  # (N,), 1 = melanoma
    images: npt.NDArray[np.uint8] | Pixels  # (N, 3, S, S), memory-mapped, read only
    masks: npt.NDArray[np.uint8] | Pixels | None = None  # (N, S, S), 1 = lesion; None without any
    masked: npt.NDArray[np.bool_] | None = None  # (N,), which images have a mask
    fit: str = "squash"  # how the images became squares

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, rows: npt.NDArray[np.int64]) -> "Split":
        """Some of the images, in the order of `rows`."""
        ids = tuple(self.ids[row] for row in rows)
        images = _select(self.images, rows)
        masks = None if self.masks is None else _select(self.masks, rows)
        masked = None if self.masked is None else self.masked[rows]
        return Split(self.name, ids, self.labels[rows], images, masks, masked, self.fit)


def pool(name: str, splits: Sequence[Split]) -> Split:
    """Several splits one after the other; with masks where all have them."""
    masks = [split.masks for split in splits if split.masks is not None]
    masked = [split.masked for split in splits if split.masked is not None]
    return Split(
        name,
        tuple(image_id for split in splits for image_id in split.ids),
        np.concatenate([split.labels for split in splits]),
        _pool([split.images for split in splits]),
        _pool(masks) if len(masks) == len(splits) else None,
        np.concatenate(masked) if len(masked) == len(splits) else None,
        splits[0].fit,
    )


def _select(
    array: npt.NDArray[np.uint8] | Pixels, rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint8] | Pixels:
    return array.select(rows) if isinstance(array, Pixels) else Pixels([array], rows)


def _pool(arrays: Sequence[npt.NDArray[np.uint8] | Pixels]) -> Pixels:
    whole = [array for array in arrays if not isinstance(array, Pixels)]
    if len(whole) < len(arrays):
        raise TypeError("pool whole splits, then select from the pool")
    return Pixels(whole)


def check_masked(split: Split) -> None:
    """Raise `InputError` unless every image of a split has a lesion mask."""
    without = len(split) if split.masked is None else int((~split.masked).sum())
    if without:
        raise InputError(
            f"box 'mask' needs a lesion mask of every image, and {without} of {len(split)} "
            f"{split.name} images have none; choose another box, or add the masks"
        )
