"""Procedural dermoscopy: skin, one lesion, hair, bubbles, a ruler. Never shipped as files.

The label follows the ABCD rule of dermoscopy in four factors, each uniform in [0, 1]: asymmetry
of the outline, border irregularity, colour variegation, and disorder of the fine pattern inside
the lesion. A lesion is a melanoma where

    0.22 asymmetry + 0.22 border + 0.22 colour + 0.34 disorder + noise of sd 0.03 > 0.63

which holds for about one in five. The fine pattern has a period of 2 % of the image side: in a
whole image reduced to 64 pixels that is 1.3 pixels, too fine to resolve and of a third to a half
of the contrast, while a crop from a larger source shows it: a local branch can help. Skin tone,
size and place of the lesion, hair, bubbles, ruler and vignette do not depend on the label.

Of the kind `fine` the label follows nothing but a fine pattern that a lesion has or has not: a wave
nearly along a side of the image, with a period of 1.7 % of that, which a reduction from 192 to 64
pixels averages out, and a crop shows. Three labels of a hundred are turned over. So a local branch
must help, and a gate has nothing to add: a demonstration in which the answer is known.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

# By kind, raised whenever its pixels or labels change, so that stores are made anew.
GENERATOR_VERSIONS = {"abcd": 1, "fine": 2}

_WEIGHTS = (0.22, 0.22, 0.22, 0.34)
_NOISE = 0.03
_CUT = 0.63
_PERIOD = 0.02  # of the fine pattern, as a share of the image side

_AREAS = {"abcd": (0.06, 0.30), "fine": (0.18, 0.36)}  # of a lesion, as shares of the image
KINDS = tuple(_AREAS)
_WITH_WAVES, _TURNED_OVER = 0.5, 0.03  # shares of the kind `fine`
_GRAIN = 2.0  # standard deviation of the kind `fine`, in grey values
_WAVE_HEIGHT = 65.0  # in grey values; more would be cut off, and change how dark a lesion is
# As a share of the image side. `resize` from three times as many pixels weighs them by 3/8, 1/4 and
# 3/8, which is 0 for a wave of f a pixel where 1/4 + 3/4 cos(2 pi f) is.
_WAVE_PERIOD = 2 * math.pi / (math.acos(-1 / 3) * 192)
_WAVE_ANGLE = 0.1  # at most, to a side of the image; across its pixels it would not average out

Floats = npt.NDArray[np.float64]


class Factors(NamedTuple):
    """What makes a lesion look malignant, each in [0, 1]."""

    asymmetry: float
    border: float
    colour: float
    disorder: float


@dataclass(frozen=True)
class SyntheticLesion:
    """One image with what is known of it."""

    image: npt.NDArray[np.uint8]  # (S, S, 3)
    mask: npt.NDArray[np.bool_]  # (S, S), the lesion
    label: int  # 1 = melanoma


def factors_of(index: int, seed: int = 0) -> Factors:
    """The factors of a lesion, without drawing it."""
    return Factors(*_generator(index, seed, 0).random(4))


def label_of(index: int, seed: int = 0, kind: str = "abcd") -> int:
    """1 where the lesion is a melanoma by the rule of its kind above, without drawing it."""
    if kind == "fine":
        return int(_has_waves(index, seed) != (_generator(index, seed, 6).random() < _TURNED_OVER))
    noise = _generator(index, seed, 1).normal(0, _NOISE)
    return int(np.dot(_WEIGHTS, factors_of(index, seed)) + noise > _CUT)


def synthesize(index: int, size: int, seed: int = 0, kind: str = "abcd") -> SyntheticLesion:
    """Draw one lesion.

    The result depends on the arguments only: the same bytes on every call, in any order, in any
    process. At two sizes it is the same lesion at two resolutions.

    Args:
        index: which lesion, 0 or more.
        size: side of the square image in pixels, 16 or more.
        seed: of the whole collection.
        kind: one of KINDS.

    Raises:
        ValueError: the index is negative or the size too small.
    """
    if index < 0 or size < 16:
        raise ValueError(f"index must be >= 0 and size >= 16, got {index} and {size}")
    factors = factors_of(index, seed)
    scene = _generator(index, seed, 2)  # where things are, how the skin looks
    axis = (np.arange(size) + 0.5) / size - 0.5
    x, y = axis[None, :], axis[:, None]  # share of the image side, from its centre

    depth = _depth(
        scene, factors, x, y, _AREAS[kind]
    )  # (S, S): 0 at the lesion's centre, 1 on its outline
    edge = scene.uniform(0.05, 0.12)
    alpha = np.clip((1 - depth) / edge + 0.5, 0, 1)  # (S, S) opacity of the pigment
    skin = _skin(scene, x, y)
    lesion = _pigment(scene, factors, depth, x, y)
    if kind == "fine":
        lesion += _waves(scene, x, y)[..., None] * _has_waves(index, seed)
        skin += _grain(_generator(index, seed, 7), size)
        lesion += _grain(_generator(index, seed, 7), size)
    else:
        lesion += _fine_pattern(scene, factors.disorder, size)[..., None] * 60
    image = skin + (lesion - skin) * (alpha * scene.uniform(0.75, 0.95))[..., None]
    image += _generator(index, seed, 3).normal(0, 3, (size, size, 1))
    _vignette(scene, image, x, y)
    pixels = np.clip(image, 0, 255).astype(np.uint8)
    return SyntheticLesion(
        _draw_artefacts(_generator(index, seed, 4), pixels), depth < 1, label_of(index, seed, kind)
    )


def _generator(index: int, seed: int, stream: int) -> np.random.Generator:
    return np.random.default_rng([seed, index, stream])


def _depth(
    scene: np.random.Generator, factors: Factors, x: Floats, y: Floats, areas: tuple[float, float]
) -> Floats:
    """Distance from the lesion's centre over that of its outline in the same direction."""
    centre = scene.uniform(-0.18, 0.18, 2)
    radius = math.sqrt(scene.uniform(*areas) / math.pi)
    dx, dy = x - centre[0], y - centre[1]
    distance = np.hypot(dx, dy)
    angle = np.arctan2(dy, dx)
    outline = np.ones_like(angle)
    for harmonic in (2, 1, 3):  # an even harmonic keeps two axes of symmetry, odd ones break them
        strength = 0.10 if harmonic == 2 else 0.42 * factors.asymmetry**1.5 / harmonic**0.5
        outline += strength * np.cos(harmonic * angle + scene.uniform(0, 2 * math.pi))
    for harmonic in scene.integers(7, 19, 4):
        outline += (
            0.06 * factors.border**1.5 * np.cos(harmonic * angle + scene.uniform(0, 2 * math.pi))
        )
    return distance / (radius * np.maximum(outline, 0.25))


