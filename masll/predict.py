"""`python -m masll.predict`: probability of melanoma and box, for image files of any size."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from PIL import Image

from masll.common.command import Parser, run
from masll.common.errors import InputError
from masll.common.escaping import csv_lines
from masll.common.storage import any_path
from masll.data.reading import read_rgb, to_square
from masll.devices import find_device
from masll.model import Masll, load_model
from masll.parts import load_part
from masll.pictures import as_input, box_on_image, draw_view

_COLUMNS = ("image", "probability", "x0", "y0", "x1", "y1")
_BATCH = 16
_EPILOG = """\
examples:
  python -m masll.predict --model studies/paper/models/gated-fusion/densenet121/seed-1 lesion.jpg
  python -m masll.predict --model DIR --format csv *.jpg > predictions.csv
  python -m masll.predict --model DIR --figure looked-at/ lesion.jpg
      draws looked-at/lesion-view.png

Boxes are shares of the image, from its upper left corner. An image that cannot be read is named
on stderr, and the others are predicted.

exit status: 0 all predicted, 1 some images could not be read, 2 bad input
"""


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(
        prog="python -m masll.predict",
        description="Predict melanoma from image files.",
        epilog=_EPILOG,
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE", type=Path, help="image files")
    parser.add_argument("--model", required=True, metavar="DIR", help="folder of a trained model")
    parser.add_argument(
        "--format",
        choices=("table", "csv", "json"),
        default="table",
        help="what to print (default: table)",
    )
    parser.add_argument(
        "--figure",
        type=Path,
        metavar="DIR",
        help="also draw what the network looked at, one PNG an image",
    )
    parser.add_argument(
        "--variant-from",
        action="append",
        default=[],
        metavar="FILE.py",
        help="the model's own fusion or localizer, which runs only if you name it; may be repeated",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ... (default: auto)")
    options = parser.parse_args(arguments)
    if options.figure is not None:
        any_path(options.figure).check_writable("--figure")
    device = find_device(options.device)
    parts = [load_part(named) for named in options.variant_from]
    model = load_model(options.model, parts).to(device)
    if model.config.box == "mask":
        raise InputError(f"{options.model} looks where lesion masks say; name another model")
    if options.figure is not None:
        options.figure.mkdir(parents=True, exist_ok=True)
    figures = {} if options.figure is None else figure_paths(options.images, options.figure)
    rows: list[dict[str, Any]] = []
    for start in range(0, len(options.images), _BATCH):
        rows += predict_files(model, options.images[start : start + _BATCH], figures)
    print(_formatted(rows, options.format), end="")
    return 0 if len(rows) == len(options.images) else 1


@torch.inference_mode()
def predict_files(
    model: Masll, paths: list[Path], figures: Mapping[Path, Path] = MappingProxyType({})
) -> list[dict[str, Any]]:
    """Predict some image files at once.

    Args:
        figures: where to draw what the network looked at, by image file (see `figure_paths`).

    Returns:
        A row for each file that could be read: image, probability, and x0, y0, x1, y1 as shares of
        the image (None without SLL). The others are named on stderr.
    """
    readable, images = [], []
    for path in paths:
        try:
            images.append(read_rgb(path))
            readable.append(path)
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
    if not images:
        return []
    device = next(model.parameters()).device
    out = model(as_input(images, model.inputs).to(device))
    probabilities = out.logits.float().softmax(dim=1)[:, 1].tolist()
    boxes = None if out.boxes is None else (out.boxes.double() / model.inputs.source_size).tolist()
    rows = []
    for i, (path, image) in enumerate(zip(readable, images, strict=True)):
        box = None if boxes is None else box_on_image(boxes[i], image, model.inputs.fit)
        corners = dict(zip(_COLUMNS[2:], box or 4 * (None,), strict=True))
        rows.append({"image": str(path), "probability": probabilities[i], **corners})
        if path in figures:
            maps = out.activation_map
            activation = None if maps is None else maps[i].float().cpu().numpy()
            shown, box = image, None if boxes is None else boxes[i]
            if model.inputs.fit != "squash":
                shown = to_square(image, max(image.size), model.inputs.fit)
            view = draw_view(
                shown,
                probabilities[i],
                box,
                activation,
                model.config.threshold_scale,
                largest_component=model.config.largest_component,
            )
            _save(view, figures[path])
    return rows


def figure_paths(images: Iterable[Path], folder: Path) -> dict[Path, Path]:
    """A PNG in `folder` for each image file: of its own, and never one of the images."""
    placed: dict[Path, Path] = {}
    named: Counter[str] = Counter()
    for image in dict.fromkeys(images):
        named[image.stem] += 1
        number = f"-{named[image.stem]}" * (named[image.stem] > 1)  # the name comes again
        placed[image] = folder / f"{image.stem}-view{number}.png"
    return placed


def _save(view: Image.Image, path: Path) -> None:
    try:
        view.save(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error


def _formatted(rows: list[dict[str, Any]], style: str) -> str:
    if style == "json":
        return json.dumps(rows, indent=2) + "\n"
    if style == "csv":
        return csv_lines(_COLUMNS, ([row[name] for name in _COLUMNS] for row in rows))
    lines = []
    for row in rows:
        corners = [row[name] for name in _COLUMNS[2:]]
        box = "" if None in corners else "  box " + " ".join(f"{share:.3f}" for share in corners)
        lines.append(f"{row['probability']:.3f}{box}  {row['image']}\n")
    return "".join(lines)


if __name__ == "__main__":
    run(main)
