"""Images that stay on the GPU between steps, epochs and trials, where they take little of it."""

import mmap
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from masll.data.split import Pixels
from masll.devices import gpu_number

_SHARE = 0.1  # of the memory that this process may have of a GPU, for images of all splits
_BLOCK = 64  # images that are copied at once

_Key = tuple[str, tuple[int, ...]]


class Resident(NamedTuple):
    """Where a split's images are on a GPU."""

    images: Tensor  # (M, 3, S, S) uint8
    places: npt.NDArray[np.int64]  # (N,), rows of `images`


class Shelf:
    """Arrays of images on one device, each copied once in the life of a process.

    Args:
        room: bytes that they may take together.
    """

    def __init__(self, room: int, device: torch.device) -> None:
        self._room = room
        self._device = device
        self._kept: dict[tuple[_Key, ...], tuple[list[npt.NDArray[np.uint8]], Tensor]] = {}

    def find(self, images: npt.NDArray[np.uint8] | Pixels) -> Resident | None:
        """Where images are, or None where there is no room for all arrays that they are parts of.

        Args:
            images: (N, 3, S, S). Parts of the same arrays, as folds are, are there once.
        """
        pixels = images if isinstance(images, Pixels) else Pixels([images])
        key = tuple(map(_key, pixels.parts))
        if key not in self._kept:
            size = sum(array.nbytes for array in pixels.parts)
            if size > self._room:
                return None
            try:
                whole = _copied(pixels.parts, self._device)
            except torch.OutOfMemoryError:
                self._room = 0
                return None
            self._room -= size
            self._kept[key] = pixels.parts, whole
        return Resident(self._kept[key][1], pixels.rows)


def _key(array: npt.NDArray[np.uint8]) -> _Key:
    """The file that an array is the whole of, or the array itself, as long as somebody keeps it."""
    if isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap):  # not a part of one
        return str(array.filename), array.shape
    return str(id(array)), array.shape


def _copied(arrays: list[npt.NDArray[np.uint8]], device: torch.device) -> Tensor:
    """Arrays one after the other on a device, by way of little memory."""
    count = sum(map(len, arrays))
    whole = torch.empty(count, *arrays[0].shape[1:], dtype=torch.uint8, device=device)
    start = 0
    for array in arrays:
        for rows in range(0, len(array), _BLOCK):
            block = torch.from_numpy(array[rows : rows + _BLOCK].copy())  # off the disk
            whole[start : start + len(block)] = block
            start += len(block)
    return whole


_shelves: dict[int, Shelf] = {}  # by the number of a GPU


def resident_pixels(
    images: npt.NDArray[np.uint8] | Pixels, device: torch.device
) -> Resident | None:
    """A split's images on a GPU; None on the CPU, or where they would take too much memory."""
    if device.type != "cuda":
        return None
    gpu = gpu_number(device)
    if gpu not in _shelves:
        total = torch.cuda.get_device_properties(gpu).total_memory
        held = torch.cuda.get_per_process_memory_fraction(gpu)
        _shelves[gpu] = Shelf(int(_SHARE * held * total), torch.device("cuda", gpu))
    return _shelves[gpu].find(images)
