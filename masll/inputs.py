"""What an image must look like for a network, the same for training, prediction and audit."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class InputSpec:
    """The images that a network was trained on, or is to be."""

    source_size: int  # side of the square images in pixels; the local branch crops from them
    fit: str  # how an image becomes a square: squash, pad or crop
    mean: tuple[float, ...]  # per channel, of values in [0, 1]
    std: tuple[float, ...]  # likewise

    def normalisation(self, device: torch.device | str = "cpu") -> "Normalisation":
        """Brings pixels to the range that the network's weights expect."""
        return Normalisation(self, device)


class Normalisation:
    """(pixels / 255 - mean) / std, as one subtraction and one product.

    >>> spec = InputSpec(64, "squash", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    >>> spec.normalisation()(torch.full((1, 3, 1, 1), 255.0)).flatten()
    tensor([1., 1., 1.])
    """

    def __init__(self, spec: InputSpec, device: torch.device | str) -> None:
        self._mean = torch.tensor(spec.mean, device=device).view(3, 1, 1) * 255
        self._scale = 1 / (torch.tensor(spec.std, device=device).view(3, 1, 1) * 255)

    def __call__(self, images: Tensor, out: Tensor | None = None) -> Tensor:
        """(B, 3, S, S) float of 0 to 255 -> normalised, into `out` where it is given."""
        return torch.sub(images, self._mean, out=out).mul_(self._scale)
