"""Any image file as an upright RGB square, and any model's view of it as a picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from masll.errors import InputError
from masll.localization import threshold_mask
from masll.model import Masll

_LINE = (64, 224, 208)  # turquoise: far from skin and lesion, for colour-blind readers too


def read_rgb(path: Path) -> Image.Image:
    """An image file of any size and mode, turned as its EXIF orientation says, as RGB.

    Sixteen-bit grey values keep their relative brightness. Transparency is dropped.

    Raises:
        InputError: no such file, or nothing that can be decoded.
    """
    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I") or image.mode == "F":
                values = np.asarray(image, dtype=np.float64)
                top = 65535.0 if values.max(initial=0) > 255 else 255.0
                image = Image.fromarray((values.clip(0, top) * (255 / top)).astype(np.uint8))
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if str(path) in reason:  # Pillow names the file in some messages and not in others
            reason = "not an image, or cut off" if path.is_file() else "no such file"
        raise InputError(f"cannot read {path}: {reason}") from error


def as_input(images: Sequence[Image.Image], model: Masll) -> Tensor:
    """Images squashed to the model's source size and normalised: (B, 3, S, S) float32."""
    size = (model.source_size, model.source_size)
    squares = [np.asarray(image.resize(size, Image.Resampling.BICUBIC)) for image in images]
    batch = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).float() / 255  # (B, 3, S, S)
    mean = torch.tensor(model.mean).view(3, 1, 1)
    std = torch.tensor(model.std).view(3, 1, 1)
    return (batch - mean) / std


def draw_view(
    image: Image.Image,
    probability: float,
    box: Sequence[float] | None,
    activation: npt.NDArray[np.float32] | None,
    threshold_scale: float,
    side: int = 256,
) -> Image.Image:
    """What the network looked at: image with box, activation map, mask, crop, side by side.

    Args:
        box: x0, y0, x1, y1 as shares of the image; None without SLL, as is the map.
        activation: (H, W) >= 0.
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
        mask = threshold_mask(torch.from_numpy(activation)[None], threshold_scale)[0].numpy()
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
