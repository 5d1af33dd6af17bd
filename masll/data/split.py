"""Images of one split, or of a part of several, as memory-mapped arrays that are not copied."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


class Pixels:
    """Rows of one or more arrays of images as if they were one array, copied when asked for."""

    def __init__(
        self, parts: Sequence[npt.NDArray[np.uint8]], rows: npt.NDArray[np.int64] | None = None
    ) -> None:
        self._parts = parts
        self._starts = np.cumsum([0, *map(len, parts)])
        self._rows = np.arange(self._starts[-1]) if rows is None else rows
        self.shape = (len(self._rows), *parts[0].shape[1:])

    def __len__(self) -> int:
        return len(self._rows)

    def select(self, rows: npt.NDArray[np.int64]) -> "Pixels":
        """Some of the rows, still not copied."""
        return Pixels(self._parts, self._rows[rows])

    def __getitem__(self, chosen: Any) -> npt.NDArray[np.uint8]:
        """Images by index array or slice: (n, 3, S, S)."""
        rows = self._rows[chosen]
        part_of = np.searchsorted(self._starts, rows, side="right") - 1
        images = np.empty((len(rows), *self.shape[1:]), np.uint8)
        for part in np.unique(part_of):
            here = part_of == part
            images[here] = self._parts[part][rows[here] - self._starts[part]]
        return images


@dataclass(frozen=True)
class Split:
    """The images of one split, or of a part of one or more."""

    name: str
    ids: tuple[str, ...]
    labels: npt.NDArray[np.int64]  # (N,), 1 = melanoma
    images: npt.NDArray[np.uint8] | Pixels  # (N, 3, S, S), memory-mapped, read only
    masks: npt.NDArray[np.uint8] | None = None  # (N, S, S), 1 = lesion; None without any mask
    masked: npt.NDArray[np.bool_] | None = None  # (N,), which images have a mask
    fit: str = "squash"  # how the images became squares

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, rows: npt.NDArray[np.int64]) -> "Split":
        """Some of the images, in the order of `rows`; without their masks."""
        ids = tuple(self.ids[row] for row in rows)
        if isinstance(self.images, Pixels):
            images = self.images.select(rows)
        else:
            images = Pixels([self.images], rows)
        return Split(self.name, ids, self.labels[rows], images, fit=self.fit)


def pool(name: str, splits: Sequence[Split]) -> Split:
    """Several splits one after the other; without their masks."""
    return Split(
        name,
        tuple(image_id for split in splits for image_id in split.ids),
        np.concatenate([split.labels for split in splits]),
        Pixels([part for split in splits for part in _parts(split)]),
        fit=splits[0].fit,
    )


def _parts(split: Split) -> list[npt.NDArray[np.uint8]]:
    if isinstance(split.images, Pixels):
        raise TypeError("pool whole splits, then select from the pool")
    return [split.images]
