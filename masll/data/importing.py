"""Writing a published data set as the CSV file that every command reads (see `csv_source`)."""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from masll.common.checks import check_choice
from masll.common.errors import InputError
from masll.common.storage import any_path
from masll.data.csv_source import COLUMNS
from masll.data.layouts import LAYOUTS, FolderSource
from masll.data.rules import Rules
from masll.data.sources import check_sound
from masll.data.types import UNKNOWN


def read_named(name: str, folder: Path, rules: Rules, *, partial: bool = False) -> FolderSource:
    """The data set `name` in a folder, whatever else lies there.

    Raises:
        InputError: no such data set, or its files are not in the folder, or not sound.
    """
    check_choice("data set", name, LAYOUTS)
    if not folder.is_dir():
        raise InputError(f"no folder {folder} on this machine; name the one that holds {name}")
    layout = LAYOUTS[name]
    if not any(part.is_told_in(folder) for part in layout.parts):
        files = layout.looked_for
        raise InputError(f"{folder} holds no {layout.title}: there is no {files}")
    source = FolderSource(folder, layout, rules)
    check_sound(source, partial=partial)
    return source


def write_table(source: FolderSource, table: Path) -> None:
    """A row for each image: image, label, split, group, mask, then metadata by column.

    Raises:
        InputError: the file is there already, cannot be written, or lies where no path leads down
            to the images.
    """
    if table.suffix.lower() != ".csv":
        raise InputError(f"OUT must end in .csv, got {table}")
    if os.path.lexists(table):
        raise InputError(f"{table} exists already; name a new file")
    above = table.parent.resolve()
    if not source.folder.resolve().is_relative_to(above):
        raise InputError(
            f"{table}: the paths of the images start from its folder, so put it in "
            f"{source.folder}, or above; such as {source.folder / source.name}.csv"
        )
    text = io.StringIO(newline="")
    csv.writer(text).writerows(_lines(source, source.folder.resolve().relative_to(above)))
    try:
        any_path(table).write_whole(text.getvalue())
    except OSError as error:
        raise InputError(f"cannot write {table}: {error.strerror}; name another file") from error


def _lines(source: FolderSource, lower: Path) -> Iterator[Sequence[object]]:
    """The header, then each image; `lower` leads from the table down to the data set."""
    metadata = list(dict.fromkeys(name for r in source.records for name in r.metadata))
    yield [*COLUMNS, *metadata]
    for record in source.records:
        mask = source.mask_path(record)
        paths = [source.image_path(record), mask if mask and mask.is_file() else None]
        image, masked = (
            (lower / path.relative_to(source.folder)).as_posix() if path else "" for path in paths
        )
        label = "" if record.label == UNKNOWN else record.label
        known = [record.metadata.get(name, "") for name in metadata]
        yield [image, label, record.split, record.group, masked, *known]
