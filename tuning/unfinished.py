"""Trials that have begun and not ended: what was asked of them, and how far they came.

STUDY/running/<trial_id>.json is written when a trial is handed out, <trial_id>.pt after each of its
epochs but the last. Both go once the trial's rows are written, so that what is left there is what a
killed run has to go on with. Tensors and plain values only: no pickle is read.
"""

import contextlib
import datetime
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from masll.training import EpochResult
from tuning.plan import Arm, Trial


@dataclass
class Begun:
    """A trial that was handed out."""

    trial: Trial
    started_at: datetime.datetime
    crashes: int = 0
    epochs: int = 0  # reported so far


class Unfinished:
    """The files of a study's unfinished trials, as the driver keeps them."""

    def __init__(self, study: Path) -> None:
        self.folder = study / "running"

    def all(self) -> list[Begun]:
        """What is there, by trial id; a file that a failing disk has spoilt counts as not there."""
        found = []
        for path in sorted(self.folder.glob("*.json")):
            with contextlib.suppress(ValueError, TypeError, KeyError):
                found.append(_begun(json.loads(path.read_text())))
        return found

    def keep(self, begun: Begun) -> None:
        """Write a trial down when it is handed out, has reported, or has crashed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        written = asdict(begun.trial) | {
            "arm": list(begun.trial.arm),
            "started_at": begun.started_at.isoformat(),
            "crashes": begun.crashes,
            "epochs": begun.epochs,
        }
        path = self.folder / f"{begun.trial.trial_id}.json"
        partial = path.with_name(f".{path.name}")
        partial.write_text(json.dumps(written))
        partial.replace(path)

    def remove(self, trial_id: str) -> None:
        """Forget a trial whose rows are written."""
        for suffix in (".pt", ".json"):
            (self.folder / f"{trial_id}{suffix}").unlink(missing_ok=True)


def _begun(written: dict[str, Any]) -> Begun:
    started_at = datetime.datetime.fromisoformat(written.pop("started_at"))
    counts = {name: written.pop(name) for name in ("crashes", "epochs")}
    return Begun(Trial(**written | {"arm": Arm(*written["arm"])}), started_at, **counts)


@dataclass(frozen=True)
class Checkpoint:
    """A trial after one of its epochs."""

    epochs: list[EpochResult]
    seconds: float  # of a slot, spent on it so far
    trainer: dict[str, Any]  # state_dict of its Trainer or CrossValidator


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}")
    epochs = [asdict(epoch) for epoch in checkpoint.epochs]
    torch.save(
        {"epochs": epochs, "seconds": checkpoint.seconds, "trainer": checkpoint.trainer}, partial
    )
    partial.replace(path)


def load_checkpoint(path: Path) -> Checkpoint | None:
    """Read a checkpoint; None where there is none that can be read."""
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        epochs = [EpochResult(**epoch) for epoch in state["epochs"]]
        return Checkpoint(epochs, state["seconds"], state["trainer"])
    except Exception:  # PyTorch and its unpickler raise many kinds, struct.error among them
        return None
