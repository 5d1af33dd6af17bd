"""SLL, skin lesion localization (section II-A of the paper): from features to the lesion's crop.

features -> activation map (eq. 1) -> mask (eq. 2) -> bounding box -> crop. Everything is batched,
stays on the tensors' device and never waits for it. Boxes are half open, (x0, y0, x1, y1), so
that `image[y0:y1, x0:x1]` is the crop; where a mask is empty the box is the whole image.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from masll.devices import without_autocast


class Localization(NamedTuple):
    """Where the network looks."""

    boxes: Tensor  # (B, 4) int64, source pixels, half open
    activation_map: Tensor  # (B, H, W) >= 0
    fallback: Tensor  # (B,) bool: nothing passed the threshold, the box is the whole image


class BoxRule(NamedTuple):
    """What is done to the map and the box beyond the paper; the defaults do nothing."""

    map_size: int = 0  # bring the map to this side before the threshold; 0 leaves it
    largest_component: bool = False  # box the largest 8-connected part of the mask only
    padding: float = 0.0  # widen the box on each side by this share of its side
    min_side: float = 0.0  # least side of the box, as a share of the image
    square: bool = False


PAPER = BoxRule()


@torch.no_grad()
def localize(
    features: Tensor, scale: float, source_size: int, rule: BoxRule = PAPER
) -> Localization:
    """The lesion's box in an image of side `source_size`, from the global branch's features.

    Args:
        features: (B, K, H, W) of the whole image.
        scale: the threshold scale, T = scale x spatial mean.
        source_size: side of the square source image in pixels.
        rule: what to do beyond the paper.
    """
    activation = activation_map(features)  # (B, H, W)
    if rule.map_size:
        activation = F.interpolate(
            activation[:, None], (rule.map_size, rule.map_size), mode="bilinear"
        )[:, 0]  # (B, map_size, map_size)
    mask = threshold_mask(activation, scale)  # (B, H, W)
    cells = mask_to_box(mask, rule.largest_component)
    boxes = scale_boxes(cells, mask.shape[-2:], source_size)  # (B, 4)
    boxes = adjust_boxes(boxes, source_size, rule)
    return Localization(boxes, activation, fallback=~mask.any(dim=(1, 2)))


def activation_map(features: Tensor) -> Tensor:
    """Mean over the channels, eq. 1: (B, K, H, W) -> (B, H, W), at least float32.

    A negative feature counts as 0, so that the map measures activation whatever the backbone's
    last non-linearity is, and a threshold proportional to its mean is never negative.
    """
    dtype = torch.promote_types(features.dtype, torch.float32)
    return features.clamp(min=0).mean(dim=1, dtype=dtype)


def threshold_mask(activation: Tensor, scale: float) -> Tensor:
    """M' = M >= T with T = scale x spatial mean of M, eq. 2: (B, H, W) -> bool (B, H, W).

    Negative values count as 0. A larger scale never gives a larger mask.

    >>> threshold_mask(torch.tensor([[[0.0, 1.0], [2.0, 5.0]]]), scale=1.0).int()
    tensor([[[0, 0],
             [1, 1]]], dtype=torch.int32)
    """
    activation = activation.clamp(min=0)
    lowest = activation.amin(dim=(1, 2), keepdim=True)  # (B, 1, 1)
    # The mean as lowest + mean excess: exact for a flat map, which a rounded mean would empty.
    mean = lowest + (activation - lowest).mean(dim=(1, 2), keepdim=True)
    return activation >= scale * mean


def mask_to_box(mask: Tensor, largest_component: bool = False) -> Tensor:
    """Bounding rectangle of the true cells: bool (B, H, W) -> int64 (B, 4), half open, in cells.

    >>> mask_to_box(torch.tensor([[[False, False, True], [False, False, True]]]))
    tensor([[2, 0, 3, 2]])

    Args:
        mask: any shape (B, H, W) with H, W >= 1. An empty mask gives the whole map.
        largest_component: bound the largest 8-connected component only (see `keep_largest`).
    """
    if largest_component:
        mask = keep_largest(mask)
    mask = mask | ~mask.any(dim=(1, 2), keepdim=True)
    x0, x1 = _extent(mask.any(dim=1))
    y0, y1 = _extent(mask.any(dim=2))
    return torch.stack([x0, y0, x1, y1], dim=1)


def keep_largest(mask: Tensor) -> Tensor:
    """Only the largest 8-connected component of each mask: bool (B, H, W) -> bool (B, H, W).

    Of components of equal size the one that ends last in reading order stays.

    Connected components by hooking and pointer jumping (Shiloach and Vishkin, 1982), with a
    fixed number of rounds that is logarithmic in the number of cells: no round asks the host
    whether it was the last.
    """
    batch, height, width = mask.shape
    cells = height * width
    inside = mask.flatten(1)  # (B, N)
    # A label is the index of a cell of the same component plus one; 0 is outside.
    labels = torch.arange(1, cells + 1, device=mask.device).expand(batch, cells) * inside
    for _ in range(2 * math.ceil(math.log2(cells)) + 2 if cells > 1 else 0):
        grid = labels.view(batch, 1, height, width).to(torch.float64)
        highest = F.max_pool2d(grid, 3, stride=1, padding=1).long().flatten(1) * inside  # (B, N)
        # Hook the root of every cell under the highest label that the cell sees, then jump.
        table = F.pad(labels, (1, 0))  # (B, N + 1): where each label points
        table = table.scatter_reduce(1, labels, highest, reduce="amax")
        table = table.gather(1, table)
        labels = table.gather(1, torch.maximum(highest, table[:, 1:]) * inside)
    sizes = torch.zeros(batch, cells + 1, dtype=torch.int64, device=mask.device)
    sizes = sizes.scatter_add(1, labels, inside.long())
    # argmax takes the first of equals on some devices and any on others: break ties ourselves.
    order = sizes * (cells + 1) + torch.arange(cells + 1, device=mask.device)
    order[:, 0] = -1
    return ((labels == order.argmax(dim=1, keepdim=True)) & inside).view(batch, height, width)


def scale_boxes(boxes: Tensor, map_shape: tuple[int, int] | torch.Size, source_size: int) -> Tensor:
    """Boxes in cells of an (H, W) map as boxes in pixels, rounded outwards: int64 (B, 4)."""
    height, width = map_shape
    x0, y0, x1, y1 = (boxes * source_size).unbind(1)  # (B,) each
    right, bottom = x1 + (width - 1), y1 + (height - 1)  # so that // rounds them up
    return torch.stack([x0 // width, y0 // height, right // width, bottom // height], dim=1)


def adjust_boxes(boxes: Tensor, source_size: int, rule: BoxRule) -> Tensor:
    """Pad, enlarge and square boxes as `rule` says: int64 (B, 4) -> int64 (B, 4), inside the image.

    A box grows about its centre, and is moved, not cut, where it would leave the image; so it
    always contains the box that came in.
    """
    if not (rule.padding or rule.min_side or rule.square):
        return boxes
    low, high = boxes[:, :2].double(), boxes[:, 2:].double()  # (B, 2) each: x, y
    side = (high - low) * (1 + 2 * rule.padding)
    side = side.clamp(min=rule.min_side * source_size)
    if rule.square:
        side = side.amax(dim=1, keepdim=True).expand_as(side)
    side = side.ceil().clamp(max=source_size)  # (B, 2) whole pixels
    start = ((low + high - side) / 2).floor()
    start = torch.minimum(start, low)  # an odd pixel left over never uncovers the box
    start = torch.maximum(start, high - side).clamp(min=0)
    start = torch.minimum(start, source_size - side)
    return torch.cat([start, start + side], dim=1).long()


def crop_and_resize(images: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Cut each box out of its image and resize it: (B, 3, S, S) -> (B, 3, size, size).

    Each output pixel is the mean of n x n bilinear samples, n being the least number that leaves
    no source pixel out, however large the box: 1 for S <= 2 size, 2 for S <= 4 size, and so on.
    With n = 1 a box of `size` x `size` pixels is copied as it is.

    >>> image = torch.arange(16.0).view(1, 1, 4, 4).expand(1, 3, 4, 4)
    >>> crop_and_resize(image, torch.tensor([[1, 0, 3, 2]]), size=2)[0, 0]
    tensor([[1., 2.],
            [5., 6.]])

    Args:
        images: (B, 3, S, S) float.
        boxes: (B, 4), x0, y0, x1, y1 in source pixels, half open.
        size: side of the result in pixels.
    """
    source_size = images.shape[-1]
    samples = math.ceil(source_size / (2 * size))
    low, high = boxes[:, :2].to(images.dtype), boxes[:, 2:].to(images.dtype)  # (B, 2) each: x, y
    # In the coordinates of grid_sample an image spans -1 to 1, edge to edge.
    transform = images.new_zeros(len(boxes), 2, 3)
    transform[:, 0, 0], transform[:, 1, 1] = ((high - low) / source_size).unbind(1)
    transform[:, :, 2] = (low + high) / source_size - 1
    side = size * samples
    # Under autocast affine_grid would be a product in bfloat16: off by up to two pixels at 1,024.
    with without_autocast(images.device):
        grid = F.affine_grid(transform, [len(boxes), 3, side, side], align_corners=False)
        crops = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return F.avg_pool2d(crops, samples) if samples > 1 else crops  # (B, 3, size, size)


def resize(images: Tensor, size: int) -> Tensor:
    """Each whole image by the rule of `crop_and_resize`: (B, 3, S, S) -> (B, 3, size, size)."""
    batch, _, height, width = images.shape
    if height == width == size:
        return images
    whole = images.new_zeros(batch, 4)
    whole[:, 2], whole[:, 3] = width, height
    return crop_and_resize(images, whole, size)


def box_area(boxes: Tensor, source_size: int) -> Tensor:
    """Share of the image inside each box: (B, 4) -> (B,) in (0, 1]."""
    sides = (boxes[:, 2:] - boxes[:, :2]).double() / source_size  # (B, 2)
    return sides.prod(dim=1)


def _extent(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """First and one past the last true index of each row: bool (B, N) -> two (B,) of int64."""
    size = occupied.shape[1]
    index = torch.arange(size, device=occupied.device)
    first = torch.where(occupied, index, size).amin(dim=1)
    last = torch.where(occupied, index, -1).amax(dim=1)
    return first, last + 1
