"""Batched augmentation on the training device: any-angle rotation and flips, as in the paper."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def rotate_and_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Turn each image by its own angle and mirror it or not: (B, 3, S, S) float -> the same.

    Angles are uniform over the circle, each flip has probability 1/2. What a rotation brings in
    from outside the frame is the frame's reflection.

    Args:
        generator: on the CPU, so that one seed gives one augmentation on every device.
    """
    batch = len(images)
    angle = torch.rand(batch, generator=generator) * (2 * math.pi)
    mirror = torch.randint(0, 2, (batch, 2), generator=generator) * 2.0 - 1.0  # (B, 2): -1 or 1
    cos, sin = angle.cos(), angle.sin()
    turn = torch.zeros(batch, 2, 3)
    turn[:, 0, 0], turn[:, 0, 1] = cos * mirror[:, 0], -sin * mirror[:, 1]
    turn[:, 1, 0], turn[:, 1, 1] = sin * mirror[:, 0], cos * mirror[:, 1]
    turn = turn.to(images.device, non_blocking=True)
    grid = F.affine_grid(turn, list(images.shape), align_corners=False)  # (B, S, S, 2)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
