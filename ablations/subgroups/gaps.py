"""Whether what tells two arms apart differs between subgroups: tests of interaction.

A gap is how much more an arm's AUC differs from its reference's in one group than in others. One
test of a gap is worth more than a test in each group: that one group shows a difference and another
does not is no evidence that they differ (Wang et al., NEJM 357, 2189, 2007).
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ablations.differences import ALPHA, Floats, test_scores
from ablations.formats import Cells, interval, number, p_text, seen_from
from ablations.rows import Study
from ablations.statistics import (
    ImageGroup,
    auc_difference,
    contrast_between_groups,
    detectable_difference,
    holm,
)
from ablations.subgroups.images import Division, Group, divisions

COLUMNS = (
    *("by", "group", "minus", "arm", "reference", "delta_auc", "minus_delta_auc"),
    *("gap", "gap_low", "gap_high", "p_value", "p_holm", "df", "detectable"),
)


@functools.lru_cache(maxsize=2)
def gaps(study: Study) -> pd.DataFrame:
    """Every gap of a study that `--by` asks for; see `gaps_of`."""
    divided = divisions(study)
    if not divided:
        return pd.DataFrame(columns=list(COLUMNS))
    labels, scores = test_scores(study)
    arms = [arm for arm in study.arms if arm in scores]
    return gaps_of(labels, scores, study.references(arms), divided)


def gaps_of(
    labels: npt.NDArray[np.int64],
    scores: Mapping[str, Floats],
    references: Mapping[str, str],
    divided: Sequence[Division],
) -> pd.DataFrame:
    """How much more arms differ from their references in one group of images than in others.

    Two groups are held against each other. Of more, each is held against the others, their
    differences weighed by their number of images. Groups that are too small play no part, nor does
    what is not known.

    Args:
        labels: (n,) of 0 and 1.
        scores: (seeds, n) of each arm.
        references: the arm that an arm is compared with.
        divided: the images in groups, by one grouping or several.

    Returns:
        A row for each grouping, comparison of groups and arm, of COLUMNS: delta_auc, the arm minus
        its reference in the group, and minus_delta_auc in the other or others; gap, their
        difference, with its 95 % interval, unadjusted; p_value; p_holm, adjusted for all rows; df;
        detectable, the true gap that the first of so many tests by Holm's method finds four times
        in five.
    """
    rows: list[dict[str, Any]] = []
    for division in divided:
        for one, others in comparisons(division):
            for arm, reference in references.items():
                pair = [scores[arm], scores[reference]]
                rows.append(
                    {
                        "by": str(division.grouping),
                        "group": one.name,
                        "minus": name_of_others(others),
                        "arm": arm,
                        "reference": reference,
                        **_gap(labels, pair, one, others),
                    }
                )
    if not rows:
        return pd.DataFrame(columns=list(COLUMNS))
    table = pd.DataFrame(rows)
    table["p_holm"] = holm(table["p_value"])
    level = 1 - ALPHA / len(table)  # Holm's first step, which the smallest p has to take
    table["detectable"] = [
        detectable_difference(row.error, row.df, level=level) for row in table.itertuples()
    ]
    return table.reindex(columns=list(COLUMNS))


def comparisons(division: Division) -> list[tuple[Group, list[Group]]]:
    """Each group with those that it is held against; of two groups the first alone."""
    groups = division.compared
    each = groups[:1] if len(groups) == 2 else groups
    return [(one, [group for group in groups if group.name != one.name]) for one in each]


def name_of_others(groups: Sequence[Group]) -> str:
    """What another group is held against, in words."""
    return groups[0].name if len(groups) == 1 else "the others"


def _gap(
    labels: npt.NDArray[np.int64], pair: list[Floats], one: Group, others: list[Group]
) -> dict[str, float]:
    images = [
        ImageGroup(labels[group.rows], [rows[:, group.rows] for rows in pair])
        for group in (one, *others)
    ]
    shares = shares_of(others)
    gap = contrast_between_groups(images, [1.0, *(-share for share in shares)], [1.0, -1.0])
    own = auc_difference(images[0].labels, *images[0].scores).value
    return {
        "delta_auc": own,
        "minus_delta_auc": own - gap.value,
        "gap": gap.value,
        "gap_low": gap.low,
        "gap_high": gap.high,
        "p_value": gap.p_value,
        "df": gap.df,
        "error": gap.error,
    }


def shares_of(groups: Sequence[Group]) -> list[float]:
    """The weight of each of the groups that another is held against: its share of their images."""
    images = sum(group.images for group in groups)
    return [group.images / images for group in groups]


def gap_cells(table: pd.DataFrame) -> list[Cells]:
    """`gaps` as a person reads it."""
    return [
        {
            "groups": f"{row['by']}: {row['group']} minus {row['minus']}",
            "AUC of": f"{row['arm']} minus {row['reference']}",
            "in the one": number(row["delta_auc"], "+.3f"),
            "in the other": number(row["minus_delta_auc"], "+.3f"),
            "gap": number(row["gap"], "+.3f"),
            "95 % interval": interval(row["gap_low"], row["gap_high"]),
            "p": p_text(row["p_value"]),
            "p Holm": p_text(row["p_holm"]),
            "seen from": seen_from(row["detectable"]),
        }
        for row in table.to_dict("records")
    ]
