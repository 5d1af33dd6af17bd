"""The state of a trial after one of its epochs, so that it can go on where it was interrupted.

STUDY/running/<trial_id>.pt. Tensors and plain values only: no pickle is executed.
"""

import io
from dataclasses import asdict, dataclass
from typing import Any

import torch

from masll.common.storage import AnyPath
from masll.results import EpochResult


@dataclass(frozen=True)
class Checkpoint:
    """A trial after one of its epochs."""

    epochs: list[EpochResult]
    seconds: float  # that it has kept a slot busy so far
    trainer: dict[str, Any]  # state_dict of its training run


def save_checkpoint(path: AnyPath, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all."""
    epochs = [asdict(epoch) for epoch in checkpoint.epochs]
    content = io.BytesIO()
    torch.save(
        {"epochs": epochs, "seconds": checkpoint.seconds, "trainer": checkpoint.trainer}, content
    )
    path.write_whole(content.getvalue())


def load_checkpoint(path: AnyPath) -> Checkpoint | None:
    """Read a checkpoint; None where there is none that can be read."""
    try:
        content = io.BytesIO(path.read_bytes())
        state = torch.load(content, weights_only=True, map_location="cpu")
        epochs = [EpochResult(**epoch) for epoch in state["epochs"]]
        return Checkpoint(epochs, state["seconds"], state["trainer"])
    except Exception:  # PyTorch and its unpickler raise many kinds, struct.error among them
        return None
