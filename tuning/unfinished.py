"""Trials that have begun and not ended: what was asked of them, and how far they came.

STUDY/running/<trial_id>.json is written when a trial is handed out, <trial_id>.pt after each of its
epochs but the last. Both go once the trial's rows are written, so that what is left there is what a
killed run has to go on with. Tensors and plain values only: no pickle is read.
"""

import contextlib
import datetime
import io
import json
from dataclasses import asdict, dataclass
from typing import Any

import torch

from masll.places import Place, write_whole
from masll.training import EpochResult
from tuning.plan import Arm, Trial


@dataclass
class Begun:
    """A trial that was handed out."""

    trial: Trial
    started_at: datetime.datetime
    crashes: int = 0
    preemptions: int = 0  # times that the machine it ran on was lost
    epochs: int = 0  # reported so far
    where: str = ""  # the machine and the GPU that reported them


_REPORTED = ("crashes", "preemptions", "epochs", "where")


class Unfinished:
    """The files of a study's unfinished trials, as the driver keeps them."""

    def __init__(self, study: Place) -> None:
        self.folder = study / "running"

    def all(self) -> list[Begun]:
        """What is there, by trial id; a file that a failing disk has spoilt counts as not there."""
        found = []
        paths: list[Place] = [*self.folder.glob("*.json")]
        for path in sorted(paths, key=str):
            # It may end between the listing and the reading, too.
            with contextlib.suppress(ValueError, TypeError, KeyError, FileNotFoundError):
                found.append(_begun(json.loads(path.read_text())))
        return found

    def keep(self, begun: Begun) -> None:
        """Write a trial down when it is handed out, has reported, or has crashed."""
        written = asdict(begun.trial) | {name: getattr(begun, name) for name in _REPORTED}
        written |= {"arm": list(begun.trial.arm), "started_at": begun.started_at.isoformat()}
        write_whole(self.folder / f"{begun.trial.trial_id}.json", json.dumps(written))

    def remove(self, trial_id: str) -> None:
        """Forget a trial whose rows are written."""
        for suffix in (".pt", ".json"):
            (self.folder / f"{trial_id}{suffix}").unlink(missing_ok=True)


def _begun(written: dict[str, Any]) -> Begun:
    started_at = datetime.datetime.fromisoformat(written.pop("started_at"))
    reported = {name: written.pop(name) for name in _REPORTED}
    return Begun(Trial(**written | {"arm": Arm(*written["arm"])}), started_at, **reported)


@dataclass(frozen=True)
class Checkpoint:
    """A trial after one of its epochs."""

    epochs: list[EpochResult]
    seconds: float  # of a slot, spent on it so far
    trainer: dict[str, Any]  # state_dict of its Trainer or CrossValidator


def save_checkpoint(path: Place, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all."""
    epochs = [asdict(epoch) for epoch in checkpoint.epochs]
    content = io.BytesIO()
    torch.save(
        {"epochs": epochs, "seconds": checkpoint.seconds, "trainer": checkpoint.trainer}, content
    )
    write_whole(path, content.getvalue())


def load_checkpoint(path: Place) -> Checkpoint | None:
    """Read a checkpoint; None where there is none that can be read."""
    try:
        content = io.BytesIO(path.read_bytes())
        state = torch.load(content, weights_only=True, map_location="cpu")
        epochs = [EpochResult(**epoch) for epoch in state["epochs"]]
        return Checkpoint(epochs, state["seconds"], state["trainer"])
    except Exception:  # PyTorch and its unpickler raise many kinds, struct.error among them
        return None
