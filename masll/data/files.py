"""What sources that lie in files have in common: tables with their rows checked, image files."""

import csv
import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from masll.common.checks import suggestion
from masll.common.errors import InputError
from masll.common.storage.regular import read_regular
from masll.data.reading import (
    FORMATS,
    READ_ERRORS,
    decode,
    decode_mask,
    orientation_of,
    to_square,
    unreadable,
    upright_size,
)
from masll.data.types import Inspection, Picture, Problem, Record

Row = dict[str, str]


def read_table(
    path: Path,
    columns: Sequence[str],
    *,
    header: Sequence[str] | None = None,
    plain: Callable[[str], str] = str,
) -> list[tuple[str, Row]]:
    """The rows of a CSV file, each with its place in words for an error message.

    Args:
        columns: those that must be there.
        header: the names of the columns, where the file's first line does not have them.
        plain: makes CSV of a text in another form.

    Raises:
        InputError: no such file, not UTF-8, a column is missing, or there are no rows.
    """
    try:
        lines = io.StringIO(plain(read_regular(path).decode("utf-8-sig")), newline="")
        reader = csv.DictReader(lines, header, restval="")
        names = reader.fieldnames or []
        for column in columns:
            if column not in names:
                raise InputError(
                    f"{path.name} has no column '{column}'{suggestion(column, names)}; "
                    f"its first line names: {', '.join(names) or 'nothing'}"
                )
        for column in names:
            if names.count(column) > 1:
                raise InputError(f"{path.name} has two columns '{column}'; remove one")
        rows = [(f"{path.name}, row {reader.line_num}", row) for row in reader]
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is no CSV file in UTF-8: {error}") from error
    if not rows:
        raise InputError(f"{path.name} has no rows; every split needs images")
    return [(where, {k: v.strip() for k, v in row.items() if k is not None}) for where, row in rows]


def read_picture(image_path: Path, mask_path: Path | None, size: int, fit: str) -> Picture:
    """An image file and its mask, if that is there, as squares.

    Raises:
        InputError: a file that cannot be decoded; names it.
    """
    path = image_path
    try:
        content = read_regular(path)
        image = np.asarray(to_square(decode(content, size), size, fit))
        mask = None
        if mask_path is not None and mask_path.exists():
            path = mask_path
            lesion = decode_mask(read_regular(path), content).lesion
            mask = np.asarray(to_square(lesion, size, fit)) >= 128
    except READ_ERRORS as error:
        raise unreadable(path, error) from error
    return Picture(image, mask, hashlib.sha256(content).hexdigest())


def inspect(image_path: Path, mask_path: Path | None) -> Inspection:
    """What is wrong with an image file and its mask, or looks as if it were."""
    try:
        content = read_regular(image_path)
    except READ_ERRORS as error:
        problem = Problem("unreadable", str(unreadable(image_path, error)))
        return Inspection([problem], digest=None)
    problems = list(_problems_of(content, image_path, mask_path))
    return Inspection(problems, hashlib.sha256(content).hexdigest())


def _problems_of(content: bytes, image_path: Path, mask_path: Path | None) -> Iterator[Problem]:
    path = image_path
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            size, is_turned = upright_size(opened), orientation_of(opened) != 1
        pixels = np.asarray(decode(content, at_least=1))
        if (pixels == pixels[0, 0]).all():
            yield Problem("suspect", f"{path} has one colour only")
        if mask_path is None or not mask_path.exists():
            return
        path = mask_path
        mask = decode_mask(read_regular(path), content)
    except READ_ERRORS as error:
        yield Problem("unreadable", str(unreadable(path, error)))
        return
    (width, height), (mask_width, mask_height) = size, mask.lesion.size
    if mask.lesion.size != size:
        yield Problem(
            "mismatching",
            f"{path} has {mask_width} x {mask_height} pixels, its image {width} x {height}",
        )
    elif is_turned and width == height:
        text = f"{image_path} is turned by its EXIF orientation, and a square: look whether {path}"
        yield Problem("suspect", f"{text} is, too")
    if mask.many_valued:
        yield Problem("suspect", f"{path} has more than two values; cut at half of their range")
    of_lesion = np.asarray(mask.lesion) > 0
    if of_lesion.all() or not of_lesion.any():
        yield Problem("suspect", f"{path} is {'full' if of_lesion.any() else 'empty'}")


def is_there(path: Path) -> bool:
    """Whether there is such a file; no file has a name that the system does not take."""
    try:
        return path.is_file()
    except OSError:
        return False


def stamp(path: Path | None) -> tuple[int, int] | None:
    """Size and time of change of a file, which tell a changed one; None where there is none."""
    if path is None:
        return None
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns


def check_inside(column: str, text: str) -> None:
    """Raise ValueError for a path that leads out of the folder that it starts from."""
    path = PurePosixPath(text.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in (path.parts or ("",))[0]:
        raise ValueError(f"{column} must be a path inside the table's folder, got '{text}'")


def identity_of(
    folder: Path,
    records: Iterable[Record],
    image_path: Callable[[Record], Path],
    mask_path: Callable[[Record], Path | None],
) -> Any:
    """JSON that changes whenever the files of a source do, or what is said of them."""
    files = [
        [
            # As stores have had it from the first version on, where there is nothing to add.
            [*record[:4], *([dict(record.metadata)] if record.metadata else [])],
            stamp(image_path(record)),
            stamp(mask_path(record)),
        ]
        for record in records
    ]
    return {"folder": str(folder.resolve()), "files": files}
