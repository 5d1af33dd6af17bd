"""From the store's pixels to batches on the training device, normalised and augmented."""

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from masll.augment import random_turns, turn
from masll.data.split import Split
from masll.inputs import InputSpec
from masll.lesions import LesionBoxes
from masll.resident import resident_pixels


class Batch(NamedTuple):
    """Images of a training step as they are stored, and what is to become of them."""

    pixels: Tensor  # (B, 3, S, S) uint8
    turns: Tensor  # (B, 2, 2), see `masll.augment.turn`
    labels: Tensor  # (B,) int64
    lesions: Tensor | None  # (B, 4), see `Loader.lesions`

    def clone(self) -> "Batch":
        """The same in memory of its own."""
        lesions = None if self.lesions is None else self.lesions.clone()
        return Batch(self.pixels.clone(), self.turns.clone(), self.labels.clone(), lesions)

    def fill(self, other: "Batch") -> None:
        """Take the values of another of the same shapes, without moving."""
        for mine, given in zip(self, other, strict=True):
            if mine is not None and given is not None:
                mine.copy_(given, non_blocking=True)


class Loader:
    """Brings images of a split to a device, as a network expects them.

    Args:
        inputs: what the network's images must look like.
        box: where the network looks; that of the lesion mask comes with each batch.
        keep: whether images that are asked for again and again stay on a GPU.
    """

    def __init__(
        self, inputs: InputSpec, device: torch.device, box: str = "sll", *, keep: bool = False
    ) -> None:
        self.device = device
        self._box = box
        self._keep = keep
        self._normalise = inputs.normalisation(device)
        # A core's cache holds a pair of images with their coordinates: on the CPU a batch is
        # augmented in groups of two images a core, in two thirds of the time.
        self._group = 2 * torch.get_num_threads() if device.type == "cpu" else 2**30

    def images(self, split: Split, chosen: npt.NDArray[np.int64]) -> Tensor:
        """Images of a split, normalised: (B, 3, S, S) float32."""
        images = next(self._pixels(split, [chosen])).float()
        return self._normalise(images, out=images)

    def lesions(
        self, split: Split, chosen: npt.NDArray[np.int64], turns: Tensor | None = None
    ) -> Tensor | None:
        """Rectangles of the lesions, (B, 4); None where the network does not need them."""
        if self._box != "mask":
            return None
        return lesion_boxes(split)(chosen, turns).to(self.device)

    def training_batches(
        self, split: Split, batch_size: int, draws: torch.Generator
    ) -> Iterator[Batch]:
        """One pass over a split in random order.

        Args:
            draws: on the CPU; decides the order and the augmentation.
        """
        order = torch.randperm(len(split), generator=draws).numpy()
        chosen = [*batches(order, batch_size)]
        turns = [random_turns(len(rows), draws) for rows in chosen]
        lesions = [self.lesions(split, *each) for each in zip(chosen, turns, strict=True)]
        sizes = [len(rows) for rows in chosen]
        # The whole epoch's at once: a GPU is handed nothing in a step but what may be pixels.
        on_device = self.to_device(torch.cat(turns).numpy()).split(sizes)
        labels = self.to_device(split.labels[order]).split(sizes)
        pixels = self._pixels(split, chosen)
        yield from map(Batch, pixels, on_device, labels, lesions)

    def augmented(self, batch: Batch) -> Tensor:
        """Its images, turned and normalised: (B, 3, S, S) float32."""
        images = torch.empty(batch.pixels.shape, device=self.device)
        for start in range(0, len(images), self._group):
            group = slice(start, start + self._group)
            turned = turn(batch.pixels[group].float(), batch.turns[group])
            self._normalise(turned, out=images[group])
        return images

    def _pixels(self, split: Split, chosen: Sequence[npt.NDArray[np.int64]]) -> Iterator[Tensor]:
        """Batches of a split's images on the device: (B, 3, S, S) uint8 each."""
        resident = resident_pixels(split.images, self.device) if self._keep else None
        if resident is None:
            yield from (self.to_device(split.images[rows]) for rows in chosen)
            return
        images, places = resident
        on_device = self.to_device(places[np.concatenate(chosen)])
        for rows in on_device.split([len(rows) for rows in chosen]):
            yield images[rows]

    def to_device(self, values: npt.NDArray[Any]) -> Tensor:
        """An array as a tensor on the device."""
        tensor = torch.from_numpy(values)
        if self.device.type == "cuda":  # a copy from pinned memory does not hold up the host
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor


@functools.lru_cache(maxsize=8)  # the splits that a process trains on and is judged by
def lesion_boxes(split: Split) -> LesionBoxes:
    """Those of a split, read once."""
    return LesionBoxes(split)


def batches(order: npt.NDArray[np.int64], size: int) -> Iterator[npt.NDArray[np.int64]]:
    """`order` in batches of `size` at most, as even as can be, and of two at least.

    A last batch of a few images would set batch norm's statistics as much as a full one; one of
    a single image has none. So an odd image makes the one batch of size 2 larger.
    """
    count = max(1, min(math.ceil(len(order) / size), len(order) // 2))
    yield from (batch for batch in np.array_split(order, count) if batch.size)
