"""Boxes that do not come from SLL: controls that show what localization itself adds.

Each takes the place of SLL's box, everything else alike (`ModelConfig.box`). Batched, on the
device; boxes are (B, 4) of int64, x0, y0, x1, y1 in source pixels, half open.
"""

import torch
from torch import Tensor

from masll.localization import (
    BoxRule,
    Localization,
    adjust_boxes,
    mask_to_box,
    resize,
    scale_boxes,
)

_MAP = 64  # side of the darkness map
_LEVELS = 64  # of darkness, among which Otsu's threshold is chosen


def replace_boxes(
    found: Localization, box: str, images: Tensor, rule: BoxRule, lesions: Tensor | None
) -> Localization:
    """A localization whose boxes come from elsewhere; the activation map stays.

    Args:
        found: by SLL.
        box: one of `masll.config.BOXES`.
        images: (B, 3, S, S) in grey values that are comparable over channels.
        rule: what is done to boxes beyond the paper, for those of darkness and mask, too.
        lesions: (B, 4), the rectangles of lesion masks, for `mask` alone.

    Raises:
        ValueError: `mask` without lesions.
    """
    if box == "sll":
        return found
    side = images.shape[-1]
    nowhere = torch.zeros_like(found.fallback)
    if box == "shuffled":
        return shuffled(found)
    if box == "darkness":
        boxes = adjust_boxes(dark_boxes(images), side, rule)
        return found._replace(boxes=boxes, fallback=nowhere)
    if box == "mask":
        if lesions is None:
            raise ValueError("box 'mask' needs the lesions' rectangles")
        return found._replace(boxes=adjust_boxes(lesions, side, rule), fallback=nowhere)
    boxes = torch.zeros_like(found.boxes)
    margin = side // 4 if box == "centre" else 0
    boxes[:, :2], boxes[:, 2:] = margin, side - margin
    return found._replace(boxes=boxes, fallback=nowhere)


def shuffled(found: Localization) -> Localization:
    """The boxes of other images of the batch: half a batch away, as neighbours may be alike.

    They keep SLL's sizes and its bias for the centre. A batch of one image keeps its own.
    """
    away = len(found.boxes) // 2
    return found._replace(boxes=found.boxes.roll(away, 0), fallback=found.fallback.roll(away, 0))


def dark_boxes(images: Tensor) -> Tensor:
    """Around the largest dark region of each image: (B, 3, S, S) -> (B, 4) in its pixels."""
    mask = dark_mask(images)
    cells = mask_to_box(mask, largest_component=True)
    return scale_boxes(cells, mask.shape[-2:], images.shape[-1])


def dark_mask(images: Tensor) -> Tensor:
    """Where an image is dark, by Otsu's threshold: (B, 3, S, S) -> bool (B, 64, 64).

    A uniform image is dark everywhere.
    """
    grey = resize(images, min(_MAP, images.shape[-1])).mean(dim=1, dtype=torch.float32)
    lowest, highest = grey.amin(dim=(1, 2), keepdim=True), grey.amax(dim=(1, 2), keepdim=True)
    scaled = (grey - lowest) / (highest - lowest).clamp(min=1e-6) * (_LEVELS - 1)
    levels = scaled.round().long()  # (B, H, W), 0 the darkest
    return levels <= otsu_threshold(levels)[:, None, None]


def otsu_threshold(levels: Tensor) -> Tensor:
    """The level that parts each image best, the darker class being at or below it.

    It maximizes the variance between the two classes: N. Otsu, "A Threshold Selection Method from
    Gray-Level Histograms", IEEE Trans. SMC 9, 1979, eq. 18. The lowest of equals.

    >>> otsu_threshold(torch.tensor([[[10, 11], [50, 52]]]))
    tensor([11])

    Args:
        levels: (B, H, W) int64, from 0 to 63.

    Returns:
        (B,) int64.
    """
    flat = levels.flatten(1)  # (B, N)
    ones = torch.ones_like(flat, dtype=torch.float64)
    counts = ones.new_zeros(len(flat), _LEVELS).scatter_add_(1, flat, ones)
    share = counts / flat.shape[1]  # (B, 64), probability of each level
    below = share.cumsum(1)  # omega of eq. 2
    moment = (share * torch.arange(_LEVELS, device=levels.device)).cumsum(1)  # mu of eq. 5
    between = (moment[:, -1:] * below - moment) ** 2 / (below * (1 - below)).clamp(min=1e-12)
    # Rounding at the ends must not win over what is flat.
    between = torch.where((below > 1e-9) & (below < 1 - 1e-9), between, 0.0)
    return between.argmax(dim=1)