def _skin(scene: np.random.Generator, x: Floats, y: Floats) -> Floats:
    """(S, S, 3): one tone with slow shading."""
    fair, dark = np.array([236.0, 196, 180]), np.array([178.0, 130, 104])
    tone = fair + (dark - fair) * scene.beta(1.2, 2.5)
    tone = tone + scene.normal(0, 6, 3)
    slope = scene.normal(0, 0.12, 2)
    waves = np.cos(
        2 * math.pi * (x * scene.uniform(1, 3) + y * scene.uniform(1, 3) + scene.random())
    )
    return tone * (1 + slope[0] * x + slope[1] * y + 0.02 * waves)[..., None]


def _pigment(
    scene: np.random.Generator, factors: Factors, depth: Floats, x: Floats, y: Floats
) -> Floats:
    """(S, S, 3): brown, darker towards the centre, with patches of other colours."""
    brown = np.array([146.0, 96, 66]) * scene.uniform(0.85, 1.1) + scene.normal(0, 4, 3)
    pigment = brown * (0.82 + 0.18 * np.clip(depth, 0, 1.3))[..., None]
    # Black, blue-grey, red and white: the colours that count in the ABCD rule beside brown.
    others = np.array([[52.0, 36, 32], [96, 104, 122], [178, 82, 70], [214, 186, 170]])
    for colour in others[scene.permutation(4)[:3]]:
        spot, extent = scene.uniform(-0.15, 0.15, 2), scene.uniform(0.06, 0.12)
        near = np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / (2 * extent**2))
        pigment += (colour - pigment) * (min(1.0, 1.5 * factors.colour**1.5) * near)[..., None]
    return pigment


def _fine_pattern(scene: np.random.Generator, disorder: float, size: int) -> Floats:
    """(S, S) of mean 0: a regular lattice of globules that disorder displaces and makes unequal.

    Every cell of the lattice keeps its one globule, so that disorder adds next to nothing to the
    slow variations that a reduced image still shows.
    """
    count = int(1.5 / _PERIOD)  # enough to cover the frame at any angle
    cells = np.stack(np.meshgrid(np.arange(count), np.arange(count)), axis=-1).reshape(-1, 2)
    jitter, spread = scene.uniform(-0.4, 0.4, cells.shape), scene.uniform(-1, 1, len(cells))
    lattice = (cells - count / 2 + scene.random(2) + disorder * jitter) * _PERIOD  # (N, 2)
    angle = scene.uniform(0, math.pi)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    centres = (lattice @ turn.T + 0.5) * 2 * size
    radii = (0.30 + 0.06 * disorder * spread) * _PERIOD * 2 * size
    visible = (np.abs(centres / (2 * size) - 0.5) < 0.52).all(axis=1)
    boxes = np.concatenate([centres - radii[:, None], centres + radii[:, None]], axis=1)[visible]
    canvas = Image.new("L", (2 * size, 2 * size))
    draw = ImageDraw.Draw(canvas)
    for corners in boxes.tolist():
        draw.ellipse(corners, fill=255)
    globules = np.asarray(canvas.reduce(2), dtype=np.float64) / 255
    return globules.mean() - globules


