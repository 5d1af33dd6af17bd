"""Image files as upright RGB squares, masks as two values: the one place that says how a file
becomes pixels.

What a number means follows from its type alone (8 bits to 255, 16 to 65,535), never from the other
values of the same picture: an image whose type says nothing of its range is refused.
"""

from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

# np.unique imports it when first called, which is no safe thing in two threads at once: one of them
# sees numpy.ma whole, but not yet as a name of NumPy's, and ends in a RecursionError.
import numpy.ma
import numpy.typing as npt
from PIL import ExifTags, Image

from masll.common.errors import InputError
from masll.common.storage.regular import read_regular

FITS = ("squash", "pad", "crop")
READ_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)

# Pillow knows more, among them PostScript, for which it starts another program.
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "JPEG2000", "GIF", "PPM")
# What the values 2 to 8 of EXIF's orientation ask for; 5 to 8 exchange width and height.
_TURNS = dict(
    zip(
        range(2, 9),
        (
            Image.Transpose.FLIP_LEFT_RIGHT,
            Image.Transpose.ROTATE_180,
            Image.Transpose.FLIP_TOP_BOTTOM,
            Image.Transpose.TRANSPOSE,
            Image.Transpose.ROTATE_270,
            Image.Transpose.TRANSVERSE,
            Image.Transpose.ROTATE_90,
        ),
        strict=True,
    )
)


class Frame(NamedTuple):
    """Where a square lies on an image, in the image's pixels; a padded one reaches outside."""

    left: float
    top: float
    width: float
    height: float


class Mask(NamedTuple):
    """A lesion mask as its file has it, upright."""

    lesion: Image.Image  # of mode L, nothing but 0 and 255
    many_valued: bool  # it was of more than two values, and cut at half of their range


def read_rgb(path: Path) -> Image.Image:
    """An image file of any size and mode, turned as its EXIF orientation says, as RGB.

    Raises:
        InputError: no such file, or nothing that can be decoded.
    """
    try:
        return decode(read_regular(path))
    except READ_ERRORS as error:
        raise unreadable(path, error) from error


def decode(content: bytes, at_least: int = 0) -> Image.Image:
    """The image in a file's bytes, upright, as RGB.

    Of sixteen bits the upper eight are kept. Transparency is dropped.

    Args:
        at_least: a JPEG may be decoded at a reduced size (by 2, 4 or 8) while both sides stay at
            least so many pixels: several times as fast, and within 1/255 of the full one after
            the reduction to that size. 0 decodes at full size.

    Raises:
        OSError, SyntaxError, ValueError, DecompressionBombError: no image that can be decoded, or
            one of a type that says nothing of its range (32 bits, floating point).
    """
    with Image.open(BytesIO(content), formats=FORMATS) as opened:
        if at_least:
            opened.draft("RGB", (at_least, at_least))
        image = _upright(opened, orientation_of(opened))
        if image.mode.startswith("I;16"):
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        elif image.mode in ("I", "F"):
            raise ValueError(
                f"its pixels are {'integers of 32 bits' if image.mode == 'I' else 'floats'}, which "
                "do not say what white is; save it with 8 or 16 bits"
            )
        return image.convert("RGB")


def decode_mask(content: bytes, image: bytes | None = None) -> Mask:
    """The lesion in the bytes of a mask file.

    Of two values the greater is the lesion, whatever they are; a single value is the lesion unless
    it is 0. Of a palette index 0 is the background; of colours, black; and where there is
    transparency, what cannot be seen. More values (a smooth edge, the noise of a JPEG) are cut at
    half of the type's range.

    Args:
        image: the bytes of the image that it is of. A mask that says nothing of its orientation
            and has the size of the image as it is stored, not as it is seen, is turned like it.

    Raises:
        OSError, SyntaxError, ValueError, DecompressionBombError: as `decode`; or there are many
            values, none of which is above half of the range.
    """
    with Image.open(BytesIO(content), formats=FORMATS) as opened:
        orientation = orientation_of(opened)
        if orientation == 1 and image is not None:
            orientation = _of_its_image(opened.size, image)
        # What a lossy format holds are shades, never codes of classes.
        lesion, many_valued = _lesion(_upright(opened, orientation), opened.format == "JPEG")
    return Mask(Image.fromarray(lesion.astype(np.uint8) * 255), many_valued)


def orientation_of(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 where it says none, or nothing that can be understood."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # whatever is wrong with the metadata, the pixels may be sound
        return 1
    return value if value in _TURNS else 1


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of an opened image as it is seen."""
    width, height = image.size
    return (height, width) if orientation_of(image) >= 5 else (width, height)


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    image.load()
    return image if orientation == 1 else image.transpose(_TURNS[orientation])


def _of_its_image(size: tuple[int, int], content: bytes) -> int:
    """The orientation of a mask without one, by the image that it is of."""
    with Image.open(BytesIO(content), formats=FORMATS) as image:
        return orientation_of(image) if size == image.size != upright_size(image) else 1


def _lesion(mask: Image.Image, lossy: bool) -> tuple[npt.NDArray[np.bool_], bool]:
    """Where the lesion is, and whether it had to be cut out of many values."""
    if mask.has_transparency_data:
        *colours, alpha = np.moveaxis(np.asarray(mask.convert("RGBA")), 2, 0)
        seen, many_valued = _cut(alpha, lossy)
        if seen.all():
            return _cut(np.maximum.reduce(colours), lossy)
        if any(len(np.unique(colour[seen])) > 1 for colour in colours):
            raise ValueError("both its colours and its transparency vary; keep one of them")
        return seen, many_valued
    if mask.mode == "P":
        return np.asarray(mask) != 0, False
    if mask.mode not in ("1", "L", "I", "F") and not mask.mode.startswith("I;16"):
        return _cut(np.asarray(mask.convert("RGB")).max(axis=2), lossy)
    return _cut(np.asarray(mask), lossy)


def _cut(values: npt.NDArray[Any], lossy: bool) -> tuple[npt.NDArray[np.bool_], bool]:
    """Where the greater of two values is, or what is above half of the range of many."""
    distinct = np.unique(values)
    if not lossy and len(distinct) <= 2:
        return values == distinct[-1] if len(distinct) == 2 else values != 0, False
    if values.dtype.kind != "u":
        raise ValueError(f"it holds {len(distinct)} values of a type without a range; keep two")
    half = np.iinfo(values.dtype).max // 2
    if not lossy and distinct[-1] <= half:
        raise ValueError(
            f"it holds {len(distinct)} values, none above half of its type's range; keep two, "
            "0 for skin and another for the lesion"
        )
    return values > half, True


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
