"""What a worker reports of a trial, after each of its epochs."""

from dataclasses import dataclass
from typing import NamedTuple

from masll.results import EpochResult, ModelCost, Predictions


class Node(NamedTuple):
    """The machine of a worker, and its part of it."""

    name: str
    gpu_id: str | None = None  # Ray's number of the GPU on that machine; None on a CPU

    def __str__(self) -> str:
        return self.name if self.gpu_id is None else f"{self.name}, GPU {self.gpu_id}"


class Held(NamedTuple):
    """What a worker reports now and then from a place where no trial is to run."""

    place: str


@dataclass(frozen=True)
class TrialReport:
    """What a worker reports after each epoch: enough to write the trial's rows if it ends here."""

    epochs: list[EpochResult]  # all so far, those before an interruption too
    done: bool
    best: EpochResult | None  # None while there are nothing but diverged epochs
    diverged: bool  # whether a loss or score was not finite, which ends the trial
    predictions: list[Predictions]  # of the best epoch
    seconds: float  # that the trial has kept a slot busy
    earlier_seconds: float  # of these, before it was resumed
    images_per_second: float
    device: str
    node: Node
    peak_memory_mb: float
    cost: ModelCost | None = None  # of a confirmed model
