"""Which images an external set has, what is done with them, and which the models have seen."""

import numpy as np
import pandas as pd

from ablations.differences import test_groups
from ablations.external.evaluation import evaluated_in, judged_in
from ablations.external.tables import CORNERS
from ablations.formats import Cells, as_csv, number, write_result
from ablations.rows import Study
from masll.common.storage import AnyPath

SHOWN = "shown_images"  # the list of images that the models have seen, as a file
_MOST_NAMED = 5  # of them, in a sentence


def units_in(external: Study) -> int:
    """How many lesions or patients the judged images are of; 0 where no two belong together."""
    groups = test_groups(external)
    return 0 if groups is None else len(np.unique(groups))


def summary(name: str, images: pd.DataFrame, units: int = 0) -> str:
    """The images of a set in a few sentences.

    Args:
        images: see `ablations.external.evaluation.image_rows`.
        units: see `units_in`.
    """
    kept, judged, left_out = evaluated_in(images), judged_in(images), images[images["left_out"]]
    melanomas = f", {int(judged['label'].sum())} melanoma" if len(judged) else ""
    lines = [f"{name}: {len(kept)} images{melanomas}."]
    if len(judged) < len(kept):
        lines.append(f"{len(kept) - len(judged)} without a label: predicted, not judged.")
    if units:
        lines.append(
            f"The judged images are of {units} lesions or patients: intervals and tests are for "
            "others of these, and no fold of the recalibration divides one."
        )
    shown = images[images["shows"].notna()]
    if not images["compared"].all():
        lines.append("Not compared with the images that the models have seen.")
    elif not shown.empty:
        what = "left out" if len(left_out) else "kept all the same"
        pairs = zip(shown["image_id"], shown["shows"], strict=True)
        named = [f"{image} (as {other})" for image, other in pairs][:_MOST_NAMED]
        if len(named) < len(shown):
            named.append(f"and {len(shown) - len(named)} more")
        lines.append(
            f"{len(shown)} show what training or validation images show, and are {what}: "
            f"{', '.join(named)}."
        )
    return " ".join(lines)


def image_counts(images: pd.DataFrame, units: int) -> pd.DataFrame:
    """How many images there are, and what is done with them.

    Args:
        images: see `ablations.external.evaluation.image_rows`.
        units: see `units_in`.

    Returns:
        One row: predicted; judged (those with a label), of which melanoma; groups (lesions or
        patients that the judged images are of, as many as images where none are told);
        without_label; left_out (of the images that the models have seen).
    """
    predicted, judged = evaluated_in(images), judged_in(images)
    row = {
        "predicted": len(predicted),
        "judged": len(judged),
        "melanoma": int(judged["label"].sum()),
        "groups": units or len(judged),
        "without_label": len(predicted) - len(judged),
        "left_out": int(images["left_out"].sum()),
    }
    return pd.DataFrame([row])


def shown_in(images: pd.DataFrame) -> pd.DataFrame:
    """The images that the models have seen, and what shows it.

    Args:
        images: see `ablations.external.evaluation.image_rows`.
    """
    return images[images["shows"].notna()].drop(columns=["compared", *CORNERS])


def write_shown(images: pd.DataFrame, folder: AnyPath) -> AnyPath | None:
    """Write `shown_in` as a CSV file, whatever else is written: no image is left out unnamed.

    Args:
        folder: of the report.

    Returns:
        The file; None where there are no such images.
    """
    shown = shown_in(images)
    return None if shown.empty else write_result(folder / f"{SHOWN}.csv", as_csv(shown))


def shown_cells(table: pd.DataFrame) -> list[Cells]:
    """`shown_in` as a person reads it."""
    return [
        {
            "image": row["image_id"],
            "shows, as": row["shows"],
            "same file": "yes" if row["identical"] else "no",
            "similarity": number(row["similarity"], ".2f"),
            "left out": "yes" if row["left_out"] else "no",
        }
        for row in table.to_dict("records")
    ]
