"""Image files of any size as rows of a table: probability of melanoma, and box."""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from PIL import Image

from masll.common.errors import InputError
from masll.data.reading import read_rgb, to_square
from masll.ensemble import ask
from masll.model import Masll
from masll.pictures import box_on_image, draw_view

_CORNERS = ("x0", "y0", "x1", "y1")


def predict_files(
    models: Masll | Sequence[Masll],
    paths: list[Path],
    figures: Mapping[Path, Path] = MappingProxyType({}),
    *,
    tta: bool = False,
) -> list[dict[str, Any]]:
    """Predict some image files at once.

    Args:
        models: one, or several whose mean probability is taken.
        figures: where to draw what the one network looked at, by image file (see `figure_paths`).
        tta: see `masll.ensemble.ask`.

    Returns:
        A row for each file that could be read: image, probability, and x0, y0, x1, y1 as shares of
        the image (None without SLL, and of several models). The others are named on stderr.
    """
    models = [models] if isinstance(models, Masll) else models
    readable, images = [], []
    for path in paths:
        try:
            images.append(read_rgb(path))
            readable.append(path)
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
    if not images:
        return []
    rows = []
    for path, image, answer in zip(readable, images, ask(models, images, tta=tta), strict=True):
        fit = models[0].inputs.fit
        box = None if answer.box is None else box_on_image(answer.box, image, fit)
        corners = dict(zip(_CORNERS, box or 4 * (None,), strict=True))
        rows.append({"image": str(path), "probability": answer.probability, **corners})
        if path in figures:
            config = models[0].config
            view = draw_view(
                image if fit == "squash" else to_square(image, max(image.size), fit),
                answer.probability,
                answer.box,
                answer.activation,
                config.threshold_scale if config.boxed_by_sll else None,
                largest_component=config.largest_component,
            )
            _save(view, figures[path])
    return rows


def figure_paths(images: Iterable[Path], folder: Path) -> dict[Path, Path]:
    """A PNG in `folder` for each image file: of its own, and never one of the images."""
    images = dict.fromkeys(images)
    taken = {image.resolve() for image in images}
    placed: dict[Path, Path] = {}
    named: Counter[str] = Counter()
    for image in images:
        while image not in placed:
            named[image.stem] += 1
            number = f"-{named[image.stem]}" * (named[image.stem] > 1)  # the name is taken
            figure = folder / f"{image.stem}-view{number}.png"
            if figure.resolve() not in taken:
                placed[image] = figure
                taken.add(figure.resolve())
    return placed


def _save(view: Image.Image, path: Path) -> None:
    try:
        view.save(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
