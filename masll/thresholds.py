"""Thresholds that validation images fix: what a model said of them lies beside its weights.

    MODEL/validation.csv    image_id,label,score

So whoever has the model has its operating points, and those of an ensemble of such models.
"""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from masll.common.errors import InputError
from masll.common.escaping import csv_lines
from masll.common.storage import AnyPath, any_path
from masll.metrics import threshold_at
from masll.results import Predictions

_FILE = "validation.csv"
_COLUMNS = ("image_id", "label", "score")


def save_validation(predictions: Predictions, folder: str | Path | AnyPath) -> None:
    """Write what a model says of the validation images, of its best epoch, into its folder."""
    labels, scores = predictions.labels.tolist(), predictions.scores.tolist()
    rows = zip(predictions.ids, labels, scores, strict=True)
    (any_path(folder) / _FILE).write_whole(csv_lines(_COLUMNS, rows))


def threshold_of(folders: Sequence[str | Path | AnyPath], specificity: float) -> float:
    """The threshold of the mean probability of some models that keeps a specificity.

    Args:
        folders: of models; one of them, or an ensemble.
        specificity: on the validation images that all of them know, above 0 and below 1.

    Returns:
        See `masll.metrics.threshold_at`.

    Raises:
        InputError: a folder has no such file, or the models know no common image without melanoma.
    """
    each = [_read(any_path(folder)) for folder in folders]
    known = set.intersection(*(set(scores) for scores in each))
    common = [key for key in each[0] if key in known]
    labels = [label for _, label in common]
    means = np.mean([[scores[key] for key in common] for scores in each], axis=0)
    threshold = threshold_at(labels, means, specificity)
    if math.isnan(threshold):
        raise InputError(
            f"the models share no validation image without melanoma ({len(common)} images in all); "
            "give --threshold as a probability"
        )
    return threshold


def _read(folder: AnyPath) -> dict[tuple[str, int], float]:
    """Scores of a model by image and label."""
    path = folder / _FILE
    try:
        rows = csv.DictReader(io.StringIO(path.read_text(), newline=""))
        return {(row["image_id"], int(row["label"])): float(row["score"]) for row in rows}
    except FileNotFoundError as error:
        raise InputError(
            f"{folder} has no {_FILE}, as models of earlier versions; give --threshold as a "
            "probability"
        ) from error
    except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
        raise InputError(
            f"cannot read {path}: {error}; restore it, or give --threshold as a probability"
        ) from error
