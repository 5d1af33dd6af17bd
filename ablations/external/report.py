"""Tables and figures of an external set, by the functions that make a study's own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from ablations.beside import Part, tables_beside
from ablations.external.corrupted import Condition
from ablations.external.evaluation import judged_in
from ablations.external.listing import (
    SHOWN,
    image_counts,
    shown_cells,
    shown_in,
    summary,
    units_in,
)
from ablations.external.recalibration import recalibration, recalibration_cells
from ablations.external.robustness import robustness, robustness_cells
from ablations.external.tables import (
    CORNERS,
    change_cells,
    changes,
    localization,
    localization_cells,
)
from ablations.formats import as_csv, bullets, document, latex, remove_result, write_result
from ablations.publication import as_latex
from ablations.rows import Study
from ablations.tables import ablation_table, as_markdown
from ablations.verdict import verdict
from masll.common.storage import AnyPath
from masll.variants import REFERENCE

# Of the tables of a study those that test images alone make.
_BESIDE = frozenset(
    (
        *("effects", "ensembles", "operating_points", "reliability"),
        *("figure_differences", "net_benefit"),
    )
)
_OWN = ("change", "robustness", "recalibration", "localization", "images", SHOWN)
_FIGURES = ("roc", "differences", "boxes", "calibration", "decision")
# Every file that a report may have, by its ending.
_WRITTEN = {
    "md": ("external",),
    **dict.fromkeys(("csv", "tex"), ("ablation", *_BESIDE, *_OWN)),
    **dict.fromkeys(("png", "svg"), (*_FIGURES, "robustness")),
}


@dataclass(frozen=True, eq=False)
class Findings:
    """What there is to report of an external set."""

    name: str
    study: Study  # with its own test images
    external: Study  # with the external set in their place
    images: pd.DataFrame  # see `ablations.external.evaluation.image_rows`
    corrupted: Mapping[Condition, Study]  # with the set under each condition


def write_external_report(
    found: Findings, folder: AnyPath, formats: Sequence[str]
) -> tuple[pd.DataFrame, list[AnyPath]]:
    """Write the tables and figures of an external set.

    Args:
        formats: some of md, csv, tex and figures.
        folder: to write into.

    Returns:
        The table of the arms, see `ablation_table`, and the files written, each of them whole.
        Files of an earlier report that this one has not are removed.

    Raises:
        InputError: the folder cannot be written to.
    """
    table = ablation_table(found.external)
    lost = robustness(found.external, found.corrupted)
    parts = _parts(found, table, lost)
    texts: dict[str, str] = {}
    if "md" in formats:
        texts["external.md"] = _document(found, table, parts)
    if "csv" in formats:
        texts["ablation.csv"] = as_csv(table)
        texts |= {f"{part.name}.csv": as_csv(part.table) for part in parts}
    if "tex" in formats:
        texts["ablation.tex"] = as_latex(found.external, table)
        texts |= {f"{part.name}.tex": latex(part.cells) for part in parts}
    written = [write_result(folder / name, text) for name, text in texts.items()]
    if "figures" in formats:
        from ablations.external.curves import robustness_curves  # seconds to import
        from ablations.figures import write_figure, write_figures

        written += write_figures(found.external, table, folder, _FIGURES)
        if not lost.empty:
            written += write_figure(robustness_curves(lost, table), folder, "robustness")
    _remove_others(folder, written)
    return table, written


def _remove_others(folder: AnyPath, written: Sequence[AnyPath]) -> None:
    """Remove what an earlier report has written and this one has not: it may hold no longer."""
    kept = {path.name for path in written}
    for path in list(folder.glob("*")):
        name, _, kind = path.name.rpartition(".")
        if path.name not in kept and name in _WRITTEN.get(kind, ()):
            remove_result(path, "of an earlier report")


def _parts(found: Findings, table: pd.DataFrame, lost: pd.DataFrame) -> list[Part]:
    """The tables beside the arms' table for which there are rows."""
    beside = tables_beside(found.external, table)
    changed = changes(found.study, found.external)
    again = recalibration(found.external)
    lesions = judged_in(found.images)[["image_id", *CORNERS]].dropna()
    placed = localization(found.external, lesions)
    counted = image_counts(found.images, units_in(found.external))
    overlapping = shown_in(found.images)
    own = [
        Part(
            "change",
            "Change from the study's own test images",
            changed,
            change_cells(changed),
            "The same models on two sets of images, seed by seed. Intervals of 95 % are for other "
            "seeds and other images of either set.",
        ),
        Part(
            "robustness",
            "Under corruptions",
            lost,
            robustness_cells(lost),
            "Corruptions and severities are those of masll/corruptions.py. The change is that of "
            "the same models on the same images; beside it, how much more it is than the change of "
            f"{REFERENCE}, whose p is adjusted over all rows of changed images (Holm).",
        ),
        Part(
            "recalibration",
            "Calibration, before and after recalibration",
            again,
            recalibration_cells(again),
            "By validation: slope and intercept learned on the study's validation images. Here: "
            "learned on nine tenths of these images, judged on the other tenth. No method changes "
            "a ranking within a fold.",
        ),
        Part(
            "localization",
            "Boxes against lesion masks",
            placed,
            localization_cells(placed),
            "Intersection over union with the rectangle of the lesion mask, beside boxes that look "
            "at nothing.",
        ),
        Part(
            "images",
            "Which images",
            counted,
            [{name.replace("_", " "): str(count) for name, count in counted.iloc[0].items()}],
            "All figures are of the judged images; those without a label are predicted, too.",
        ),
        Part(
            SHOWN,
            "Images that the models have seen",
            overlapping,
            shown_cells(overlapping),
            "By the digest of the file, or by registration (see `python -m masll.data audit`). "
            "The similarity is the correlation of their detail.",
        ),
    ]
    by_name = {part.name: part for part in beside if part.name in _BESIDE}
    return [part for part in (*own[:1], *by_name.values(), *own[1:]) if not part.table.empty]


def _document(found: Findings, table: pd.DataFrame, parts: Sequence[Part]) -> str:
    note = (
        f"{summary(found.name, found.images, units_in(found.external))} Below, the test images are "
        "those of this set: the same tables as the study's own, by the same functions. Thresholds "
        "that validation images fixed are the study's own, carried over."
    )
    lines = bullets(verdict(found.external, table))
    texts = [f"# External evaluation: {found.name}", note, lines, as_markdown(table).rstrip()]
    return document([*texts, *(part.as_markdown() for part in parts)])
