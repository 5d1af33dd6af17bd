"""Models run over images: in this process, or dealt over several devices, a process for each.

A model is read, run and written by one process, so that its rows are those of one device, bit by
bit. Images stay in their files, which every process maps.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch

from ablations.external.models import ConfirmedModel, Evaluator
from masll.common.errors import InputError
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
    spawn = multiprocessing.get_context("spawn")  # CUDA does not live on in a fork
    free = spawn.SimpleQueue()
    for device in devices:
        free.put(str(device))
    pool = ProcessPoolExecutor(len(devices), spawn, _begin, (free, parts))

    def there(
        models: Sequence[ConfirmedModel],
        images: Split,
        folder: AnyPath,
        done: Callable[[], None],
    ) -> None:
        mapped = Mapped.of(images)
        try:
            for model in as_completed(
                [pool.submit(_evaluate, each, mapped, folder) for each in models]
            ):
                model.result()
                done()
        except BrokenProcessPool as error:
            names = ",".join(map(str, devices))
            raise InputError(
                f"--device {names}: a process that evaluates was killed, for want of memory "
                "perhaps; name fewer devices: what is evaluated stays"
            ) from error

    try:
        yield there
    finally:
        pool.shutdown(cancel_futures=True)


_own: list[Evaluator] = []  # of a process of the pool: one


def _begin(free: "SimpleQueue[str]", parts: Sequence[str]) -> None:
    """Take a device that no other process has taken."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process tells the others to end
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _own.append(Evaluator(parts, torch.device(free.get())))


def _end_with_parent() -> None:
    """A parent that is killed tells nobody, and this process would keep its GPU."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _evaluate(model: ConfirmedModel, images: Mapped, folder: AnyPath) -> None:
    _own[0].evaluate(model, images.opened(), folder)


def _file_of(array: npt.NDArray[Any] | Any) -> Path:
    assert isinstance(array, np.memmap) and array.filename is not None
    return Path(array.filename)
