"""Boxes against lesion masks: how well the localizer finds the lesion, scale by scale.

For each threshold scale, beside boxes without a network: the whole frame, a centred box of half the
side, the constant box that suits these very masks best, and the largest dark region; and beside the
best that a map of its size could do.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from masll.boxes import dark_boxes
from masll.common.errors import InputError
from masll.common.escaping import csv_lines
from masll.data.split import Split
from masll.loading import Loader, batches
from masll.localization import (
    Localization,
    activation_map,
    localize,
    mask_to_box,
    resize,
    scale_boxes,
)
from masll.model import Masll, box_rule

_BATCH = 50
_GRID = 16  # of candidate corners for the best constant box


@dataclass(frozen=True)
class AuditRow:
    """How one way of placing boxes does on a set of images; shares and ratios from 0 to 1."""

    box: str  # "scale 1.00", "whole frame", ...
    threshold_scale: float | None
    iou: float  # mean intersection over union with the mask's bounding rectangle
    lesion_inside: float  # mean share of the lesion's pixels inside the box
    lesion_share: float  # mean share of the box's pixels that are lesion
    area: float  # mean share of the image inside the box
    fallback_rate: float | None  # share of images whose mask was empty
    images: int


@torch.inference_mode()
def audit(model: Masll, split: Split, scales: Sequence[float]) -> list[AuditRow]:
    """Rows for boxes without a network and for what a map could do, then for each scale.

    `perfect map` is the lesion's rectangle rounded outwards to the cells of the model's map: no
    threshold of that map can do better. Images whose mask is empty are left out.

    Raises:
        InputError: the split has no lesion masks.
    """
    with_mask = lesioned(split)
    assert split.masks is not None
    masks = torch.from_numpy(split.masks[with_mask]).bool()  # (N, S, S)
    split = split.select(with_mask)
    lesions = mask_to_box(masks)  # (N, 4)
    inside = _integral(masks)  # (N, S + 1, S + 1)
    side = masks.shape[1]
    quarter = side // 4
    whole = torch.tensor([0, 0, side, side])
    centred = torch.tensor([quarter, quarter, side - quarter, side - quarter])
    trivial = {
        "whole frame": whole,
        "centred half": centred,
        "best constant": best_constant_box(lesions, side),
    }
    maps, own = global_maps(model, split, scales)
    boxes = {name: box.expand(len(masks), 4) for name, box in trivial.items()}
    loader = Loader(model.inputs, torch.device("cpu"))
    every = batches(np.arange(len(split)), _BATCH)
    boxes["darkness"] = torch.cat([dark_boxes(loader.images(split, rows)) for rows in every])
    boxes["perfect map"] = on_grid(lesions, maps.shape[-2:], side)
    rows = [_row(name, None, each, lesions, inside, None) for name, each in boxes.items()]
    for scale in scales:
        location = own.get(scale) or localize(maps, scale, side, box_rule(model.config))
        fallback = float(location.fallback.float().mean())
        rows.append(_row(f"scale {scale:g}", scale, location.boxes, lesions, inside, fallback))
    return rows


def lesioned(split: Split) -> npt.NDArray[np.int64]:
    """Rows of a split whose mask is there and not empty.

    Raises:
        InputError: there are none.
    """
    if split.masks is None or split.masked is None:
        raise InputError(f"the {split.name} images have no lesion masks; choose another --split")
    with_mask = np.flatnonzero(split.masked)
    rows = [row for row in with_mask if split.masks[row : row + 1].any()]
    if not rows:
        raise InputError(
            f"the masks of the {split.name} images are all empty; choose another --split"
        )
    return np.array(rows, dtype=np.int64)


def on_grid(boxes: Tensor, cells: Sequence[int], side: int) -> Tensor:
    """Boxes rounded outwards to the cells of an (H, W) map: (N, 4) of int64 in pixels."""
    height, width = cells
    scale = torch.tensor([width, height])
    low = boxes[:, :2] * scale // side
    high = -(-boxes[:, 2:] * scale // side)
    return scale_boxes(torch.cat([low, high], dim=1), (height, width), side)


def global_maps(
    model: Masll, split: Split, scales: Sequence[float] = ()
) -> tuple[Tensor, dict[float, Localization]]:
    """What the global branch gives a localizer, batch by batch.

    Returns:
        Activation maps as features of one channel, all that SLL needs: (N, 1, H, W) on the CPU;
        and what a user's own localizer finds in the whole features, at each scale.
    """
    maps: list[Tensor] = []
    found: dict[float, list[Localization]] = {scale: [] for scale in scales if model.localizer}
    for features, side in features_of(model.eval(), split):
        maps.append(activation_map(features).cpu())
        for scale, batch in found.items():
            assert model.localizer is not None
            where = model.localizer(features, scale, side, box_rule(model.config))
            batch.append(Localization(*(each.cpu() for each in where)))
    own = {
        scale: Localization(*map(torch.cat, zip(*found_there, strict=True)))
        for scale, found_there in found.items()
    }
    return torch.cat(maps)[:, None], own


@torch.inference_mode()
def features_of(model: Masll, split: Split) -> Iterator[tuple[Tensor, int]]:
    """The global branch's features, batch by batch, and the side of the images in pixels.

    The model is in the mode that it is in.

    Returns:
        (B, K, H, W) on the model's device; images in the order of the split.
    """
    loader = Loader(model.inputs, next(model.parameters()).device)
    for rows in batches(np.arange(len(split)), _BATCH):
        images = loader.images(split, rows)  # (B, 3, S, S)
        yield model.global_branch(resize(images, model.config.image_size)), images.shape[3]


def best_constant_box(lesions: Tensor, side: int) -> Tensor:
    """Of all boxes on a 16 x 16 grid, the one with the highest mean IoU: (N, 4) -> (4,) int64."""
    edges = torch.linspace(0, side, _GRID + 1).round().long()
    pairs = torch.combinations(edges)  # (P, 2): low < high
    x, y = torch.meshgrid(torch.arange(len(pairs)), torch.arange(len(pairs)), indexing="ij")
    xs, ys = pairs[x.flatten()], pairs[y.flatten()]  # (P * P, 2) each
    candidates = torch.stack([xs[:, 0], ys[:, 0], xs[:, 1], ys[:, 1]], dim=1)
    total = torch.zeros(len(candidates), dtype=torch.float64)
    for lesion in lesions:
        total += box_iou(candidates, lesion.expand_as(candidates))
    return candidates[total.argmax()]


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes row by row: two (N, 4) of int64 -> (N,) float64."""
    low, high = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])
    overlap = (high - low).clamp(min=0).prod(dim=1)
    union = (a[:, 2:] - a[:, :2]).prod(dim=1) + (b[:, 2:] - b[:, :2]).prod(dim=1) - overlap
    return overlap.double() / union


