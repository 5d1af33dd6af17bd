"""WFI, weighted feature integration (section II-B of the paper): a gate on pooled features."""

import math

import torch
from torch import Tensor, nn


class WeightedFeatureIntegration(nn.Module):
    """mu = linear(F); mu^ = sigmoid(mu); F' = (mu^ x F + F) x factor (equations 4, 5, 6).

    The gate has one weight per channel, and global average pooling is linear in each channel:
    gating the pooled vector equals pooling the gated map. So F is the pooled vector.

    The paper has no factor. Without one a gate that starts half open hands 1.5 x F to the
    classifier, and at high learning rates its loss peaks at several times that of plain
    concatenation; started almost shut (bias -3, no weights) it is stable, but its slope is .045
    instead of .25, and after a short training it is the same for every image. So the gate starts
    with PyTorch's weights and its full slope, and F' is divided by what an average gate multiplies
    it by at the start, 1 + sigmoid(bias). The classifier's weights absorb a constant: which
    functions the network can be is as in the paper (tests/benchmarks/gate.py has the loss curves).

    Args:
        channels: C, the length of F = concat(g, l) (eq. 3), or of g or l alone.
        bias: of every channel's mu at the start.
        scaled: as described; otherwise no weights at the start and a factor of 1, as in models of
            versions before 0.2.
    """

    def __init__(self, channels: int, bias: float = 0.0, scaled: bool = True) -> None:
        super().__init__()
        self.weigh = nn.Linear(channels, channels)
        self.factor = (1 + math.exp(-bias)) / (2 + math.exp(-bias)) if scaled else 1.0
        nn.init.constant_(self.weigh.bias, bias)
        if not scaled:
            nn.init.zeros_(self.weigh.weight)

    def forward(self, features: Tensor, gate: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Weigh the features.

        Args:
            features: F of (B, C).
            gate: (C,) to use for every image in place of mu^.

        Returns:
            F' of (B, C), and the gate mu^ of (B, C) in (0, 1), or the one given.
        """
        if gate is None:
            gate = torch.sigmoid(self.weigh(features))  # (B, C), eq. 4 and 5
        return (gate * features + features) * self.factor, gate  # eq. 6
