"""Two GPUs that are not there, for what a module asks of PyTorch before a network is on one.

They keep one rule of CUDA that is easy to break: a stream records what is started on its own GPU
while it is the current one; on another GPU the same work runs at once, and is in no record.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

GPU_BYTES = 20_000  # of each GPU


class Card:
    """Properties of a GPU."""

    total_memory = GPU_BYTES


class FakeStream:
    """A stream of a GPU."""

    def __init__(self, gpu: int) -> None:
        self.device = torch.device("cuda", gpu)


class FakeGraph:
    """Work that a stream has recorded, and the memory that it shares with other graphs."""

    _pools = itertools.count()

    def __init__(self) -> None:
        self.work: list[Callable[[], object]] = []
        self.memory = next(self._pools)
        self.stream: FakeStream | None = None

    def pool(self) -> int:
        return self.memory

    def replay(self) -> None:
        for each in self.work:
            each()


class FakeCuda:
    """What `torch.cuda` answers on a machine with two GPUs.

    Args:
        current: the GPU that `cuda` means.
    """

    def __init__(self, current: int = 0) -> None:
        self.current = current
        self.graphs: list[FakeGraph] = []  # each that was recorded

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the place of PyTorch's own functions."""
        zeros = torch.zeros

        def zeros_elsewhere(*size: Any, device: Any = None, **settings: Any) -> torch.Tensor:
            del device
            return zeros(*size, **settings)

        monkeypatch.setattr(torch, "zeros", zeros_elsewhere)
        answers = {
            "current_device": lambda: self.current,
            "device_count": lambda: 2,
            "get_device_properties": lambda _: Card,
            "get_per_process_memory_fraction": lambda _: 1.0,
            "device": self._as_current,
            "Stream": FakeStream,
            "CUDAGraph": FakeGraph,
            "graph": self._recording,
        }
        for name, answer in answers.items():
            monkeypatch.setattr(torch.cuda, name, answer)

    def start(self, work: Callable[[], object], device: torch.device) -> None:
        """Start work on a GPU: it is recorded, or runs at once."""
        number = self.current if device.index is None else device.index
        graph = self.graphs[-1] if self.graphs else None
        stream = None if graph is None else graph.stream
        if graph is not None and stream is not None and stream.device.index == number:
            graph.work.append(work)
        else:
            work()

    @contextlib.contextmanager
    def _as_current(self, device: torch.device) -> Iterator[None]:
        before, self.current = self.current, device.index
        yield
        self.current = before

    @contextlib.contextmanager
    def _recording(
        self,
        graph: FakeGraph,
        pool: int | None = None,
        stream: FakeStream | None = None,
        capture_error_mode: str = "global",
    ) -> Iterator[None]:
        assert capture_error_mode == "thread_local"
        graph.stream = stream or FakeStream(self.current)
        assert graph.stream.device.index == self.current, "PyTorch waits for the current GPU"
        graph.memory = graph.memory if pool is None else pool
        self.graphs.append(graph)
        yield
        graph.stream = None
