"""`python -m ablations.report STUDY`: the tables of a study, written into STUDY/report/."""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ablations.differences import verdict
from ablations.rows import Study, read_study
from ablations.tables import ablation_table, as_csv, as_latex, as_markdown, as_rich, remarks
from masll.cli import Parser, check_choice, run
from masll.errors import InputError

FORMATS = ("md", "csv", "tex", "figures")

_EPILOG = """\
example:
  python -m ablations.report studies/paper
      writes studies/paper/report/ablation.md, .csv and .tex and the figures, and prints the table

exit status: 0 written, 2 bad input
"""


def write_report(study: Study | str | Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Write the ablation table of a study into its folder.

    Args:
        study: as read by `read_study`, or its folder.
        formats: `md` for people, `csv` with full precision, `tex` for a paper (booktabs),
            `figures` as PNG and SVG.

    Returns:
        The files written, each of them whole.

    Raises:
        InputError: an unknown format, a folder that is no study or cannot be written to.
    """
    for wanted in formats:
        check_choice("format", wanted, FORMATS)
    if not isinstance(study, Study):
        study = read_study(study)
    table = ablation_table(study)
    parts = ["# Ablation", verdict(table), as_markdown(table).rstrip(), *remarks(study)]
    texts = {
        "md": "\n\n".join(parts) + "\n",
        "csv": as_csv(table),
        "tex": as_latex(table),
    }
    folder = study.path / "report"
    written = [
        _write(folder / f"ablation.{wanted}", texts[wanted])
        for wanted in formats
        if wanted in texts
    ]
    if "figures" in formats:
        from ablations.figures import write_figures  # seconds to import

        folder.mkdir(exist_ok=True)
        written += write_figures(study, table, folder)
    return written


def print_report(study: Study, console: Console) -> None:
    """The table and what belongs to it, on a terminal."""
    table = ablation_table(study)
    console.print(as_rich(table))
    console.print(verdict(table), highlight=False, markup=False)
    for remark in remarks(study):
        console.print(remark, highlight=False, markup=False)


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(
        prog="python -m ablations.report",
        description="Write a study's ablation table into STUDY/report/, and print it.",
        epilog=_EPILOG,
    )
    parser.add_argument("study", metavar="STUDY", help="folder that tuning.search has made")
    parser.add_argument("--format", nargs="+", default=list(FORMATS), choices=FORMATS,
                        help=f"what to write (default: {' '.join(FORMATS)})")  # fmt: skip
    given = parser.parse_args(arguments)
    study = read_study(given.study)
    written = write_report(study, given.format)
    console = Console()
    print_report(study, console)
    # A path may hold brackets, which are no markup.
    wrote = "wrote " + ", ".join(map(str, written))
    console.print(wrote, highlight=False, markup=False, soft_wrap=True)
    return 0


def _write(path: Path, text: str) -> Path:
    """Write a file whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        return partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise InputError(f"cannot write {path}: {error.strerror}; make the folder writable, or "
                         "give the disk room") from error  # fmt: skip


if __name__ == "__main__":
    run(main)
