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
        try:
            torch.save(state, file)
        except RuntimeError as error:  # what PyTorch makes of an error of its file, at its end
            if isinstance(error.__context__, OSError):
                raise error.__context__
            raise


def load_state(path: AnyPath) -> Any:
    """Read what `save_state` wrote, on the CPU; PyTorch raises many kinds of errors."""
    return torch.load(io.BytesIO(path.read_bytes()), weights_only=True, map_location="cpu")
