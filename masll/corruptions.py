"""Corruptions of dermoscopic images at severities 1 to 5, the same for an image and seed always.

Blur, JPEG, brightness, contrast and noise have the values of ImageNet-C (Hendrycks and Dietterich,
"Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", ICLR 2019), where
lengths are in pixels of an image of 224. Hair, rulers and dark corners are the artefacts that
Bissoto et al. ("Debiasing Skin Lesion Datasets and Models? Not So Fast", CVPR Workshops 2020) mark
in the ISIC archive; Maron et al. ("A benchmark for neural network robustness in skin cancer
classification", European Journal of Cancer 155, 2021) corrupt dermoscopic images likewise.
"""

import hashlib
import io
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from masll.common.checks import check_choice
from masll.common.errors import InputError

Pixels = npt.NDArray[np.uint8]  # (S, S, 3)

SEVERITIES = (1, 2, 3, 4, 5)
UNCHANGED = "identity"  # the corruption that is none
_SIDE = 224  # of the images that lengths are given for
_FINER = 4  # what is drawn is drawn so many times larger, for smooth edges

# By severity.
_BLUR = (1, 2, 3, 4, 6)  # standard deviation in pixels
_JPEG = (25, 18, 15, 10, 7)  # quality
_BRIGHTNESS = (0.1, 0.2, 0.3, 0.4, 0.5)  # added to the value of HSV
_CONTRAST = (0.4, 0.3, 0.2, 0.1, 0.05)  # of the deviations from each channel's mean
_NOISE = (0.08, 0.12, 0.18, 0.26, 0.38)  # standard deviation
_HAIRS = (4, 8, 16, 32, 64)  # how many
_RULER = (0.05, 0.08, 0.12, 0.16, 0.20)  # length of its long marks, as a share of the side
_CORNERS = (0.66, 0.62, 0.58, 0.54, 0.50)  # radius of what is not dark, as a share of the side


def corrupt(image: Pixels, name: str, severity: int, image_id: str, seed: int = 0) -> Pixels:
    """An image with a corruption.

    >>> image = np.full((8, 8, 3), 100, np.uint8)
    >>> int(corrupt(image, "brightness", 1, "a").max())  # 100 + 0.1 of 255
    126
    >>> corrupt(image, "identity", 5, "a") is image
    True

    Args:
        image: (S, S, 3) of uint8, left as it is.
        name: one of CORRUPTIONS; `identity` gives the very image.
        severity: one of SEVERITIES. The same hairs come first at every severity, and the same
            noise grows.
        image_id: with `seed` decides whatever is drawn.

    Returns:
        (S, S, 3) of uint8.

    Raises:
        InputError: an unknown name or severity.
    """
    check_choice("corruption", name, CORRUPTIONS)
    if severity not in SEVERITIES:
        raise InputError(f"severity must be from 1 to {SEVERITIES[-1]}, got {severity}")
    key = hashlib.sha256(f"{name}/{seed}/{image_id}".encode()).digest()
    draws = np.random.default_rng(np.frombuffer(key, np.uint32))
    return CORRUPTIONS[name](image, severity - 1, draws)


def _identity(image: Pixels, level: int, draws: np.random.Generator) -> Pixels:
    del level, draws
    return image


def _hair(image: Pixels, level: int, draws: np.random.Generator) -> Pixels:
    """Dark hairs, bent once: quadratic Bezier curves between two points of the frame."""
    side = len(image)
    cover = Image.new("L", (_FINER * side,) * 2)
    pen = ImageDraw.Draw(cover)
    steps = np.linspace(0, 1, 24)[:, None]
    for _ in range(_HAIRS[level]):
        start, middle, end = draws.uniform(-0.1, 1.1, (3, 2))
        curve = (1 - steps) ** 2 * start + 2 * steps * (1 - steps) * middle + steps**2 * end
        width = draws.uniform(0.8, 2.0) * side / _SIDE  # pixels
        points = [tuple(point) for point in curve * _FINER * side]
        pen.line(points, fill=255, width=max(1, round(_FINER * width)), joint="curve")
    colour = draws.uniform((20, 12, 8), (60, 45, 38))  # black to dark brown
    return _laid_over(image, cover, colour)


