"""`python -m ablations.report STUDY`: tables, figures and a page, written into STUDY/report/.

With more than one study, their arms side by side.
"""

import argparse
import contextlib
import functools
import importlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pandas as pd

from ablations.beside import Part, tables_beside
from ablations.brief import brief
from ablations.comparison import (
    between_cells,
    between_studies,
    compare,
    comparison_cells,
    comparison_document,
    comparison_panels,
    note,
)
from ablations.differences import MARGIN
from ablations.formats import as_csv, bullets, latex, write_result
from ablations.remarks import remarks
from ablations.rows import Study, read_study
from ablations.subgroups.grouping import parse_groupings
from ablations.subgroups.images import divisions
from ablations.subgroups.words import subgroup_lines
from ablations.tables import (
    ablation_table,
    as_latex,
    as_markdown,
    stacked_panels,
)
from ablations.tripod import HEADING, tripod
from ablations.verdict import verdict
from masll.common.checks import check_choice
from masll.common.command import Parser, run
from masll.common.errors import InputError
from masll.common.storage import AnyPath, any_path
from masll.common.terminal import Terminal

FORMATS = ("md", "csv", "tex", "figures", "html")
_OF_COMPARISONS = ("md", "csv", "tex")

_EPILOG = """\
example:
  python -m ablations.report studies/paper
      writes tables (Markdown, CSV, LaTeX), figures, and a page to read them on
      (summary.html, and the notebook it was made from) to studies/paper/report/
  python -m ablations.report studies/paper --format csv --prevalence 0.02
  python -m ablations.report studies/paper --by sex age:50 site
      also every figure by subgroup of the test images, and whether arms differ
      between them: subgroups.csv, gaps.csv, a figure (docs/subgroups.md)
  python -m ablations.report studies/paper studies/longer --out compared/
      prints the arms of studies of the same data side by side, tests arms of one
      name against each other, and writes comparison.md, .csv and .tex and tests.csv
      and .tex to compared/; studies of other data are refused

exit status: 0 written, 2 bad input
"""


def write_report(
    study: Study | str | AnyPath,
    formats: Sequence[str] = FORMATS,
    prevalence: float | None = None,
    folder: AnyPath | None = None,
    margin: float = MARGIN,
) -> list[AnyPath]:
    """Write the tables and figures of a study into its folder.

    Args:
        study: as read by `read_study`, or its folder.
        formats: `md` for people, `csv` with full precision, `tex` for a paper (booktabs),
            `figures` as PNG and SVG, `html` for a page that needs no network and the notebook that
            it was made from.
        prevalence: of melanoma, for the predictive values, between 0 and 1; the test set's where
            none is given.
        folder: to write into, STUDY/report where none is given.
        margin: of equivalence, as a difference in AUC.

    Returns:
        The files written, each of them whole.

    Raises:
        InputError: an unknown format, a folder that is no study or cannot be written to; images
            that cannot be divided as `study.by` asks.
    """
    for wanted in formats:
        check_choice("format", wanted, FORMATS)
    if not isinstance(study, Study):
        study = read_study(study, search_predictions=False)
    divisions(study)  # what cannot be divided is said before anything is written
    table = ablation_table(study, margin)
    beside = tables_beside(study, table, prevalence, margin)
    folder = folder or study.path / "report"
    texts: dict[str, str] = {}
    if "md" in formats:
        texts["ablation.md"] = _document(study, table, beside, margin)
        if study.by:
            texts["subgroups.md"] = _of_subgroups(study, beside)
        texts["tripod.md"] = f"# {HEADING}\n\n{tripod(study, table, margin=margin)}\n"
    if "csv" in formats:
        texts["ablation.csv"] = as_csv(table)
        texts |= {f"{part.name}.csv": as_csv(part.table) for part in beside}
    if "tex" in formats:
        texts["ablation.tex"] = as_latex(table)
        texts |= {f"{part.name}.tex": latex(part.cells) for part in beside}
    written = [write_result(folder / name, text) for name, text in texts.items()]
    with ThreadPoolExecutor(1) as beside_figures:
        if "html" in formats:
            from ablations.summary import write_page  # seconds to import

            # Here and not in the thread: matplotlib must not find IPython half imported.
            for library in ("IPython", "nbclient", "nbconvert"):
                importlib.import_module(library)
            # A process of its own runs the notebook: it takes a core while this one draws.
            page = beside_figures.submit(
                write_page, study.path, folder, prevalence, margin, study.by
            )
        if "figures" in formats:
            from ablations.figures import write_figures  # seconds to import

            written += write_figures(study, table, folder)
        if "html" in formats:
            written += page.result()
    return written


def _document(study: Study, table: pd.DataFrame, beside: Sequence[Part], margin: float) -> str:
    parts = ["# Ablation", brief(study, table, margin).as_markdown()]
    parts += ["## In words", bullets(verdict(study, table, margin))]
    parts += ["## All figures", as_markdown(table).rstrip(), *remarks(study)]
    parts += [part.as_markdown() for part in beside]
    return "\n\n".join(parts) + "\n"


