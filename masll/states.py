"""States of trainings on disk: whole or not at all, and never a pickle that runs code."""

import io
from typing import Any

import torch

from masll.common.storage import AnyPath


def save_state(path: AnyPath, state: Any) -> None:
    """Write nested dictionaries and lists of tensors and plain values.

    Raises:
        OSError: the disk takes no more.
    """
    # Straight into the file beside it that takes its place: a copy in memory is enough.
    with path.whole() as partial, partial.open("wb") as file:
        torch.save(state, file)  # to a path it raises RuntimeError where the disk is full


def load_state(path: AnyPath) -> Any:
    """Read what `save_state` wrote, on the CPU; PyTorch raises many kinds of errors."""
    return torch.load(io.BytesIO(path.read_bytes()), weights_only=True, map_location="cpu")
