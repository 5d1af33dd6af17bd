"""What a worker reports of a trial: all after each epoch, and within a long one how far it is."""

import contextlib
from dataclasses import dataclass
from typing import NamedTuple

from masll.results import EpochResult, ModelCost, Predictions
from tuning.study.folder import StudyFolder


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


class Pace(NamedTuple):
    """How far a trial is within an epoch. A worker writes it below its place, see `write_place`."""

    share: float = 0.0  # of the epoch's training steps, 0 to 1
    seconds: float = 0.0  # since the epoch began
    epoch: int = 0  # from 1; 0 where nothing is known


def write_place(folder: StudyFolder, trial_id: str, node: Node, pace: Pace | None = None) -> None:
    """Leave in STUDY/running where a trial runs, and in a second line how far its epoch is."""
    line = "" if pace is None else f"\n{pace.share:.4f} {pace.seconds:.1f} {pace.epoch}"
    folder.place(trial_id).write_whole(f"{node}{line}")


def read_place(folder: StudyFolder, trial_id: str) -> str | None:
    """The machine and GPU that a trial has begun on; None if it did not come to it."""
    try:
        return folder.place(trial_id).read_text().partition("\n")[0]
    except OSError:
        return None


def read_pace(folder: StudyFolder, trial_id: str) -> Pace:
    """How far a trial is within its epoch; nothing if it has not said so."""
    with contextlib.suppress(OSError, ValueError):
        share, seconds, epoch = folder.place(trial_id).read_text().partition("\n")[2].split()
        return Pace(float(share), float(seconds), int(epoch))
    return Pace()