def _has_waves(index: int, seed: int) -> bool:
    return bool(_generator(index, seed, 5).random() < _WITH_WAVES)


def _waves(scene: np.random.Generator, x: Floats, y: Floats) -> Floats:
    """(S, S) of mean 0 in grey values: a wave nearly along one side or the other."""
    angle, phase = scene.uniform(-_WAVE_ANGLE, _WAVE_ANGLE), scene.uniform(0, 2 * math.pi)
    along, across = (x, y) if scene.random() < 0.5 else (y, x)
    way = along * math.cos(angle) + across * math.sin(angle)
    return np.asarray(_WAVE_HEIGHT * np.sin(2 * math.pi * way / _WAVE_PERIOD + phase))


def _grain(grain: np.random.Generator, size: int) -> Floats:
    """(S, S, 1) in grey values: grain as coarse as a pixel of the reduced image.

    It hides what the reduction leaves of the waves.
    """
    cells = grain.normal(0, _GRAIN, (64, 64))
    rows = np.arange(size) * 64 // size
    return np.asarray(cells[rows][:, rows, None])


def _vignette(scene: np.random.Generator, image: Floats, x: Floats, y: Floats) -> None:
    """Darken the corners of one image in four, as a round lens does."""
    strength, radius = scene.random(), scene.uniform(0.5, 0.62)
    if strength < 0.25:
        outside = np.clip((np.hypot(x, y) - radius) / 0.03, 0, 1)
        image *= (1 - 0.85 * outside)[..., None]


def _draw_artefacts(
    artefacts: np.random.Generator, pixels: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """Hair, bubbles of immersion gel and a ruler, drawn at twice the size for soft edges."""
    size = len(pixels)
    side = 2 * size
    layer = Image.new("L", (side, side))  # opacity
    draw = ImageDraw.Draw(layer)
    strands = int(artefacts.integers(3, 14)) if artefacts.random() < 0.3 else 0
    for _ in range(strands):
        ends = artefacts.uniform(-0.1, 1.1, (3, 2)) * side
        t = np.linspace(0, 1, 14)[:, None]
        bend = (1 - t) ** 2 * ends[0] + 2 * t * (1 - t) * ends[1] + t**2 * ends[2]
        width = max(1, round(artefacts.uniform(0.004, 0.009) * side))
        draw.line(
            [(px, py) for px, py in bend], fill=int(artefacts.integers(150, 230)), width=width
        )
    if artefacts.random() < 0.2:  # tick marks along one edge, every tenth one longer
        edge, step = artefacts.integers(0, 4), side * artefacts.uniform(0.02, 0.03)
        for tick in range(int(side / step)):
            length = side * (0.06 if tick % 10 == 0 else 0.03)
            a, b = (tick * step, 0.0), (tick * step, length)
            if edge % 2:
                a, b = (a[1], a[0]), (b[1], b[0])
            if edge >= 2:
                a, b = (side - a[0], side - a[1]), (side - b[0], side - b[1])
            draw.line([a, b], fill=220, width=max(1, side // 200))
    dark = np.asarray(layer.reduce(2), dtype=np.float32)[..., None] / 255
    image = pixels * (1 - dark) + np.array([38, 28, 26], np.float32) * dark
    bubbles = int(artefacts.integers(2, 14)) if artefacts.random() < 0.35 else 0
    if bubbles:
        layer = Image.new("L", (side, side))
        draw = ImageDraw.Draw(layer)
        for cx, cy, r in artefacts.random((bubbles, 3)):
            radius = (0.006 + 0.03 * r**2) * side
            ring = (cx * side - radius, cy * side - radius, cx * side + radius, cy * side + radius)
            draw.ellipse(ring, outline=110, width=max(1, side // 180))
            spot = radius * 0.3
            sx, sy = cx * side - radius * 0.35, cy * side - radius * 0.35
            draw.ellipse((sx - spot, sy - spot, sx + spot, sy + spot), fill=230)
        bright = np.asarray(layer.reduce(2), dtype=np.float32)[..., None] / 255
        image = image * (1 - bright) + 250 * bright
    return image.astype(np.uint8)
