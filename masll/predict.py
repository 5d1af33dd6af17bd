"""`python -m masll.predict`: probability of melanoma and box, for image files of any size."""

import argparse
import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from masll.common.command import Parser, run
from masll.common.errors import InputError
from masll.common.escaping import csv_lines
from masll.common.outputs import check_output
from masll.common.progress import progress_bar
from masll.common.storage import any_path, local_path
from masll.config import MOST_COUNT
from masll.data.listing import image_files
from masll.parts import load_part
from masll.thresholds import threshold_of

_CORNERS = ("x0", "y0", "x1", "y1")
_COLUMNS = ("image", "probability", *_CORNERS)
_CALLED = "called"  # the column of decisions: 1 where the threshold is reached
_BATCH = 16
_EPILOG = """\
examples:
  python -m masll.predict --model studies/paper/models/gated-fusion/densenet121/seed-1 lesion.jpg
  python -m masll.predict --model DIR --format csv clinic/ more.csv > predictions.csv
      all image files right in clinic/, and those in the column image of more.csv
  python -m masll.predict --model seed-1 --model seed-2 --model seed-3 --tta lesion.jpg
      the mean probability of three models, each shown the lesion in eight ways
  python -m masll.predict --model DIR --threshold spe-90 clinic/
      says who would be referred at the threshold that kept a specificity of 0.90
      on the model's validation images; --threshold 0.3 takes a probability
  python -m masll.predict --model DIR --figure looked-at/ lesion.jpg
      draws looked-at/lesion-view.png

Boxes are shares of the image, from its upper left corner; several models have none. An image that
cannot be read is named on stderr, and the others are predicted.

exit status: 0 all predicted, 1 some images could not be read, 2 bad input
"""


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(
        prog="python -m masll.predict",
        description="Predict melanoma from image files.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="image files, folders of such, or CSV files with a column image, on this machine",
    )
    parser.add_argument(
        "--model",
        required=True,
        action="append",
        metavar="DIR",
        help="folder of a trained model; may be repeated, for an ensemble",
    )
    parser.add_argument(
        "--format",
        choices=("table", "csv", "json"),
        default="table",
        help="what to print (default: table)",
    )
    parser.add_argument(
        "--threshold",
        metavar="T",
        help="also say whether the probability reaches T: from 0 to 1, or spe-90 for the one that "
        "kept a specificity of 0.90 on the model's own validation images",
    )
    parser.add_argument(
        "--tta",
        action="store_true",
        help="mean over the eight turns and mirrors of each image",
    )
    parser.add_argument(
        "--figure",
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
    parser.add_argument(
        "--batch-size",
        type=int,
        default=_BATCH,
        metavar="N",
        help=f"images at once (default: {_BATCH})",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ... (default: auto)")
    options = parser.parse_args(arguments)
    _check(options)
    threshold = _threshold(options.threshold, options.model, tta=options.tta)
    files = image_files(
        local_path(name, "IMAGE", "copy it here, and name the copy") for name in options.images
    )
    from masll.devices import find_device, lay_out  # PyTorch, which takes seconds
    from masll.model import load_model
    from masll.prediction import figure_paths, predict_files

    device = find_device(options.device)
    parts = [load_part(named) for named in options.variant_from]
    models = [lay_out(load_model(folder, parts), device) for folder in options.model]
    for folder, model in zip(options.model, models, strict=True):
        if model.config.box == "mask":
            raise InputError(f"{folder} looks where lesion masks say; name another model")
    figures: Mapping[Path, Path] = {}
    if options.figure is not None:
        folder = Path(options.figure)
        folder.mkdir(parents=True, exist_ok=True)
        figures = figure_paths(files, folder)
    rows: list[dict[str, Any]] = []
    with progress_bar("predicting") as progress:
        for start in range(0, len(files), options.batch_size):
            chosen = files[start : start + options.batch_size]
            rows += predict_files(models, chosen, figures, tta=options.tta)
            progress(start + len(chosen), len(files))
    if threshold is not None:
        rows = [{**row, _CALLED: int(row["probability"] >= threshold)} for row in rows]
    print(_formatted(rows, options.format, decided=threshold is not None), end="")
    return 0 if len(rows) == len(files) else 1


def _check(options: argparse.Namespace) -> None:
    """Raise `InputError` for options that contradict each other, or cannot be met."""
    if not 1 <= options.batch_size <= MOST_COUNT:
        raise InputError(f"--batch-size must be from 1 to {MOST_COUNT}, got {options.batch_size}")
    if len({any_path(folder).resolve() for folder in options.model}) < len(options.model):
        raise InputError("--model names a folder twice; name each once")
    if options.figure is not None:
        check_output(local_path(options.figure, "--figure"), "--figure")
        if len(options.model) > 1:
            raise InputError("--figure shows what one model looked at; name one --model")


def _threshold(text: str | None, folders: Sequence[str], *, tta: bool) -> float | None:
    """The probability from which melanoma is called; None where nobody asks."""
    if text is None:
        return None
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= 1:
            return float(text)
    named = re.fullmatch(r"spe-([1-9][0-9]?)", text)
    if named is None:
        raise InputError(
            f"--threshold must be a probability from 0 to 1, or spe-1 to spe-99, got '{text}'"
        )
    if tta:
        raise InputError(
            f"--threshold {text} is of predictions without --tta; give a probability, or leave "
            "--tta out"
        )
    return threshold_of(folders, int(named[1]) / 100)


def _formatted(rows: list[dict[str, Any]], style: str, *, decided: bool) -> str:
    if style == "json":
        return json.dumps(rows, indent=2) + "\n"
    if style == "csv":
        columns = (*_COLUMNS, _CALLED) if decided else _COLUMNS
        return csv_lines(columns, ([row[name] for name in columns] for row in rows))
    boxed = [name for name in _CORNERS if any(row[name] is not None for row in rows)]
    called = [f"{_CALLED:<8}"] * decided
    lines = [["melanoma", *called, *(f"{name:>5}" for name in boxed), "image"]] if rows else []
    for row in rows:
        decision = [f"{'melanoma' if row[_CALLED] else '-':<8}"] if decided else []
        corners = [f"{row[name]:.3f}" for name in boxed]
        lines.append([f"{row['probability']:8.3f}", *decision, *corners, row["image"]])
    return "".join(f"{'  '.join(line)}\n" for line in lines)


if __name__ == "__main__":
    run(main)
