"""Every figure of the arms' table by subgroup, each with its interval."""

import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ablations.differences import Floats, test_scores
from ablations.formats import ABSENT, HEADINGS, Cells, mean_and_sd, number, with_interval
from ablations.intervals import DRAWN, drawn_again
from ablations.rows import Study
from ablations.statistics import auc_difference, mean_auc
from ablations.subgroups.images import LEAST, divisions
from masll.variants import REFERENCE

_FIGURES = ("auc", *DRAWN)
COLUMNS = (
    *("by", "group", "images", "melanoma", "judged", "arm", "seeds"),
    *(f"{figure}{part}" for figure in _FIGURES for part in ("", "_sd", "_low", "_high")),
    *("delta_auc", "delta_low", "delta_high"),
)


@functools.lru_cache(maxsize=2)
def subgroups(study: Study) -> pd.DataFrame:
    """What each arm scores on each subgroup of the test images.

    Returns:
        Of COLUMNS, a row for each grouping of `--by`, group and arm: images and melanoma of the
        group; judged, whether it has LEAST images of each class (figures are null where not); of
        each figure the mean over seeds, their standard deviation and the interval of the mean
        (95 %); delta_auc, the difference to the arm's reference with its interval. No rows without
        `--by`.
    """
    table = pd.DataFrame(columns=list(COLUMNS))
    divided = divisions(study)
    if not divided:
        return table
    labels, unordered = test_scores(study)
    scores = {arm: unordered[arm] for arm in study.arms if arm in unordered}
    rows: list[dict[str, Any]] = []
    for division in divided:
        for group in division.groups:
            head = {
                "by": str(division.grouping),
                "group": group.name,
                "images": group.images,
                "melanoma": group.melanomas,
                "judged": group.large_enough,
            }
            of_group = {arm: each[:, group.rows] for arm, each in scores.items()}
            judged = _judged(study, labels[group.rows], of_group) if group.large_enough else {}
            rows += [
                head | {"arm": arm, "seeds": len(each)} | judged.get(arm, {})
                for arm, each in scores.items()
            ]
    return pd.DataFrame(rows, columns=list(COLUMNS)) if rows else table


def _judged(
    study: Study, labels: npt.NDArray[np.int64], scores: Mapping[str, Floats]
) -> dict[str, dict[str, float]]:
    """The figures of each arm on the images of a group."""
    again = drawn_again(study, labels, scores)
    if again is None:
        return {}
    rows = {}
    for arm, own in again.scores.items():
        area = mean_auc(labels, own)
        each_seed = np.array([mean_auc(labels, row).value for row in own])
        row = _columns("auc", each_seed, area.low, area.high)
        for figure in DRAWN:
            drawn = again.figures[arm][figure]
            mean = again.mean(figure, drawn)
            row |= _columns(figure, drawn[:, 0], mean.low, mean.high)
        reference = again.reference_of(arm)
        if reference is not None:
            minus = auc_difference(labels, own, again.scores[reference])
            row |= {
                "delta_auc": minus.value,
                "delta_low": minus.low,
                "delta_high": minus.high,
            }
        rows[arm] = row
    return rows


def _columns(figure: str, seeds: np.ndarray, low: float, high: float) -> dict[str, float]:
    sd = float(seeds.std(ddof=1)) if len(seeds) > 1 else math.nan
    return {
        figure: float(seeds.mean()),
        f"{figure}_sd": sd,
        f"{figure}_low": low,
        f"{figure}_high": high,
    }


def subgroup_cells(table: pd.DataFrame) -> list[Cells]:
    """`subgroups` as a person reads it; one row for a group that is too small."""
    shown = table[table["judged"].astype(bool) | ~table.duplicated(["by", "group"])]
    return [_cells(row) for row in shown.to_dict("records")]


def _cells(row: dict[Any, Any]) -> Cells:
    judged = bool(row["judged"])
    figures = {
        HEADINGS[each]: with_interval(
            mean_and_sd(row[each], row[f"{each}_sd"]), row[f"{each}_low"], row[f"{each}_high"]
        )
        for each in _FIGURES
    }
    minus = with_interval(number(row["delta_auc"], "+.3f"), row["delta_low"], row["delta_high"])
    return {
        "group": f"{row['by']}: {row['group']}",
        "images": str(row["images"]),
        "melanoma": str(row["melanoma"]),
        "arm": row["arm"] if judged else f"fewer than {LEAST} of a class",
        "seeds": str(row["seeds"]) if judged else ABSENT,
        **figures,
        f"AUC minus {REFERENCE}": minus,
    }
