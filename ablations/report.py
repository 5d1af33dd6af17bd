"""`python -m ablations.report STUDY`: tables, figures and a page, written into STUDY/report/."""

import argparse
import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
from rich.console import Console

from ablations.beside import Part, tables_beside
from ablations.differences import verdict
from ablations.formats import as_csv, latex, write_whole
from ablations.rows import Study, read_study
from ablations.tables import ablation_table, as_latex, as_markdown, as_rich, remarks
from masll.cli import Parser, check_choice, run

FORMATS = ("md", "csv", "tex", "figures", "html")

_EPILOG = """\
example:
  python -m ablations.report studies/paper
      writes tables (Markdown, CSV, LaTeX), figures, and a page to read them on
      (summary.html, and the notebook it was made from) to studies/paper/report/
  python -m ablations.report studies/paper --format csv --prevalence 0.02

exit status: 0 written, 2 bad input
"""


def write_report(
    study: Study | str | Path, formats: Sequence[str] = FORMATS, prevalence: float | None = None
) -> list[Path]:
    """Write the tables and figures of a study into its folder.

    Args:
        study: as read by `read_study`, or its folder.
        formats: `md` for people, `csv` with full precision, `tex` for a paper (booktabs),
            `figures` as PNG and SVG, `html` for a page that needs no network and the notebook that
            it was made from.
        prevalence: of melanoma, for the predictive values, between 0 and 1; the test set's where
            none is given.

    Returns:
        The files written, each of them whole.

    Raises:
        InputError: an unknown format, a folder that is no study or cannot be written to.
    """
    for wanted in formats:
        check_choice("format", wanted, FORMATS)
    if not isinstance(study, Study):
        study = read_study(study, search_predictions=False)
    table = ablation_table(study)
    beside = tables_beside(study, table, prevalence)
    folder = study.path / "report"
    texts: dict[str, str] = {}
    if "md" in formats:
        texts["ablation.md"] = _document(study, table, beside)
    if "csv" in formats:
        texts["ablation.csv"] = as_csv(table)
        texts |= {f"{part.name}.csv": as_csv(part.table) for part in beside}
    if "tex" in formats:
        texts["ablation.tex"] = as_latex(table)
        texts |= {f"{part.name}.tex": latex(part.cells) for part in beside}
    written = [write_whole(folder / name, text) for name, text in texts.items()]
    with ThreadPoolExecutor(1) as beside_figures:
        if "html" in formats:
            from ablations.summary import write_page  # seconds to import

            # A process of its own runs the notebook: it takes a core while this one draws.
            page = beside_figures.submit(write_page, study.path, folder, prevalence)
        if "figures" in formats:
            from ablations.figures import write_figures

            folder.mkdir(exist_ok=True)
            written += write_figures(study, table, folder)
        if "html" in formats:
            written += page.result()
    return written


def _document(study: Study, table: pd.DataFrame, beside: Sequence[Part]) -> str:
    parts = ["# Ablation", verdict(table), as_markdown(table).rstrip(), *remarks(study)]
    parts += [part.as_markdown() for part in beside]
    return "\n\n".join(parts) + "\n"


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
        description="Write a study's tables, figures and page into STUDY/report/; print the first.",
        epilog=_EPILOG,
    )
    parser.add_argument("study", metavar="STUDY", help="folder that tuning.search has made")
    parser.add_argument("--format", nargs="+", default=list(FORMATS), choices=FORMATS,
                        help=f"what to write (default: {' '.join(FORMATS)})")  # fmt: skip
    parser.add_argument("--prevalence", type=_share, metavar="SHARE",
                        help="of melanoma where the network would be used, for PPV and NPV "
                             "(default: that of the test set)")  # fmt: skip
    given = parser.parse_args(arguments)
    study = read_study(given.study, search_predictions=False)
    written = write_report(study, given.format, given.prevalence)
    console = Console()
    print_report(study, console)
    wrote = f"wrote to {study.path / 'report'}: " + ", ".join(path.name for path in written)
    # A path may hold brackets, which are no markup.
    console.print(wrote, highlight=False, markup=False, soft_wrap=True)
    return 0


def _share(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) < 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"must lie between 0 and 1, got '{text}'")


if __name__ == "__main__":
    run(main)
