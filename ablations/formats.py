"""Cells of tables as people read them: numbers, Markdown and LaTeX; files written whole."""

import contextlib
import math
import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from masll.errors import InputError

ABSENT = "-"
_TEX = {"%": r"\%", "_": r"\_", "&": r"\&", "±": r"$\pm$"}

# Of the figures of Tables I and II.
HEADINGS = {
    "auc": "AUC", "acc": "ACC", "sen": "SEN", "spe": "SPE",
    "sen_at_spe_95": "SEN@.95", "sen_at_spe_90": "SEN@.90", "sen_at_spe_85": "SEN@.85",
}  # fmt: skip

Cells = dict[str, str]  # heading to text, in the order of the columns


def as_csv(table: pd.DataFrame) -> str:
    """A table for programs: every column, full precision, null as nothing."""
    return table.to_csv(index=False, lineterminator="\n")


def markdown(rows: Sequence[Cells]) -> str:
    """A table as GitHub Markdown: the first column to the left, the others to the right."""
    headings = list(rows[0])
    rules = ["---", *["---:"] * (len(headings) - 1)]
    lines = [headings, rules, *(list(row.values()) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def latex(rows: Sequence[Cells]) -> str:
    """A table for a paper: a tabular with the rules of the booktabs package.

    A cell between ** and ** is set in bold, as in Markdown.
    """
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    heading, *body = (" & ".join(map(_as_tex, line)) + r" \\" for line in lines)
    columns = "l" + "r" * (len(rows[0]) - 1)
    return "\n".join([
        r"\begin{tabular}{" + columns + "}", r"\toprule", heading, r"\midrule", *body,
        r"\bottomrule", r"\end{tabular}", "",
    ])  # fmt: skip


def write_whole(path: Path, text: str) -> Path:
    """Write a file whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        return partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise InputError(f"cannot write {path}: {error.strerror}; make the folder writable, or "
                         "give the disk room") from error  # fmt: skip


def number(value: float, format_spec: str) -> str:
    return ABSENT if math.isnan(value) else format(value, format_spec)


def interval(low: float, high: float) -> str:
    return ABSENT if math.isnan(low) else f"{low:.3f} to {high:.3f}"


def mean_and_sd(mean: float, sd: float) -> str:
    return ABSENT if math.isnan(mean) else f"{mean:.3f} ± {number(sd, '.3f')}"


def _as_tex(cell: str) -> str:
    if cell.startswith("**"):
        return rf"\textbf{{{_as_tex(cell.strip('*'))}}}"
    return "".join(_TEX.get(character, character) for character in cell)
