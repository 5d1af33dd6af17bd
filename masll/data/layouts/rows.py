"""The rows of a part of a data set: of its label file, joined with its further tables."""

import re
from collections.abc import Iterable
from pathlib import Path

from masll.common.errors import InputError
from masll.data.files import Row, read_table
from masll.data.known import is_known
from masll.data.labelling import Labelling
from masll.data.layouts.layout import Layout, OneHot, Part

_ZERO_OR_ONE = {"0": False, "0.0": False, "1": True, "1.0": True}


def rows_of(folder: Path, layout: Layout, part: Part) -> list[tuple[str, Row]]:
    """Rows with their place in words; columns of further tables are joined by the image's name.

    Raises:
        InputError: a table cannot be read, or lacks a column.
    """
    table = part.table_in(folder)
    if table is None:
        return [
            (path, {"image": path, "folder": name})
            for name in part.folders
            for pattern in part.images
            if pattern.folder == name
            for path in pattern.found_in(folder).values()
        ]
    columns = layout.label.columns if isinstance(layout.label, OneHot) else ()
    rows = read_table(table, columns, header=part.header, plain=layout.plain)
    id_column(layout, table, rows[0][1])
    if part.labelled:
        _check_label_column(layout, table, rows[0][1])
    if part.rows is not None:
        rows = [rows[number] for number in _indexes(folder / part.rows, len(rows))]
    for name in part.further:
        if (folder / name).is_file():
            further = read_table(folder / name, (), plain=layout.plain)
            column = id_column(layout, folder / name, further[0][1])
            known = {row[column]: row for _, row in further}
            own = id_column(layout, table, rows[0][1])
            rows = [(where, {**known.get(row[own], {}), **row}) for where, row in rows]
    return rows


def id_column(layout: Layout, table: Path, columns: Iterable[str]) -> str:
    """The column of a table that has the images' names.

    Raises:
        InputError: there is none.
    """
    for name in layout.ids:
        if name in columns:
            return name
    raise InputError(
        f"{table.name} has no column '{layout.ids[0]}', as {layout.title} should; "
        f"its first line names: {', '.join(columns)}"
    )


def _check_label_column(layout: Layout, table: Path, columns: Iterable[str]) -> None:
    """Raise `InputError` for a label file without any of the columns of text."""
    if isinstance(layout.label, OneHot) or any(name in columns for name in layout.label):
        return
    raise InputError(
        f"{table.name} has no column '{layout.label[0]}', as {layout.title} should; "
        f"its first line names: {', '.join(columns)}"
    )


def text_of(row: Row, layout: Layout, labelling: Labelling) -> tuple[str, str]:
    """The column that says an image's class, and what stands there, "" where nothing does.

    Of several columns of text it is the first that says anything, unless a text leaves the class
    open, in whichever column: then that one, as long as `--labels` does not explain the first.

    Raises:
        ValueError: with what is wrong.
    """
    if not isinstance(layout.label, OneHot):
        texts = [(name, row[name]) for name in layout.label if row.get(name)]
        first = next((each for each in texts if is_known(each[1])), (texts or [("", "")])[0])
        unsettled = [each for each in texts if layout.classes.leave_open(each[1])]
        explained = (e for e in (first, *unsettled) if e[1].casefold() in labelling.meanings)
        return next(explained, (unsettled or [first])[0])
    ones = []
    for column in layout.label.columns:
        if row[column] not in _ZERO_OR_ONE:
            raise ValueError(f"{column} must be 0 or 1, got '{row[column]}'")
        if _ZERO_OR_ONE[row[column]]:
            ones.append(column)
    if len(ones) > 1 or not (ones or layout.label.rest):
        raise ValueError(
            f"one of {', '.join(layout.label.columns)} must be 1, got {len(ones)} of them"
        )
    return (ones[0], ones[0]) if ones else ("class", layout.label.rest)


def _indexes(path: Path, rows: int) -> list[int]:
    numbers = []
    for where, row in read_table(path, ("indexes",)):
        text = row["indexes"]
        if not re.fullmatch(r"\d+", text) or int(text) >= rows:
            raise InputError(f"{where}: indexes must be from 0 to {rows - 1}, got '{text}'")
        numbers.append(int(text))
    return numbers
