"""One training step: forward, backward, optimizer; on a GPU recorded once and played again.

A step of two small networks starts thousands of kernels of some microseconds each, and the host
takes longer to start them than a large GPU to run them. A CUDA graph starts them all at once. It
knows memory by its address, so that a batch is copied to where the recorded one lay, and the
learning rate is a number on the GPU.
"""

import functools
import warnings
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from masll.devices import gpu_number
from masll.loading import Batch

Work = Callable[[], None]


class Step(Protocol):
    """Takes a batch and a learning rate, changes the weights."""

    def __call__(self, batch: Batch, lr: float) -> Tensor:
        """The batch's mean loss before the step: (), on the device, to be read before the next."""


class PlainStep(Step):
    """A step as PyTorch's tutorials have it.

    Args:
        loss: of a batch, with the graph of its gradients.
    """

    def __init__(self, loss: Callable[[Batch], Tensor], optimizer: torch.optim.Optimizer) -> None:
        self._loss = loss
        self._optimizer = optimizer

    def __call__(self, batch: Batch, lr: float | Tensor) -> Tensor:
        self.set_rate(lr)
        self.forget_gradients()
        loss = self._loss(batch)
        loss.backward()
        self._optimizer.step()
        return loss.detach()

    def set_rate(self, lr: float | Tensor) -> None:
        """A learning rate, or one that is changed where it lies: ()."""
        for group in self._optimizer.param_groups:
            group["lr"] = lr
            if "capturable" in group:
                group["capturable"] = isinstance(lr, Tensor)

    def forget_gradients(self) -> None:
        """Give back their memory."""
        self._optimizer.zero_grad(set_to_none=True)


class RecordedStep(Step):
    """The same step, recorded for each size of batch when that comes for the second time.

    The first of a size runs as it is, so that libraries choose their kernels and the optimizer
    makes its state outside the record. What cannot be recorded, as it asks the host something,
    runs as it is for good, with one warning.

    Args:
        device: that of the weights.
        record: takes work without running it; returns what runs it.
    """

    def __init__(
        self, step: PlainStep, device: torch.device, record: Callable[[Work], Work]
    ) -> None:
        self._step = step
        self._record: Callable[[Work], Work] | None = record
        self._lr = torch.zeros((), device=device)
        self._recorded: dict[int, tuple[Batch, Tensor, Work] | None] = {}

    def __call__(self, batch: Batch, lr: float) -> Tensor:
        size = len(batch.labels)
        if self._record is None or size not in self._recorded:
            self._recorded[size] = None
            return self._step(batch, lr)
        recorded = self._recorded[size]
        if recorded is None:
            try:
                recorded = self._recorded[size] = self._recording(batch, self._record)
            except RuntimeError as error:
                reason = str(error).strip().partition("\n")[0]
                warnings.warn(f"steps run without a CUDA graph: {reason}", stacklevel=2)
                self._record = None
                return self._step(batch, lr)
        self._lr.fill_(lr)
        kept, loss, play = recorded
        kept.fill(batch)
        play()
        self._step.set_rate(lr)  # as a state keeps it
        return loss

    def _recording(
        self, batch: Batch, record: Callable[[Work], Work]
    ) -> tuple[Batch, Tensor, Work]:
        kept, loss = batch.clone(), torch.zeros_like(self._lr)
        step, lr = self._step, self._lr  # not this object, which keeps what is recorded

        def work() -> None:
            loss.copy_(step(kept, lr))

        step.forget_gradients()
        return kept, loss, record(work)


class CudaGraphs:
    """Records work as CUDA graphs, which share the memory that they work in.

    Args:
        device: the GPU that the work runs on.
    """

    def __init__(self, device: torch.device) -> None:
        self._gpu = gpu_number(device)

    def __call__(self, work: Work) -> Work:
        shared = _shared(self._gpu)
        return _recorded(work, shared.stream, shared.unplayed).replay


class _Shared(NamedTuple):
    """What the graphs of a GPU have in common as long as the process lives."""

    stream: torch.cuda.Stream  # that records: memory is shared by what one stream has taken
    unplayed: torch.cuda.CUDAGraph  # memory is shared as long as a graph is there that has it


@functools.cache
def _shared(gpu: int) -> _Shared:
    stream = torch.cuda.Stream(gpu)
    number = torch.zeros((), device=stream.device)
    return _Shared(stream, _recorded(number.zero_, stream))


def _recorded(
    work: Callable[[], object],
    stream: torch.cuda.Stream,
    beside: torch.cuda.CUDAGraph | None = None,
) -> torch.cuda.CUDAGraph:
    """A stream records what is started on its own GPU; the rest runs at once, and never again."""
    graph = torch.cuda.CUDAGraph()
    pool = None if beside is None else beside.pool()
    # Another thread may copy weights for a checkpoint meanwhile.
    recording = torch.cuda.graph(graph, pool, stream, capture_error_mode="thread_local")
    with torch.cuda.device(stream.device), recording:
        work()
    return graph