def _of_subgroups(study: Study, beside: Sequence[Part]) -> str:
    parts = [part.as_markdown() for part in beside if part.name in ("subgroups", "gaps")]
    return "\n\n".join(["# Subgroups", bullets(subgroup_lines(study)), *parts]) + "\n"


def print_report(study: Study, console: Terminal, margin: float = MARGIN) -> None:
    """The report in brief, on a terminal: what helped, line by line; then one line an arm.

    With `Study.by`, what differs between subgroups, too.
    """
    brief(study, ablation_table(study, margin), margin).show(console)
    for line in subgroup_lines(study):
        console.print(f"\n{line}")


def write_comparison(
    studies: Sequence[Study], folder: AnyPath, formats: Sequence[str] = _OF_COMPARISONS
) -> list[AnyPath]:
    """Write the arms of several studies side by side: comparison.md, .csv and .tex.

    Arms of the same name are tested against each other: tests.csv and .tex.

    Raises:
        InputError: a format that comparisons have not got, the studies are of other data, or the
            folder cannot be written to.
    """
    for wanted in formats:
        check_choice("format of a comparison", wanted, _OF_COMPARISONS)
    table = compare(studies)
    texts = {
        "md": comparison_document(studies, table),
        "csv": as_csv(table),
        "tex": latex(comparison_cells(table)),
    }
    files = {f"comparison.{name}": texts[name] for name in formats}
    tested = between_studies(studies)
    if not tested.empty:
        of_tests = {"csv": as_csv(tested), "tex": latex(between_cells(tested))}
        files |= {f"tests.{name}": text for name, text in of_tests.items() if name in formats}
    return [write_result(folder / name, text) for name, text in files.items()]


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(
        prog="python -m ablations.report",
        description="Write a study's tables, figures and page into STUDY/report/; print the first. "
        "Or compare several studies.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "studies",
        metavar="STUDY",
        nargs="+",
        help="folder that tuning.search has made, here or s3://bucket/study; of "
        "several studies, arms are put side by side",
    )
    parser.add_argument(
        "--format",
        nargs="+",
        choices=FORMATS,
        help=f"what to write (default: {' '.join(FORMATS)}; "
        f"of several studies {' '.join(_OF_COMPARISONS)})",
    )
    parser.add_argument(
        "--out",
        type=any_path,
        metavar="DIR",
        help="folder to write into (default: STUDY/report; several studies are only printed)",
    )
    parser.add_argument(
        "--prevalence",
        type=_share,
        metavar="SHARE",
        help="of melanoma where the network would be used, for PPV and NPV "
        "(default: that of the test set)",
    )
    parser.add_argument(
        "--margin",
        type=_share,
        default=MARGIN,
        metavar="F",
        help="difference in AUC within which arms are equivalent "
        f"(two one-sided tests, default: {MARGIN})",
    )
    parser.add_argument(
        "--by",
        nargs="+",
        default=(),
        metavar="COLUMN",
        help="divide the test images by what is known of them: sex by its values, age:50 or "
        "age:30:50 by cuts (default: not at all)",
    )
    options = parser.parse_args(arguments)
    parse_groupings(options.by)
    if options.out is not None:
        options.out.check_writable("--out")
    if len(set(options.studies)) < len(options.studies):
        raise InputError(f"a study is named twice in {' '.join(options.studies)}; name each once")
    studies = [
        read_study(path, search_predictions=False, by=options.by) for path in options.studies
    ]
    console = Terminal()
    if len(studies) > 1:
        written = _compare(studies, options, console)
    else:
        formats = options.format or FORMATS
        if "figures" in formats:
            from ablations.importance import quiet_optuna  # imports Optuna

            quiet_optuna()
        written = write_report(studies[0], formats, options.prevalence, options.out, options.margin)
        print_report(studies[0], console, options.margin)
    if written:
        wrote = f"wrote to {written[0].parent}: " + ", ".join(path.name for path in written)
        console.tell(wrote)
    return 0


def _compare(
    studies: Sequence[Study], options: argparse.Namespace, console: Terminal
) -> list[AnyPath]:
    if options.prevalence is not None:
        raise InputError("--prevalence belongs to the report of one study; leave it out")
    if options.by:
        raise InputError("--by belongs to the report of one study; leave it out")
    if options.format and options.out is None:
        raise InputError("--format needs --out DIR where several studies are compared; give both")
    written = []
    if options.out is not None:
        written = write_comparison(studies, options.out, options.format or _OF_COMPARISONS)
    console.print(stacked_panels(comparison_panels(compare(studies))))
    tested = between_studies(studies)
    if not tested.empty:
        console.print(stacked_panels([between_cells(tested)]))
    console.print(note(studies))
    return written


def _share(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) < 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"must lie between 0 and 1, got '{text}'")


command = functools.partial(run, main)  # of the console script

if __name__ == "__main__":
    command()
