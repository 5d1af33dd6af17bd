"""Users' own parts, made and tried once: has one the interface of the part that it replaces?"""

from typing import Any

import torch
from torch import Tensor, nn

from masll.common.errors import InputError
from masll.localization import PAPER, Localization
from masll.parts import Part


def own_fusion(part: Part, channels: int) -> tuple[nn.Module, int]:
    """A new fusion, and how many features it hands to the classifier.

    Args:
        channels: C, the length of F = concat(g, l) (eq. 3), or of g or l alone.

    Raises:
        InputError: it cannot be made, or has another interface; said in one line.
    """
    fusion: nn.Module = part.make("Fusion", channels)
    result = _tried(part, "Fusion.forward", fusion, torch.zeros(2, channels))
    fits = isinstance(result, tuple) and len(result) == 2
    fits = fits and all(isinstance(each, Tensor) or each is None for each in result)
    if fits:
        features, gate = result
        fits = features is not None and features.ndim == 2 and len(features) == 2
        fits = fits and (gate is None or gate.shape == (2, channels))
    if not fits:
        raise InputError(
            f"{part.path}: Fusion.forward must return (features, gate), features of (B, any) and a "
            f"gate of (B, C) or None; for features of (2, {channels}) it gave {_shape(result)}"
        )
    return fusion, features.shape[1]


def own_localizer(part: Part, channels: int) -> nn.Module:
    """A new localizer.

    Args:
        channels: K of the features that it will see.

    Raises:
        InputError: it cannot be made, or has another interface; said in one line.
    """
    localizer: nn.Module = part.make("Localizer")
    features, source_size = torch.zeros(2, channels, 3, 3), 96
    found = _tried(part, "Localizer.forward", localizer, features, 1.0, source_size, PAPER)
    fits = (
        isinstance(found, Localization)
        and all(isinstance(each, Tensor) for each in found)
        and found.boxes.shape == (2, 4)
        and found.boxes.dtype == torch.int64
        and found.activation_map.ndim == 3
        and found.fallback.shape == (2,)
    )
    if not fits:
        raise InputError(
            f"{part.path}: Localizer.forward must return a Localization, boxes of (B, 4) int64, "
            f"activation_map of (B, H, W) and fallback of (B,); it gave {_shape(found)}"
        )
    corners = found.boxes
    inside = (corners >= 0).all() and (corners <= source_size).all()
    if not (inside and (corners[:, 2:] > corners[:, :2]).all()):
        raise InputError(
            f"{part.path}: boxes must be x0 < x1, y0 < y1 within 0 and the source size, "
            f"{source_size}; got {corners[0].tolist()}"
        )
    return localizer


@torch.no_grad()
def _tried(part: Part, what: str, module: Any, *arguments: Any) -> Any:
    """What a module says in evaluation mode, with any error of its own as one line."""
    if not isinstance(module, nn.Module):
        raise InputError(f"{part.path}: {what.partition('.')[0]} must be a torch.nn.Module")
    training = module.training
    module.eval()
    with part.tried(what):
        result = module(*arguments)
    module.train(training)
    return result


def _shape(result: Any) -> str:
    """What something is, for a message: shapes of tensors, types of everything else."""
    if isinstance(result, tuple):
        return f"({', '.join(map(_shape, result))})"
    return str(tuple(result.shape)) if isinstance(result, Tensor) else type(result).__name__
