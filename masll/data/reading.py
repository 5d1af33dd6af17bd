"""Image files as upright RGB squares: the one place that says how a file becomes pixels."""

from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from masll.common.errors import InputError

FITS = ("squash", "pad", "crop")
READ_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


class Frame(NamedTuple):
    """Where a square lies on an image, in the image's pixels; a padded one reaches outside."""

    left: float
    top: float
    width: float
    height: float


def read_rgb(path: Path) -> Image.Image:
    """An image file of any size and mode, turned as its EXIF orientation says, as RGB.

    Raises:
        InputError: no such file, or nothing that can be decoded.
    """
    try:
        return decode(path.read_bytes())
    except READ_ERRORS as error:
        raise unreadable(path, error) from error


def decode(content: bytes, at_least: int = 0) -> Image.Image:
    """The image in a file's bytes, upright, as RGB.

    Sixteen-bit grey values keep their relative brightness. Transparency is dropped.

    Args:
        at_least: a JPEG may be decoded at a reduced size (by 2, 4 or 8) while both sides stay at
            least so many pixels: several times as fast, and within 1/255 of the full one after
            the reduction to that size. 0 decodes at full size.

    Raises:
        OSError, SyntaxError, ValueError, DecompressionBombError: no image that can be decoded.
    """
    with Image.open(BytesIO(content)) as opened:
        if at_least:
            opened.draft("RGB", (at_least, at_least))
        image = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I") or image.mode == "F":
            values = np.asarray(image, dtype=np.float64)
            top = 65535.0 if values.max(initial=0) > 255 else 255.0
            image = Image.fromarray((values.clip(0, top) * (255 / top)).astype(np.uint8))
        return image.convert("RGB")


def frame_of(width: int, height: int, fit: str) -> Frame:
    """The part of an image that becomes the square.

    Args:
        fit: `squash` takes the whole frame and changes its proportions, as in the paper; `crop`
            takes the largest centred square; `pad` the smallest square around the image.
    """
    if fit == "squash":
        return Frame(0, 0, width, height)
    side = max(width, height) if fit == "pad" else min(width, height)
    return Frame((width - side) / 2, (height - side) / 2, side, side)


def to_square(image: Image.Image, size: int, fit: str) -> Image.Image:
    """An image brought to `size` pixels a side; what `pad` adds is black."""
    frame = frame_of(*image.size, fit)
    if fit == "pad":
        scale = size / frame.width
        inner = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        square = Image.new(image.mode, (size, size))
        corner = ((size - inner[0]) // 2, (size - inner[1]) // 2)
        square.paste(image.resize(inner, Image.Resampling.BICUBIC), corner)
        return square
    if image.size == (size, size):
        return image
    box = (frame.left, frame.top, frame.left + frame.width, frame.top + frame.height)
    return image.resize((size, size), Image.Resampling.BICUBIC, box=box)


def unreadable(path: Path, error: BaseException) -> InputError:
    """The error that names a file that cannot be decoded, and why."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    if isinstance(error, OSError) and error.strerror:
        reason = error.strerror
    elif not path.is_file():
        reason = "no such file"
    elif "<_io.BytesIO" in reason or str(path) in reason:
        reason = "not an image, or cut off"
    return InputError(f"cannot read {path}: {reason}")
