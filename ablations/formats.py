"""Cells of tables as people read them: numbers, Markdown and LaTeX; files written whole."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from masll.common.errors import InputError
from masll.common.escaping import for_csv, for_latex, for_markdown, for_markdown_cell
from masll.common.storage import AnyPath, any_path

ABSENT = "-"
_MINUS = re.compile(r"(?<![\w.-])-(?=\d)")  # of a number; the hyphen of a name is none

# Of the figures of Tables I and II.
HEADINGS = {
    "auc": "AUC",
    "acc": "ACC",
    "sen": "SEN",
    "spe": "SPE",
    "sen_at_spe_95": "SEN@.95",
    "sen_at_spe_90": "SEN@.90",
    "sen_at_spe_85": "SEN@.85",
    "average_precision": "AP",
    "brier": "Brier",
}

Cells = dict[str, str]  # heading to text, in the order of the columns


def as_csv(table: pd.DataFrame) -> str:
    """A table for programs: every column, full precision, null as nothing; see `for_csv`."""
    safe = table.map(lambda cell: for_csv(cell) if isinstance(cell, str) else cell)
    return safe.to_csv(index=False, lineterminator="\n")


def markdown(rows: Sequence[Cells]) -> str:
    """A table as GitHub Markdown: the first column to the left, the others to the right."""
    headings = list(rows[0])
    rules = ["---", *["---:"] * (len(headings) - 1)]
    body = ([_as_markdown(cell) for cell in row.values()] for row in rows)
    lines = [[for_markdown_cell(heading) for heading in headings], rules, *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def latex(rows: Sequence[Cells]) -> str:
    """A table for a paper: a tabular with the rules of the booktabs package.

    A cell between ** and ** is set in bold, as in Markdown; numbers have true minus signs.
    """
    return _tabular({"": rows})


def latex_table(groups: Mapping[str, Sequence[Cells]], caption: str, label: str) -> str:
    """A table for a paper that floats over the whole width: caption, label and a `latex` tabular.

    Args:
        groups: rows by the heading that stands over them; none over those of "".
        caption: text, which is escaped.
        label: what `\\ref` names.
    """
    return "\n".join(
        [
            r"\begin{table*}",
            r"\centering",
            rf"\caption{{{_as_tex(caption)}}}",
            rf"\label{{{label}}}",
            r"\footnotesize\setlength{\tabcolsep}{4pt}",
            _tabular(groups) + r"\end{table*}",
            "",
        ]
    )


def _tabular(groups: Mapping[str, Sequence[Cells]]) -> str:
    headings = list(next(row for rows in groups.values() for row in rows))
    lines = [rf"\begin{{tabular}}{{l{'r' * (len(headings) - 1)}}}", r"\toprule", _line(headings)]
    for heading, rows in groups.items():
        lines.append(r"\midrule")
        if heading:
            across = rf"\multicolumn{{{len(headings)}}}{{l}}"
            lines.append(rf"{across}{{\textit{{{_as_tex(heading)}}}}} \\")
        lines += [_line(list(row.values())) for row in rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _line(cells: Sequence[str]) -> str:
    return " & ".join(map(_as_tex, cells)) + r" \\"


def document(parts: Sequence[str]) -> str:
    """A file of Markdown from its paragraphs and tables, with nothing foreign in it."""
    return for_markdown("\n\n".join(parts)) + "\n"


def bullets(lines: Sequence[str]) -> str:
    """Lines as a list in Markdown."""
    return "\n".join(f"- {line}" for line in lines)


def write_result(path: Path | AnyPath, content: str | bytes) -> AnyPath:
    """Write a file of the report, whole or not at all.

    Raises:
        InputError: it cannot be written.
    """
    path = any_path(path)
    try:
        path.write_whole(content, many_writers=True)
        return path
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror}; make the folder writable, or "
            "give the disk room"
        ) from error


def remove_result(path: AnyPath, what: str) -> None:
    """Remove a file that was written earlier, and holds no longer.

    Args:
        what: it is, such as `of an earlier report`.

    Raises:
        InputError: it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot remove {path}, {what}: {error.strerror}; remove it") from error


def number(value: float, format_spec: str) -> str:
    return ABSENT if math.isnan(value) else format(value, format_spec)


def p_text(p: float, name: str = "") -> str:
    """A p-value as a paper prints it, never 0.

    >>> p_text(0.0001, "p"), p_text(0.0316), p_text(0.0316, "p")
    ('p < 0.001', '0.032', 'p 0.032')
    """
    if math.isnan(p):
        return ABSENT
    shown = "< 0.001" if p < 0.001 else f"{p:.3f}"
    return f"{name} {shown}" if name else shown


def seen_from(difference: float) -> str:
    """A detectable difference in AUC; none is as large as 1."""
    return "none" if difference >= 1 else number(difference, ".3f")


def interval(low: float, high: float) -> str:
    return ABSENT if math.isnan(low) else f"{low:.3f} to {high:.3f}"


def with_interval(value: str, low: float, high: float) -> str:
    return value if math.isnan(low) else f"{value} ({interval(low, high)})"


def with_bounds(value: str, low: float, high: float) -> str:
    """A value with its interval in the short form; alone where it has none.

    >>> with_bounds("-0.022", -0.035, -0.009)
    '-0.022 [-0.035, -0.009]'
    """
    return value if math.isnan(low) else f"{value} [{low:.3f}, {high:.3f}]"


def several(counts: Iterable[int], thing: str) -> str:
    """`3 seeds`, or `1 to 3 seeds` where arms differ."""
    fewest, most = min(counts := list(counts)), max(counts)
    number = f"{most}" if fewest == most else f"{fewest} to {most}"
    return f"{number} {thing}{'s' * (most > 1)}"


def mean_and_sd(mean: float, sd: float) -> str:
    return ABSENT if math.isnan(mean) else f"{mean:.3f} ± {number(sd, '.3f')}"


def _bold(cell: str) -> str | None:
    """What is between ** and **; None where the cell is not set so."""
    inside = cell[2:-2]
    return inside if inside and cell == f"**{inside}**" else None


def _as_tex(cell: str) -> str:
    inside = _bold(cell)
    text = for_latex(_MINUS.sub("\N{MINUS SIGN}", cell if inside is None else inside))
    return text if inside is None else rf"\textbf{{{text}}}"


def _as_markdown(cell: str) -> str:
    inside = _bold(cell)
    return for_markdown_cell(cell) if inside is None else f"**{for_markdown_cell(inside)}**"
