"""What an external set tells beyond a study's own tables: change, recalibration, localization."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from ablations.differences import Floats, test_groups, test_scores
from ablations.formats import Cells, interval, mean_and_sd, number, p_text, with_interval
from ablations.rows import Study
from ablations.statistics import Estimate, change_between_sets, mean_auc
from ablations.statistics.contrasts import estimate
from ablations.statistics.grouped import Ints, variance_of_mean
from ablations.statistics.variance import SeedPart, total_variance

CORNERS = ("x0", "y0", "x1", "y1")
_FIXED_BOXES: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {"whole frame": (0, 0, 1, 1), "centred half": (0.25, 0.25, 0.75, 0.75)}
)


def changes(study: Study, external: Study) -> pd.DataFrame:
    """How much of each arm's AUC is left on the external set.

    Args:
        study: with its own test images.
        external: with the external set in their place.

    Returns:
        A row for each arm whose models have all scores on both sets, each of which has both
        classes: arm, seeds, own_auc, external_auc (means over seeds), delta_auc (external minus
        own), delta_low, delta_high (95 %), p_value: see `change_between_sets`.
    """
    if study.test_predictions.empty:
        return pd.DataFrame()
    (own_labels, own), (labels, scores) = test_scores(study), test_scores(external)
    groups = test_groups(external)
    rows: list[dict[str, Any]] = []
    for arm in (arm for arm in study.arms if arm in own and arm in scores):
        found = change_between_sets(labels, scores[arm], own_labels, own[arm], groups_a=groups)
        if not math.isnan(found.value):
            rows.append(
                {
                    "arm": arm,
                    "seeds": len(scores[arm]),
                    "own_auc": mean_auc(own_labels, own[arm]).value,
                    "external_auc": mean_auc(labels, scores[arm]).value,
                    "delta_auc": found.value,
                    "delta_low": found.low,
                    "delta_high": found.high,
                    "p_value": found.p_value,
                }
            )
    return pd.DataFrame(rows)


def change_cells(table: pd.DataFrame) -> list[Cells]:
    """`changes` as a person reads it."""
    return [
        {
            "arm": row["arm"],
            "seeds": str(row["seeds"]),
            "own AUC": number(row["own_auc"], ".3f"),
            "external AUC": number(row["external_auc"], ".3f"),
            "change": number(row["delta_auc"], "+.3f"),
            "95 % interval": interval(row["delta_low"], row["delta_high"]),
            "p": p_text(row["p_value"]),
        }
        for row in table.to_dict("records")
    ]


def localization(external: Study, lesions: pd.DataFrame) -> pd.DataFrame:
    """Boxes against the rectangles of lesion masks, where there are any.

    Args:
        lesions: image_id, and CORNERS of the lesion's rectangle as shares of the image.

    Returns:
        A row for each arm with boxes, then for boxes that look at nothing: box (arm, or what it
        is), seeds, images, iou (mean intersection over union, over seeds and images), iou_sd (over
        seeds), iou_low, iou_high (95 %, for other seeds and other images), inside (mean share of
        the lesion's rectangle in the box), area (mean share of the image in the box).
    """
    if lesions.empty:
        return pd.DataFrame()
    rectangles = lesions[list(CORNERS)].to_numpy(float)  # (n, 4)
    groups = external.groups_of(lesions["image_id"])
    test = external.test_predictions
    rows: list[dict[str, Any]] = []
    for arm in external.arms:
        of_arm = test[(test["arm"] == arm) & test["x0"].notna()]
        seeds = [
            of_seed.set_index("image_id").loc[lesions["image_id"], list(CORNERS)].to_numpy(float)
            for _, of_seed in of_arm.groupby("seed", sort=True)
        ]
        if seeds:
            rows.append({"box": arm, **_overlap(np.stack(seeds), rectangles, groups)})
    for name, box in _FIXED_BOXES.items() if rows else ():
        fixed = np.broadcast_to(np.array(box, dtype=float), (1, len(rectangles), 4))
        rows.append({"box": name, **_overlap(fixed, rectangles, groups), "seeds": 0})
    return pd.DataFrame(rows)


def localization_cells(table: pd.DataFrame) -> list[Cells]:
    """`localization` as a person reads it."""
    return [
        {
            "box": row["box"],
            "images": str(row["images"]),
            "IoU": with_interval(
                mean_and_sd(row["iou"], row["iou_sd"]), row["iou_low"], row["iou_high"]
            ),
            "lesion inside": number(row["inside"], ".3f"),
            "box area": number(row["area"], ".2f"),
        }
        for row in table.to_dict("records")
    ]


def _overlap(boxes: Floats, rectangles: Floats, groups: Ints | None) -> dict[str, float]:
    """Figures of boxes, (seeds, n, 4), against rectangles, (n, 4)."""
    low = np.maximum(boxes[..., :2], rectangles[:, :2])
    high = np.minimum(boxes[..., 2:], rectangles[:, 2:])
    shared = (high - low).clip(min=0).prod(axis=-1)  # (seeds, n)
    areas = (boxes[..., 2:] - boxes[..., :2]).prod(axis=-1)
    lesion = (rectangles[:, 2:] - rectangles[:, :2]).prod(axis=-1)  # (n,)
    iou = shared / (areas + lesion - shared)
    found = mean_over_images(iou, groups)
    return {
        "seeds": len(boxes),
        "images": len(rectangles),
        "iou": found.value,
        "iou_sd": float(iou.mean(axis=1).std(ddof=1)) if len(iou) > 1 else math.nan,
        "iou_low": found.low,
        "iou_high": found.high,
        "inside": float((shared / lesion).mean()),
        "area": float(areas.mean()),
    }


def mean_over_images(values: Floats, groups: Ints | None = None) -> Estimate:
    """A mean over seeds and images, with its interval for other seeds and other images.

    Args:
        values: (seeds, n) of a figure that each image has.
        groups: of the images, see `Study.groups_of`.
    """
    seeds, n = values.shape
    units = n if groups is None else len(np.unique(groups))
    if units < 2:
        return Estimate(float(values.mean()), *[math.nan] * 4)
    by_images = float(variance_of_mean(values.mean(axis=0)[None], groups)[0])
    parts = []
    if seeds > 1:
        deviations = values - values.mean(axis=0)
        interaction = float(variance_of_mean(deviations, groups).sum()) / (seeds - 1)
        of_means = float(values.mean(axis=1).var(ddof=1))
        parts = [SeedPart(1.0, seeds, of_means, interaction)]
    found = estimate(float(values.mean()), total_variance(by_images, units - 1, parts))
    return found._replace(p_value=math.nan)
