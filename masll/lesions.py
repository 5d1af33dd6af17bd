"""Rectangles of lesion masks, turned as their images are: what a perfect localizer would box."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from masll.data.split import Split, check_masked

_DIRECTIONS = 64  # in which a lesion's farthest point is kept
_BLOCK = 64  # masks read at once


class LesionBoxes:
    """The rectangles of a split's lesion masks, in an image's own position or turned.

    A mask is kept as its farthest points in 64 directions, the corners of its convex hull as far as
    these tell them apart: their rectangle is that of the mask at right angles, and within a
    thousandth of its size at others. What a turn brings in of it by reflection does not count.

    Raises:
        InputError: an image has no mask.
    """

    def __init__(self, split: Split) -> None:
        check_masked(split)
        assert split.masks is not None
        self._side = split.images.shape[-1]
        blocks = [slice(start, start + _BLOCK) for start in range(0, len(split), _BLOCK)]
        corners = [farthest_points(mask) for block in blocks for mask in split.masks[block]]
        self._points = torch.from_numpy(np.stack(corners))  # (N, 64, 2)

    def __call__(self, chosen: npt.NDArray[np.int64], turns: Tensor | None = None) -> Tensor:
        """Boxes of some images of the split: (B, 4) int64 in source pixels, half open.

        Args:
            chosen: (B,), rows of the split.
            turns: (B, 2, 2), as `masll.augment.turn` takes them.
        """
        points = self._points[torch.from_numpy(chosen)]  # (B, 64, 2) of x, y
        if turns is not None:  # a turn says where a pixel comes from, and its transpose where to
            points = points @ turns.to(points.dtype)
        pixels = (points + 1) * (self._side / 2)
        # Rounding must not add a pixel where a corner lies on an edge.
        low = (pixels.amin(dim=1) + 1e-3).floor().clamp(0, self._side - 1)
        high = (pixels.amax(dim=1) - 1e-3).ceil().clamp(1, self._side)
        return torch.cat([low, torch.maximum(high, low + 1)], dim=1).long()


def farthest_points(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """The farthest corner of a lesion in each of 64 directions, as the image spans -1 to 1.

    Args:
        mask: (S, S), 1 = lesion. An empty one counts as the whole image.

    Returns:
        (64, 2) of x, y.
    """
    inside = mask.astype(bool) if mask.any() else np.ones_like(mask, dtype=bool)
    side = len(mask)
    rows = np.flatnonzero(inside.any(axis=1))
    first = inside[rows].argmax(axis=1)
    last = side - inside[rows][:, ::-1].argmax(axis=1)
    x = np.concatenate([first, first, last, last])
    y = np.concatenate([rows, rows + 1, rows, rows + 1])
    corners = np.stack([x, y], axis=1) * (2 / side) - 1
    angles = np.arange(_DIRECTIONS) * (2 * np.pi / _DIRECTIONS)
    farthest = (corners @ np.stack([np.cos(angles), np.sin(angles)])).argmax(axis=0)
    return corners[farthest].astype(np.float32)
