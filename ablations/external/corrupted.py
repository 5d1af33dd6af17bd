"""An external set with a corruption at a severity: made once for all models."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from masll.common.machine import default_cache, usable_cores
from masll.common.scratch import scratch_folder
from masll.corruptions import corrupt
from masll.data.arrays import BLOCK, SplitArrays
from masll.data.split import Split
from masll.data.types import Picture


class Condition(NamedTuple):
    """A corruption at a severity, with the seed of what it draws."""

    corruption: str
    severity: int
    seed: int = 0

    def __str__(self) -> str:
        """Name of its folder of rows."""
        again = f"-seed-{self.seed}" * bool(self.seed)
        return f"{self.corruption}-{self.severity}{again}"


def conditions(names: Sequence[str], severities: Sequence[int], seed: int) -> list[Condition]:
    """Every corruption at every severity."""
    return [Condition(name, severity, seed) for name in names for severity in severities]


@contextlib.contextmanager
def corrupted(clean: Split, condition: Condition | None) -> Iterator[Split]:
    """The images of a split under a condition, on the disk while the block lasts.

    Masks stay: the lesion is where it was. Without a condition, the split itself.
    """
    if condition is None:
        yield clean
        return
    with scratch_folder(default_cache(), ".corrupted-") as folder:
        with (
            SplitArrays(folder, clean.name, clean.ids, clean.images.shape[-1], write=True) as files,
            ThreadPoolExecutor(usable_cores()) as threads,
        ):

            def write(start: int) -> None:
                rows = range(start, min(start + BLOCK, len(clean)))
                files.write(start, [_picture(clean, row, condition) for row in rows])

            list(threads.map(write, range(0, len(clean), BLOCK)))
        images = np.load(folder / f"{clean.name}-images.npy", mmap_mode="r")
        yield dataclasses.replace(clean, images=images)


def _picture(clean: Split, row: int, condition: Condition) -> Picture:
    image = np.ascontiguousarray(clean.images[row : row + 1][0].transpose(1, 2, 0))  # (S, S, 3)
    changed = corrupt(
        image, condition.corruption, condition.severity, clean.ids[row], condition.seed
    )
    return Picture(changed, None, "")
