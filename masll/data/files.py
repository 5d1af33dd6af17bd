"""What sources that lie in files have in common: tables with their rows checked, image files."""

import csv
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from masll.common.checks import suggestion
from masll.common.errors import InputError
from masll.data.reading import READ_ERRORS, decode, to_square, unreadable
from masll.data.types import Picture, Problem

_LABELS = {"0": 0, "0.0": 0, "1": 1, "1.0": 1}

Row = dict[str, str]


def read_table(path: Path, columns: Sequence[str]) -> list[tuple[str, Row]]:
    """The rows of a CSV file, each with its place in words for an error message.

    Args:
        columns: those that must be there.

    Raises:
        InputError: no such file, not UTF-8, a column is missing, or there are no rows.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines, restval="")
            names = reader.fieldnames or []
            for column in columns:
                if column not in names:
                    raise InputError(
                        f"{path.name} has no column '{column}'{suggestion(column, names)}; "
                        f"its first line names: {', '.join(names) or 'nothing'}"
                    )
            rows = [(f"{path.name}, row {reader.line_num}", row) for row in reader]
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is no CSV file in UTF-8: {error}") from error
    if not rows:
        raise InputError(f"{path.name} has no rows; every split needs images")
    return [(where, {k: v.strip() for k, v in row.items() if k is not None}) for where, row in rows]


def label_of(text: str, column: str) -> int:
    """0 or 1; raises ValueError, with what to say, for anything else."""
    if text not in _LABELS:
        raise ValueError(f"{column} must be 0 or 1, got '{text}'")
    return _LABELS[text]


def read_picture(image_path: Path, mask_path: Path | None, size: int, fit: str) -> Picture:
    """An image file and its mask, if that is there, as squares.

    Raises:
        InputError: a file that cannot be decoded; names it.
    """
    path = image_path
    try:
        content = path.read_bytes()
        image = np.asarray(to_square(decode(content, size), size, fit))
        mask = None
        if mask_path is not None and mask_path.is_file():
            path = mask_path
            with Image.open(path) as opened:
                mask = np.asarray(to_square(opened.convert("L"), size, fit)) >= 128
    except READ_ERRORS as error:
        raise unreadable(path, error) from error
    return Picture(image, mask, hashlib.sha256(content).hexdigest())


def inspect(image_path: Path, mask_path: Path | None) -> Iterator[Problem]:
    """What is wrong with an image file and its mask: unreadable, or of different sizes."""
    sizes = []
    for path in (image_path, mask_path):
        if path is None or not path.is_file():
            continue
        try:
            with Image.open(path) as opened:
                sizes.append(opened.size)
            decode(path.read_bytes(), at_least=1)
        except READ_ERRORS as error:
            yield Problem("unreadable", str(unreadable(path, error)))
            return
    if len(set(sizes)) > 1:
        (width, height), (mask_width, mask_height) = sizes
        yield Problem(
            "mismatching",
            f"{mask_path} has {mask_width} x {mask_height} pixels, its image {width} x {height}",
        )


def stamp(path: Path | None) -> tuple[int, int] | None:
    """Size and time of change of a file, which tell a changed one; None where there is none."""
    if path is None:
        return None
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns
