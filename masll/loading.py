"""From the store's pixels to batches on the training device, normalised and augmented."""

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from masll.augment import random_turns, turn
from masll.data.split import Split
from masll.inputs import InputSpec
from masll.lesions import LesionBoxes


class Loader:
    """Brings images of a split to a device, as a network expects them.

    Args:
        inputs: what the network's images must look like.
        box: where the network looks; that of the lesion mask comes with each batch.
    """

    def __init__(self, inputs: InputSpec, device: torch.device, box: str = "sll") -> None:
        self.device = device
        self._box = box
        self._normalise = inputs.normalisation(device)
        # A core's cache holds a pair of images with their coordinates: on the CPU a batch is
        # augmented in groups of two images a core, in two thirds of the time.
        self._group = 2 * torch.get_num_threads() if device.type == "cpu" else 2**30

    def images(self, split: Split, chosen: npt.NDArray[np.int64]) -> Tensor:
        """Images of a split, normalised: (B, 3, S, S) float32."""
        images = self._floats(split.images[chosen])
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
    ) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        """One pass over a split in random order: augmented images, labels (B,) int64, lesions.

        Args:
            draws: on the CPU; decides the order and the augmentation.
        """
        order = torch.randperm(len(split), generator=draws).numpy()
        for chosen in batches(order, batch_size):
            pixels, turns = split.images[chosen], random_turns(len(chosen), draws)
            side = pixels.shape[-1]
            images = torch.empty(len(chosen), 3, side, side, device=self.device)
            for start in range(0, len(chosen), self._group):
                group = slice(start, start + self._group)
                turned = turn(self._floats(pixels[group]), turns[group])
                self._normalise(turned, out=images[group])
            lesions = self.lesions(split, chosen, turns)
            yield images, self.to_device(split.labels[chosen]), lesions

    def _floats(self, pixels: npt.NDArray[np.uint8]) -> Tensor:
        """(B, 3, S, S) uint8 -> float32 on the device, 0 to 255."""
        return self.to_device(pixels).float()

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
