"""An image as a model's input, and the model's view of it as a picture."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from masll.data.reading import frame_of, to_square
from masll.inputs import InputSpec
from masll.localization import keep_largest, threshold_mask

_LINE = (64, 224, 208)  # turquoise: far from skin and lesion, for colour-blind readers too


def as_input(images: Sequence[Image.Image], inputs: InputSpec) -> Tensor:
    """Images as squares of the model's source size, normalised: (B, 3, S, S) float32."""
    squares = [np.asarray(to_square(image, inputs.source_size, inputs.fit)) for image in images]
    pixels = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).float()  # (B, 3, S, S)
    return inputs.normalisation()(pixels)


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
    threshold_scale: float | None,
    *,
    largest_component: bool = False,
    side: int = 256,
) -> Image.Image:
    """What the network looked at: image with box, activation map, mask, crop, side by side.

    Args:
        box: x0, y0, x1, y1 as shares of the image; None without SLL, as is the map.
        activation: (H, W) >= 0.
        threshold_scale: of SLL's mask; None where the box is not SLL's, and no mask is drawn.
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
        width, height = image.size
        crop = image.crop(
            (
                round(box[0] * width),
                round(box[1] * height),
                max(round(box[2] * width), round(box[0] * width) + 1),
                max(round(box[3] * height), round(box[1] * height) + 1),
            )
        )
        panels = [
            (f"melanoma {probability:.3f}", outlined),
            ("activation map", _tinted(square, heat)),
        ]
        if threshold_scale is not None:
            mask = threshold_mask(torch.from_numpy(activation)[None], threshold_scale)  # (1, H, W)
            seen = (keep_largest(mask) if largest_component else mask)[0].numpy()
            spotlit = _spotlit(square, seen.astype(np.float32))
            panels.append((f"mask, scale {threshold_scale:g}", spotlit))
        panels.append(("crop", crop.resize((side, side), Image.Resampling.BICUBIC)))
    caption = max(16, side // 12)
    sheet = Image.new("RGB", (side * len(panels), side + caption + 6), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(caption * 0.8)
    for column, (text, panel) in enumerate(panels):
        sheet.paste(panel, (column * side, caption + 6))
        draw.text((column * side + 4, 2), text, fill="black", font=font)
    return sheet


def _tinted(square: Image.Image, values: npt.NDArray[np.float32]) -> Image.Image:
    """A map in [0, 1] as a tint through which the lesion is seen, at most half of the colour."""
    opacity = _cells(0.5 * values, square.size)
    return Image.composite(Image.new("RGB", square.size, _LINE), square, opacity)


def _spotlit(square: Image.Image, mask: npt.NDArray[np.float32]) -> Image.Image:
    """What lies in a mask of 0 and 1 as it is, all else darkened."""
    darkened = Image.blend(Image.new("RGB", square.size), square, 0.35)
    return Image.composite(square, darkened, _cells(mask, square.size))


def _cells(values: npt.NDArray[np.float32], size: tuple[int, int]) -> Image.Image:
    """Cells of a map in [0, 1], each a square of one shade."""
    cells = Image.fromarray(np.round(values * 255).astype(np.uint8))
    return cells.resize(size, Image.Resampling.NEAREST)