def _ruler(image: Pixels, level: int, draws: np.random.Generator) -> Pixels:
    """The millimetre marks of a contact plate along one edge, every fifth of them long."""
    side = len(image)
    cover = Image.new("L", (_FINER * side,) * 2)
    pen = ImageDraw.Draw(cover)
    marks = int(draws.integers(20, 41))  # over the side
    long = _RULER[level] * _FINER * side
    thick = max(1, round(1.2 * _FINER * side / _SIDE))
    for mark in range(marks + 1):
        x = mark * _FINER * side / marks
        length = long if mark % 5 == 0 else long / 2
        pen.line([(x, 0), (x, length)], fill=255, width=thick)
    cover = cover.rotate(90 * int(draws.integers(4)))
    return _laid_over(image, cover, np.full(3, draws.uniform(10, 50)))


def _corners(image: Pixels, level: int, draws: np.random.Generator) -> Pixels:
    """The black frame of a round lens; an image's corners lie .71 of its side from the centre."""
    del draws
    side = len(image)
    cover = Image.new("L", (_FINER * side,) * 2, 255)
    low, high = ((0.5 + sign * _CORNERS[level]) * _FINER * side for sign in (-1, 1))
    ImageDraw.Draw(cover).ellipse((low, low, high, high), fill=0)
    return _laid_over(image, cover, np.zeros(3))


def _blur(image: Pixels, level: int, draws: np.random.Generator) -> Pixels:
    del draws
    radius = _BLUR[level] * len(image) / _SIDE
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def _jpeg(image: Pixels, level: int, draws: np.random.Generator) -> Pixels:
    del draws
    content = io.BytesIO()
    Image.fromarray(image).save(content, "JPEG", quality=_JPEG[level])
    with Image.open(content, formats=("JPEG",)) as read:
        return np.asarray(read.convert("RGB"))


def _brightness(image: Pixels, level: int, draws: np.random.Generator) -> Pixels:
    """A higher value in HSV, with hue and saturation as they are: all channels times a factor."""
    del draws
    value = image.max(axis=2, keepdims=True) / 255.0
    raised = (value + _BRIGHTNESS[level]).clip(max=1)
    dark = np.broadcast_to(value == 0, image.shape)  # grey, as black has no hue
    factor = raised / np.where(value == 0, 1, value)
    return _as_pixels(np.where(dark, raised, image / 255.0 * factor))


def _contrast(image: Pixels, level: int, draws: np.random.Generator) -> Pixels:
    del draws
    values = image / 255.0
    mean = values.mean(axis=(0, 1), keepdims=True)
    return _as_pixels((values - mean) * _CONTRAST[level] + mean)


def _noise(image: Pixels, level: int, draws: np.random.Generator) -> Pixels:
    return _as_pixels(image / 255.0 + _NOISE[level] * draws.standard_normal(image.shape))


def _laid_over(image: Pixels, cover: Image.Image, colour: npt.NDArray[np.float64]) -> Pixels:
    """A colour laid over an image where a larger picture of mode L says so, 255 covering all."""
    side = len(image)
    opaque = np.asarray(cover.resize((side, side), Image.Resampling.BOX))[..., None] / 255.0
    return _as_pixels((image * (1 - opaque) + colour * opaque) / 255.0)


def _as_pixels(values: npt.NDArray[np.float64]) -> Pixels:
    return (values * 255).round().clip(0, 255).astype(np.uint8)


Corruption = Callable[[Pixels, int, np.random.Generator], Pixels]
CORRUPTIONS: Mapping[str, Corruption] = MappingProxyType(
    {
        UNCHANGED: _identity,
        "hair": _hair,
        "ruler": _ruler,
        "corners": _corners,
        "blur": _blur,
        "jpeg": _jpeg,
        "brightness": _brightness,
        "contrast": _contrast,
        "noise": _noise,
    }
)
