"""The tables beside the ablation table, each with its heading and what a reader must know."""

from typing import NamedTuple

import pandas as pd

from ablations import published
from ablations.boxes import box_cells, boxes
from ablations.defaults import MARGIN
from ablations.effects import effect_cells, effects
from ablations.ensembles import ensemble_cells, ensembles
from ablations.foresight import foresight, foresight_cells
from ablations.formats import Cells, markdown
from ablations.gates import SILENT, gate_cells, gates
from ablations.intervals import difference_cells, figure_differences
from ablations.operating_points import operating_cells, operating_points
from ablations.planning import WANTED, planning_cells, still_to_confirm
from ablations.reliability import (
    net_benefit_cells,
    net_benefits,
    reliability,
    reliability_cells,
)
from ablations.rows import Study
from ablations.subgroups.figures import subgroup_cells, subgroups
from ablations.subgroups.gaps import gap_cells, gaps
from ablations.subgroups.words import NOTE
from masll.variants import REFERENCE


class Part(NamedTuple):
    """A table beside the ablation table."""

    name: str  # of its files
    heading: str
    table: pd.DataFrame
    cells: list[Cells]
    note: str

    def as_markdown(self) -> str:
        return f"## {self.heading}\n\n{markdown(self.cells)}\n{self.note}"


def tables_beside(
    study: Study,
    table: pd.DataFrame,
    prevalence: float | None = None,
    margin: float = MARGIN,
) -> list[Part]:
    """The tables for which the study has rows."""
    together, by_seeds, frozen = effects(study, margin), ensembles(study), gates(study)
    places, foretold = boxes(study), foresight(study)
    points, trusted = operating_points(study, prevalence), reliability(study)
    grouped, between = subgroups(study), gaps(study)
    others, worth = figure_differences(study), net_benefits(study)
    first, second = published.table_1(table), published.table_2(table)
    at = "" if points.empty else f"{points['prevalence'].iloc[0]:.3f}"
    ahead, stands_on = still_to_confirm(study)
    parts = [
        Part(
            "planning",
            "What the confirmation will see",
            ahead,
            planning_cells(ahead),
            "The true difference in AUC that a test finds four times in five, and with how many "
            f"seeds, or test images, it would be {WANTED:g}. {stands_on}",
        ),
        Part(
            "effects",
            "What the parts add, all arms together",
            together,
            effect_cells(together),
            "The primary question is tested alone. A main effect is the mean of the arms that have "
            "a part minus that of the arms without it; the interaction says whether one part helps "
            "more where the other is. Pooled over backbones. p Holm is for the family, intervals "
            "are each for itself. Equivalence: two one-sided tests that the "
            f"difference lies within ±{margin:g} AUC.",
        ),
        Part("subgroups", "By subgroup", grouped, subgroup_cells(grouped), NOTE),
        Part(
            "gaps",
            "What differs between subgroups",
            between,
            gap_cells(between),
            "That one group shows a difference and another does not is no evidence that they "
            "differ: the gap is, with its test.",
        ),
        Part(
            "ensembles",
            "Ensembles of seeds",
            by_seeds,
            ensemble_cells(by_seeds),
            "The mean probability over an arm's seeds, beside that of gated-fusion, over images "
            "alone. Pairs of seeds of global-only are two networks, as gated-fusion is: a control "
            "for its size, compared with its single models.",
        ),
        Part(
            "gates",
            "What the gate does beyond a constant",
            frozen,
            gate_cells(frozen),
            "Each confirmed model as it is, and with its gate frozen at the channel means of the "
            "validation images, seed by seed: a gate that is the same for every image is absorbed "
            f"by the classifier. Where no score changes by more than {SILENT:g}, the gate did "
            "nothing, and is not judged. A new gate starts with its full slope, and its features "
            "are divided by 1 + sigmoid(bias), so that they begin as large as concatenated ones; "
            "the classifier absorbs that factor, so the networks are those of eq. 6.",
        ),
        Part(
            "boxes",
            "What the place of the box adds",
            places,
            box_cells(places),
            "Each confirmed model as it is, and with its local branch looking elsewhere, without "
            "training: the whole image, its centred half, SLL's box of another image, a dark "
            "region, the lesion mask. A network is not at home in boxes that it was not trained "
            "on, so its own box adds at most as much; a control arm says what is left after "
            "training.",
        ),
        Part(
            "foresight",
            "What validation foretold of the test",
            foretold,
            foresight_cells(foretold),
            "Settings and epochs are chosen by validation AUC. Optimism is its mean minus that of "
            "the test; the rank correlation (Spearman) says whether the order of the confirmed "
            "models, of the arms by their means, and of the seeds of one arm, is that on the test "
            "images. Its interval takes them as independent, which models of one set of images "
            "are not.",
        ),
        Part(
            "operating_points",
            "Operating points fixed on validation",
            points,
            operating_cells(points),
            "The threshold keeps the specificity on the validation images; SEN and SPE are what "
            "it reaches on the test images, beside the sensitivity read off the test curve. "
            f"PPV and NPV at a prevalence of {at}.",
        ),
        Part(
            "reliability",
            "Calibration and decisions",
            trusted,
            reliability_cells(trusted),
            "Well calibrated: intercept 0, slope 1, ECE (expected calibration error) 0. "
            "McNemar's test compares decisions at 0.5 of the mean probability over seeds.",
        ),
        Part(
            "figure_differences",
            "Differences in the other figures",
            others,
            difference_cells(others),
            f"Minus {REFERENCE} of the same backbone (a declared arm: minus its reference), paired "
            "on the same images drawn again within each class, for other seeds, too. Intervals "
            "are of 95 %, each for itself: secondary figures, adjusted for nothing.",
        ),
        Part(
            "net_benefit",
            "Net benefit",
            worth,
            net_benefit_cells(worth),
            "Melanomas found per image, less false alarms weighted by the odds of the probability "
            "from which somebody is referred; treat all and treat none refer everybody and nobody. "
            f"At the test set's prevalence. Differences to {REFERENCE} stand in net_benefit.csv.",
        ),
        Part(
            "table_1",
            "Table I of the paper",
            first,
            published.cells(first),
            "In per cent. Bold only where the paired test of this study supports it; the "
            "published rows come without predictions, so none can be tested.",
        ),
        Part(
            "table_2",
            "Table II of the paper",
            second,
            published.cells(second),
            "In per cent. None is tested against another, so none is bold.",
        ),
    ]
    if not published.is_official(study):  # published rows are of these images
        parts = [part for part in parts if part.name not in ("table_1", "table_2")]
    return [part for part in parts if not part.table.empty]
