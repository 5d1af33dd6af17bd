"""DIR/STUDY/: what each confirmed model says of the test images, for the challenges' scorer.

`isic-challenge-scoring` takes a column `image` and one for each class of the truth that it is
given. These networks know one class, so a file has `image` and `melanoma`, and truth.csv, of the
study's own labels, has the same. The challenges' own files ask for less or more: that of 2016
(task 3) is this one without its heading; that of 2017 (part 3) has a second score, for seborrheic
keratosis, and those of 2018 and 2019 have seven and more. Nobody has computed these here, and none
is made up.
"""

from collections.abc import Collection

import pandas as pd

from ablations.export.runs import Exported
from ablations.formats import as_csv, remove_result, write_result
from ablations.rows import Study
from masll.common.errors import InputError
from masll.common.progress import Progress
from masll.common.storage import AnyPath
from tuning.study.trial import names_confirmed

TRUTH = "truth.csv"


def export(study: Study, name: str, folder: AnyPath, progress: Progress) -> Exported:
    """Write a file for each confirmed model, by the name of its trial, and the truth; both anew.

    Those of models that are confirmed no longer, or were set aside, are removed. The truth has
    every image that any model was tested on.

    Args:
        name: of the study, and of its folder.

    Raises:
        InputError: no model has been confirmed, or a file cannot be written or removed.
    """
    predictions = study.test_predictions
    by_model = list(predictions.groupby("trial_id"))
    if not by_model:
        raise InputError(f"{study.folder} has no confirmed model yet; wait for one")
    place = folder / name
    write_result(place / TRUTH, scored(predictions.drop_duplicates("image_id"), "label"))
    for done, (trial_id, rows) in enumerate(by_model, 1):
        write_result(place / f"{trial_id}.csv", scored(rows, "score"))
        progress(done, len(by_model))
    known = set(study.trials["trial_id"])
    removed = _remove_others(place, known, {trial_id for trial_id, _ in by_model})
    line = f"isic-challenge-scoring classification --metric auc {place / TRUTH} {place}/MODEL.csv"
    return Exported(len(by_model), 0, removed, place, f"to score one: {line}")


def _remove_others(place: AnyPath, trials: Collection[str], models: Collection[str]) -> int:
    """Remove the files of what were confirmed models at an earlier export, and count them."""
    others = [
        path
        for path in place.glob("*.csv")
        if path.stem not in models and (path.stem in trials or names_confirmed(path.stem))
    ]
    for path in others:
        remove_result(path, "which is of no confirmed model now")
    return len(others)


def scored(rows: pd.DataFrame, column: str) -> str:
    """Images and a value of each between 0 and 1, in full precision, by the images' ids."""
    table = pd.DataFrame(
        {"image": rows["image_id"].astype(str), "melanoma": rows[column].astype(float)}
    )
    return as_csv(table.sort_values("image"))
