"""WFI, weighted feature integration (section II-B of the paper): a gate on pooled features."""

import torch
from torch import Tensor, nn

# At the start the gate adds sigmoid(-3) = 5 % of the features to themselves, so that a gated
# network begins as plain concatenation does, and is as stable at every learning rate searched.
# From a bias of 0 it would begin with 1.5 x the features: over the first steps at a rate of 0.1
# its loss then peaks at four times that of concatenation (tests/benchmarks/gate.py).
_INITIAL_BIAS = -3.0


class WeightedFeatureIntegration(nn.Module):
    """mu = linear(F); mu^ = sigmoid(mu); F' = mu^ x F + F (equations 4, 5, 6).

    The gate has one weight per channel, and global average pooling is linear in each channel:
    gating the pooled vector equals pooling the gated map. So F is the pooled vector.

    Args:
        channels: C, the length of F = concat(g, l) (eq. 3), or of g or l alone.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weigh = nn.Linear(channels, channels)
        nn.init.zeros_(self.weigh.weight)
        nn.init.constant_(self.weigh.bias, _INITIAL_BIAS)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """F of (B, C) -> F' of (B, C), and the gate mu^ of (B, C) in (0, 1)."""
        gate = torch.sigmoid(self.weigh(features))  # (B, C), eq. 4 and 5
        return gate * features + features, gate  # eq. 6
