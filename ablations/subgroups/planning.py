"""What gap between subgroups a study will see, before its test set is opened."""

import math

import pandas as pd

from ablations.differences import ALPHA
from ablations.rows import Study
from ablations.statistics.planning import (
    Assumptions,
    Design,
    PlannedGroup,
    expected_detectable,
    images_for,
    seeds_for,
)
from ablations.subgroups.gaps import comparisons, name_of_others, shares_of
from ablations.subgroups.images import expected_divisions


def planned_gaps(study: Study, assumed: Assumptions, wanted: float) -> pd.DataFrame:
    """What the test of each gap that `--by` asks for will see.

    Args:
        wanted: a gap in AUC.

    Returns:
        A row for each comparison of groups, of an arm minus its reference: question, seen (the true
        gap that its test finds four times in five, at Holm's first step of all gaps), seeds and
        images (the fewest seeds, or test images, with which it would see what is wanted; nan where
        no number does).
    """
    compared = len(study.references([str(arm) for arm in study.spec.arms]))
    pairs = [
        (division.grouping, one, others)
        for division in expected_divisions(study)
        for one, others in comparisons(division)
    ]
    level = 1 - ALPHA / max(1, compared * len(pairs))
    rows = []
    for grouping, one, others in pairs if compared else []:
        weights = [1.0, *(-share for share in shares_of(others))]
        groups = tuple(
            PlannedGroup(weight, group.melanomas, group.images - group.melanomas)
            for weight, group in zip(weights, [one, *others], strict=True)
        )
        positives = sum(group.positives for group in groups)
        negatives = sum(group.negatives for group in groups)
        seeds = study.spec.options["seeds"]
        design = Design((1.0, -1.0), positives, negatives, seeds, level, groups)
        rows.append(
            {
                "question": f"{grouping}: {one.name} minus {name_of_others(others)}",
                "seen": expected_detectable(design, assumed),
                "seeds": seeds_for(wanted, design, assumed) or math.nan,
                "images": images_for(wanted, design, assumed) or math.nan,
            }
        )
    return pd.DataFrame(rows, columns=["question", "seen", "seeds", "images"])
