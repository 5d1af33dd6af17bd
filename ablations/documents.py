"""The documents of a report: tables, figures and a page, of a study or of several side by side."""

import importlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pandas as pd

from ablations.beside import Part, tables_beside
from ablations.brief import brief
from ablations.checklists.claim import claim
from ablations.checklists.tripod import tripod
from ablations.comparison import (
    between_cells,
    between_studies,
    compare,
    comparison_cells,
    comparison_document,
    comparison_panels,
    note,
)
from ablations.defaults import FORMATS, FORMATS_OF_COMPARISONS, MARGIN
from ablations.formats import as_csv, bullets, document, latex, write_result
from ablations.publication import as_latex
from ablations.remarks import remarks
from ablations.rows import Study, read_study
from ablations.subgroups.images import divisions
from ablations.subgroups.words import subgroup_lines
from ablations.tables import ablation_table, as_markdown, stacked_panels
from ablations.verdict import verdict
from masll.common.checks import check_choice
from masll.common.storage import AnyPath
from masll.common.terminal import Terminal


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
    checklists = []
    if not {"md", "csv"}.isdisjoint(formats):
        checklists = [of_study(study, table, margin) for of_study in (tripod, claim)]
    if "md" in formats:
        texts["ablation.md"] = _document(study, table, beside, margin)
        if study.by:
            texts["subgroups.md"] = _of_subgroups(study, beside)
        texts |= {f"{each.name}.md": each.as_document() for each in checklists}
    if "csv" in formats:
        texts["ablation.csv"] = as_csv(table)
        texts |= {f"{part.name}.csv": as_csv(part.table) for part in beside}
        texts |= {f"{each.name}.csv": as_csv(each.as_table()) for each in checklists}
    if "tex" in formats:
        texts["ablation.tex"] = as_latex(study, table, margin)
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
            from ablations.figures import write_figure, write_figures  # seconds to import
            from ablations.verdict_figure import verdict_figure

            written += write_figures(study, table, folder, margin=margin)
            picture = verdict_figure(study, table, margin)
            written += write_figure(picture, folder, "verdict") if picture else []
        if "html" in formats:
            written += page.result()
    return written


def _document(study: Study, table: pd.DataFrame, beside: Sequence[Part], margin: float) -> str:
    parts = ["# Ablation", brief(study, table, margin).as_markdown()]
    parts += ["## In words", bullets(verdict(study, table, margin))]
    parts += ["## All figures", as_markdown(table).rstrip(), *remarks(study)]
    parts += [part.as_markdown() for part in beside]
    return document(parts)


def _of_subgroups(study: Study, beside: Sequence[Part]) -> str:
    parts = [part.as_markdown() for part in beside if part.name in ("subgroups", "gaps")]
    return document(["# Subgroups", bullets(subgroup_lines(study)), *parts])


def print_report(study: Study, console: Terminal, margin: float = MARGIN) -> None:
    """The report in brief, on a terminal: what helped, line by line; then one line an arm.

    With `Study.by`, what differs between subgroups, too.
    """
    brief(study, ablation_table(study, margin), margin).show(console)
    for line in subgroup_lines(study):
        console.print(f"\n{line}")


def write_comparison(
    studies: Sequence[Study],
    folder: AnyPath,
    formats: Sequence[str] = FORMATS_OF_COMPARISONS,
    margin: float = MARGIN,
) -> list[AnyPath]:
    """Write the arms of several studies side by side: comparison.md, .csv and .tex.

    Arms of the same name are tested against each other: tests.csv and .tex.

    Args:
        margin: of equivalence, as a difference in AUC.

    Raises:
        InputError: a format that comparisons have not got, the studies are of other data, or the
            folder cannot be written to.
    """
    for wanted in formats:
        check_choice("format of a comparison", wanted, FORMATS_OF_COMPARISONS)
    table = compare(studies, margin)
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


def report_study(
    path: str,
    formats: Sequence[str],
    prevalence: float | None,
    folder: AnyPath | None,
    margin: float,
    by: Sequence[str] = (),
) -> None:
    """Write the report of a study, and print it in brief: see `write_report`."""
    study, console = read_study(path, search_predictions=False, by=by), Terminal()
    if "figures" in formats:
        from ablations.importance import quiet_optuna  # imports Optuna

        quiet_optuna()
    written = write_report(study, formats, prevalence, folder, margin)
    print_report(study, console, margin)
    _tell(written, console)


def compare_studies(
    paths: Sequence[str], formats: Sequence[str] | None, folder: AnyPath | None, margin: float
) -> None:
    """Print the arms of several studies side by side, and write them where a folder is named."""
    studies = [read_study(path, search_predictions=False) for path in paths]
    console, written = Terminal(), []
    if folder is not None:
        written = write_comparison(studies, folder, formats or FORMATS_OF_COMPARISONS, margin)
    console.print(stacked_panels(comparison_panels(compare(studies, margin))))
    tested = between_studies(studies)
    if not tested.empty:
        console.print(stacked_panels([between_cells(tested)]))
    console.print(note(studies))
    _tell(written, console)


def _tell(written: Sequence[AnyPath], console: Terminal) -> None:
    if written:
        names = ", ".join(path.name for path in written)
        console.tell(f"wrote to {written[0].parent}: {names}")
