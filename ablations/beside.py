"""The tables beside the ablation table, each with its heading and what a reader must know."""

from typing import NamedTuple

import pandas as pd

from ablations import published
from ablations.formats import Cells, markdown
from ablations.operating_points import (
    operating_cells,
    operating_points,
    reliability,
    reliability_cells,
)
from ablations.rows import Study


class Part(NamedTuple):
    """A table beside the ablation table."""

    name: str  # of its files
    heading: str
    table: pd.DataFrame
    cells: list[Cells]
    note: str

    def as_markdown(self) -> str:
        return f"## {self.heading}\n\n{markdown(self.cells)}\n{self.note}"


def tables_beside(study: Study, table: pd.DataFrame, prevalence: float | None = None) -> list[Part]:
    """The tables for which the study has rows."""
    points, trusted = operating_points(study, prevalence), reliability(study)
    first, second = published.table_1(table), published.table_2(table)
    at = "" if points.empty else f"{points['prevalence'].iloc[0]:.3f}"
    parts = [
        Part("operating_points", "Operating points fixed on validation", points,
              operating_cells(points),
              "The threshold keeps the specificity on the validation images; SEN and SPE are what "
              "it reaches on the test images, beside the sensitivity read off the test curve. "
              f"PPV and NPV at a prevalence of {at}."),
        Part("reliability", "Calibration and decisions", trusted, reliability_cells(trusted),
              "Well calibrated: intercept 0, slope 1, ECE (expected calibration error) 0. "
              "McNemar's test compares decisions at 0.5 of the mean probability over seeds."),
        Part("table_1", "Table I of the paper", first, published.cells(first),
              "In per cent. Bold only where the paired test of this study supports it; the "
              "published rows come without predictions, so none can be tested."),
        Part("table_2", "Table II of the paper", second, published.cells(second),
              "In per cent. None is tested against another, so none is bold."),
    ]  # fmt: skip
    return [part for part in parts if not part.table.empty]
