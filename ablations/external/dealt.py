"""Models run over images: in this process, or dealt over several devices, a process for each.

A model is read, run and written by one process, so that its rows are those of one device, bit by
bit. Images stay in their files, which every process maps. What ends the first process ends the
others at once: rows of a model appear whole, or not at all.
"""

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch

from ablations.external.models import ConfirmedModel, Evaluator
from masll.common.errors import InputError
from masll.common.machine import usable_cores
from masll.common.processes import interrupts_held, process_pool
from masll.common.storage import AnyPath
from masll.data.split import Split


class Evaluate(Protocol):
    """Runs models over images, and writes the rows of each as it ends."""

    def __call__(
        self,
        models: Sequence[ConfirmedModel],
        images: Split,
        folder: AnyPath,
        done: Callable[[], None],
    ) -> None:
        """Call `done` after each model; `images` are of one size and fit, the networks' own."""


class Mapped(NamedTuple):
    """A split whose arrays lie in files, for another process to open."""

    split: Split  # without its arrays
    images: Path
    masks: Path | None

    @classmethod
    def of(cls, split: Split) -> "Mapped":
        """Of a split of memory-mapped arrays."""
        masks = None if split.masks is None else _file_of(split.masks)
        empty = np.empty((0, 3, 0, 0), np.uint8)
        without = Split(split.name, split.ids, split.labels, empty, None, split.masked, split.fit)
        return cls(without, _file_of(split.images), masks)

    def opened(self) -> Split:
        """The split with its arrays."""
        masks = None if self.masks is None else np.load(self.masks, mmap_mode="r")
        each = self.split
        images = np.load(self.images, mmap_mode="r")
        return Split(each.name, each.ids, each.labels, images, masks, each.masked, each.fit)


@contextlib.contextmanager
def evaluator(devices: Sequence[torch.device], parts: Sequence[str]) -> Iterator[Evaluate]:
    """What runs models, for as long as the block lasts.

    Args:
        devices: with several, each has a process, which takes the next model as one ends.
        parts: what `--variant-from` names.
    """
    if len(devices) > 1:
        with _several(devices, parts) as evaluate:
            yield evaluate
        return
    own = Evaluator(parts, devices[0])

    def here(
        models: Sequence[ConfirmedModel],
        images: Split,
        folder: AnyPath,
        done: Callable[[], None],
    ) -> None:
        for model in models:
            own.evaluate(model, images, folder)
            done()

    yield here


@contextlib.contextmanager
def _several(devices: Sequence[torch.device], parts: Sequence[str]) -> Iterator[Evaluate]:
    free = multiprocessing.get_context("spawn").SimpleQueue()
    for device in devices:
        free.put(str(device))
    threads = min(torch.get_num_threads(), max(1, usable_cores() // len(devices)))
    with process_pool(len(devices), _begin, (free, parts, threads)) as pool:

        def there(
            models: Sequence[ConfirmedModel],
            images: Split,
            folder: AnyPath,
            done: Callable[[], None],
        ) -> None:
            mapped = Mapped.of(images)
            try:
                with interrupts_held():  # a process that is starting inherits it
                    running = [pool.submit(_evaluate, each, mapped, folder) for each in models]
                for model in as_completed(running):
                    model.result()
                    done()
            except BrokenProcessPool as error:
                names = ",".join(map(str, devices))
                raise InputError(
                    f"--device {names}: a process that evaluates was killed, for want of memory "
                    "perhaps; name fewer devices: what is evaluated stays"
                ) from error

        yield there


class _Process:
    """What a process of the pool keeps from one model to the next."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self._file: Path | None = None  # of the images
        self._images: Split | None = None

    def evaluate(self, model: ConfirmedModel, images: Mapped, folder: AnyPath) -> None:
        if self._images is None or self._file != images.images:
            # One split for all models: what is read from its masks once is known by it.
            self._file, self._images = images.images, images.opened()
        self._evaluator.evaluate(model, self._images, folder)


_own: list[_Process] = []  # of a process of the pool: one


def _begin(free: "SimpleQueue[str]", parts: Sequence[str], threads: int) -> None:
    """Take a device that no other process has taken, and a share of the cores."""
    torch.set_num_threads(threads)
    _own.append(_Process(Evaluator(parts, torch.device(free.get()))))


def _evaluate(model: ConfirmedModel, images: Mapped, folder: AnyPath) -> None:
    _own[0].evaluate(model, images, folder)


def _file_of(array: npt.NDArray[Any] | Any) -> Path:
    assert isinstance(array, np.memmap) and array.filename is not None
    return Path(array.filename)
