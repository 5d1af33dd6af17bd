"""The terminal as it is written to by every command."""

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from masll.common.escaping import for_terminal

_PROSE = 16  # columns that text takes at least


class Terminal(Console):
    """One on which a text is what it says: brackets are no markup, and nothing moves the cursor."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **settings)

    def print(self, *objects: Any, **settings: Any) -> None:
        """As rich's own; control characters of texts by their names, but for ends of lines."""
        super().print(*map(_plain, objects), **settings)

    def say(self, line: str) -> None:
        """A line of a log: the time, and what happens or has happened."""
        self.tell(f"{datetime.datetime.now():%H:%M:%S}  {for_terminal(line)}")

    def tell(self, line: str) -> None:
        """Prose: broken at spaces for people, whole in a pipe, for programs that look for a word.

        Not for a command that somebody may copy: a terminal itself breaks it, and copies it whole.
        """
        self.print(line, soft_wrap=not self.is_terminal)


def _plain(printed: Any) -> Any:
    if not isinstance(printed, str):
        return printed
    return "\n".join(map(for_terminal, printed.split("\n")))


def fitting_table(
    console: Console,
    rows: Sequence[Mapping[str, str]],
    spare: Sequence[str] = (),
    *,
    header: bool = True,
    prose: Sequence[str] = (),
) -> Table:
    """A table no wider than the console, in which no name or number is broken.

    Args:
        rows: heading to text, at least one; rows may lack a column.
        spare: headings of columns to leave out where the console is too narrow, the first of them
            first. Where that is not enough, the first column breaks at spaces.
        prose: headings of columns that break at spaces, whatever the width.
    """
    wide = console.options.update(width=10_000)
    headings = list(dict.fromkeys(heading for row in rows for heading in row))
    for left_out in (None, *spare):
        headings = [heading for heading in headings if heading != left_out]
        least = [{**row, **{each: row.get(each, "")[:_PROSE] for each in prose}} for row in rows]
        least_wide = console.measure(_table(least, headings, prose, header=header), options=wide)
        if least_wide.maximum <= console.width:
            return _table(rows, headings, prose, header=header)
    return _table(rows, headings, [*prose, headings[0]], header=header)


def _table(
    rows: Sequence[Mapping[str, str]],
    headings: Sequence[str],
    prose: Sequence[str],
    *,
    header: bool,
) -> Table:
    table = Table(
        box=SIMPLE_HEAD if header else None,
        show_header=header,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1) if header else (0, 2, 0, 0),
    )
    for index, heading in enumerate(headings):
        is_text = index == 0 or not header or heading in prose
        table.add_column(
            heading,
            justify="left" if is_text else "right",
            no_wrap=heading not in prose,
            overflow="fold",
            min_width=_PROSE if heading in prose and index else None,
        )
    for row in rows:
        table.add_row(*(Text(for_terminal(row.get(heading, ""))) for heading in headings))
    return table
