"""An image as a model's input, and the model's view of it as a picture."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from masll.data.reading import frame_of, to_square
from masll.localization import keep_largest, threshold_mask
from masll.model import Masll

_LINE = (64, 224, 208)  # turquoise: far from skin and lesion, for colour-blind readers too


def as_input(images: Sequence[Image.Image], model: Masll) -> Tensor:
    """Images as squares of the model's source size, normalised: (B, 3, S, S) float32."""
    squares = [np.asarray(to_square(image, model.source_size, model.fit)) for image in images]
    batch = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).float() / 255  # (B, 3, S, S)
    mean = torch.tensor(model.mean).view(3, 1, 1)
    std = torch.tensor(model.std).view(3, 1, 1)
    return (batch - mean) / std


def box_on_image(box: Sequence[float], image: Image.Image, fit: str) -> list[float]:
    """A box as shares of the square that an image became, as shares of the image itself."""
    frame = frame_of(*image.size, fit)
    x0, y0, x1, y1 = box
    xs = [(frame.left + x * frame.width) / image.width for x in (x0, x1)]
    ys = [(frame.top + y * frame.height) / image.height for y in (y0, y1)]
    corners = (xs[0], ys[0], xs[1], ys[1])
    return [min(max(corner, 0.0), 1.0) for corner in corners]


def draw_view(
    image: Image.Image,
    probability: float,
    box: Sequence[float] | None,
    activation: npt.NDArray[np.float32] | None,
    threshold_scale: float,
    *,
    largest_component: bool = False,
    side: int = 256,
) -> Image.Image:
    """What the network looked at: image with box, activation map, mask, crop, side by side.

    Args:
        box: x0, y0, x1, y1 as shares of the image; None without SLL, as is the map.
        activation: (H, W) >= 0.
        largest_component: whether the box bounds the mask's largest component only.
        side: of each panel in pixels.
    """
    square = image.resize((side, side), Image.Resampling.BICUBIC)
    panels = [(f"melanoma {probability:.3f}", square)]
    if box is not None and activation is not None:
        corners = [share * side for share in box]
        outlined = square.copy()
        ImageDraw.Draw(outlined).rectangle(
            (corners[0], corners[1], corners[2] - 1, corners[3] - 1), outline=_LINE, width=3
        )
        heat = activation / max(float(activation.max()), 1e-12)
        found = threshold_mask(torch.from_numpy(activation)[None], threshold_scale)  # (1, H, W)
        mask = (keep_largest(found) if largest_component else found)[0].numpy()
        width, height = image.size
        crop = image.crop(
            (round(box[0] * width), round(box[1] * height),
             max(round(box[2] * width), round(box[0] * width) + 1),
             max(round(box[3] * height), round(box[1] * height) + 1))
        )  # fmt: skip
        panels = [
            (f"melanoma {probability:.3f}", outlined),
            ("activation map", _overlay(square, heat)),
            (f"mask, scale {threshold_scale:g}", _overlay(square, mask.astype(np.float32))),
            ("crop", crop.resize((side, side), Image.Resampling.BICUBIC)),
        ]
    caption = max(16, side // 12)
    sheet = Image.new("RGB", (side * len(panels), side + caption + 6), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(caption * 0.8)
    for place, (text, panel) in enumerate(panels):
        sheet.paste(panel, (place * side, caption + 6))
        draw.text((place * side + 4, 2), text, fill="black", font=font)
    return sheet


def _overlay(square: Image.Image, values: npt.NDArray[np.float32]) -> Image.Image:
    """Cells of a map in [0, 1] laid over an image, each cell a square of one shade."""
    cells = Image.fromarray((values * 200).astype(np.uint8))
    opacity = cells.resize(square.size, Image.Resampling.NEAREST)
    return Image.composite(Image.new("RGB", square.size, _LINE), square, opacity)