def _row(
    name: str,
    scale: float | None,
    boxes: Tensor,
    lesions: Tensor,
    inside: Tensor,
    fallback_rate: float | None,
) -> AuditRow:
    n, side = len(boxes), inside.shape[1] - 1
    x0, y0, x1, y1 = boxes.unbind(1)
    images = torch.arange(n)
    held = (
        inside[images, y1, x1]
        - inside[images, y0, x1]
        - inside[images, y1, x0]
        + inside[images, y0, x0]
    ).double()
    area = ((x1 - x0) * (y1 - y0)).double()
    lesion = inside[:, -1, -1].clamp(min=1).double()
    return AuditRow(
        box=name,
        threshold_scale=scale,
        iou=float(box_iou(boxes, lesions).mean()),
        lesion_inside=float((held / lesion).mean()),
        lesion_share=float((held / area).mean()),
        area=float(area.mean()) / side**2,
        fallback_rate=fallback_rate,
        images=n,
    )


def _integral(masks: Tensor) -> Tensor:
    """Lesion pixels above and left of each corner: bool (N, S, S) -> int32 (N, S + 1, S + 1)."""
    sums = masks.to(torch.int32).cumsum(1, dtype=torch.int32).cumsum(2, dtype=torch.int32)
    return torch.nn.functional.pad(sums, (1, 0, 1, 0))


def draw(rows: Sequence[AuditRow], path: Path) -> None:
    """IoU and shares by threshold scale, the trivial boxes as level lines.

    Raises:
        InputError: matplotlib is not installed; nothing else here needs it.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise InputError("the figure needs matplotlib; install it, or leave --out out") from error
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    scaled = [row for row in rows if row.threshold_scale is not None]
    scales = [row.threshold_scale for row in scaled]
    titles = {
        "iou": "IoU with the lesion's rectangle",
        "lesion_inside": "share of the lesion inside",
        "lesion_share": "share of the box that is lesion",
    }
    # Okabe and Ito 2008
    colours = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9")
    for axes, (name, title) in zip(figure.subplots(1, 3), titles.items(), strict=True):
        axes.plot(
            scales,
            [getattr(row, name) for row in scaled],
            "o-",
            color=colours[0],
            label="localizer",
        )
        trivial = [row for row in rows if row.threshold_scale is None]
        styles = ("--", "-.", ":", (0, (1, 3)), (0, (5, 5)))
        for row, colour, style in zip(trivial, colours[1:], styles, strict=True):
            axes.axhline(getattr(row, name), color=colour, linestyle=style, label=row.box)
        axes.set(title=title, xlabel="threshold scale", ylim=(0, 1))
    figure.axes[0].set_ylabel(f"mean over {rows[0].images} images")
    figure.axes[0].legend(fontsize="small")
    figure.savefig(path, dpi=150)


def write_csv(rows: Sequence[Any], path: Path) -> None:
    """Instances of one dataclass as a table, a column a field."""
    names = [field.name for field in dataclasses.fields(rows[0])]
    path.write_text(csv_lines(names, map(dataclasses.astuple, rows)))
