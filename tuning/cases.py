"""Which images a study learns from and is judged by, beyond the official splits.

Training images that show a lesion of the validation or test images can be left out. And the
search can be judged by cross-validation over training and validation images together: 150
validation images with 30 melanomas carry an AUC error of about 0.05.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from masll.data.store import ImageStore, Split, pool
from masll.errors import InputError
from masll.places import Place, write_whole
from tuning.options import SearchOptions

FOLDS = 5


@dataclass(frozen=True)
class Cases:
    """The choice of images for a study; the official splits by default."""

    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)  # id: what it shows, too
    folds: Mapping[str, int] | None = None  # fold of each image, where there is cross-validation

    def train(self, store: ImageStore) -> Split:
        """The training images of a trial that is judged by the validation images."""
        return self._without_leaks(store.split("train"))

    def pooled(self, store: ImageStore) -> tuple[Split, npt.NDArray[np.int64]]:
        """Training and validation images with their folds, for a search by cross-validation."""
        assert self.folds is not None
        both = self._without_leaks(
            pool("validation", [store.split("train"), store.split("validation")])
        )
        return both, np.array([self.folds[image_id] for image_id in both.ids])

    def _without_leaks(self, split: Split) -> Split:
        if not self.left_out:
            return split
        kept = [row for row, image_id in enumerate(split.ids) if image_id not in self.left_out]
        return split.select(np.array(kept))


def choose_cases(options: SearchOptions) -> Cases:
    """What the options `--drop-leaks` and `--validation` ask for.

    Raises:
        InputError: too few images of a class for the folds.
    """
    if not options.drop_leaks and options.validation == "official":
        return Cases()
    from masll.data.duplicates import audit

    found = audit(options)
    leaks = found.leaks() if options.drop_leaks else {}
    if options.validation == "official":
        training = {record.image_id for record in found.records if record.split == "train"}
        return Cases({image_id: same for image_id, same in leaks.items() if image_id in training})
    from sklearn.model_selection import StratifiedGroupKFold  # seconds to import

    rows = [row for row, record in enumerate(found.records)
            if record.split != "test" and record.image_id not in leaks]  # fmt: skip
    labels = np.array([found.records[row].label for row in rows])
    counts = np.bincount(labels, minlength=2).tolist()
    if min(counts) < FOLDS:
        raise InputError(f"--validation cv5 needs {FOLDS} images of each class at least, got "
                         f"{counts[0]} and {counts[1]}; use --validation official")  # fmt: skip
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=options.seed)
    folds = {
        found.records[rows[place]].image_id: fold
        for fold, (_, held) in enumerate(splitter.split(labels, labels, found.groups[rows]))
        for place in held
    }
    return Cases(leaks, folds)


def write_folds(folder: Place, cases: Cases) -> None:
    """Write STUDY/folds.csv, where there are folds."""
    if cases.folds is None:
        return
    text = io.StringIO()
    csv.writer(text).writerows([("image_id", "fold"), *sorted(cases.folds.items())])
    write_whole(folder / "folds.csv", text.getvalue())


def read_cases(folder: Place, spec: dict[str, Any]) -> Cases:
    """The choice of images that a study began with.

    Raises:
        InputError: its folds are gone.
    """
    left_out = spec["data"].get("left_out", {})
    if spec["options"].get("validation", "official") == "official":
        return Cases(left_out)
    path = folder / "folds.csv"
    try:
        rows = csv.DictReader(io.StringIO(path.read_text(), newline=""))
        return Cases(left_out, {row["image_id"]: int(row["fold"]) for row in rows})
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"cannot read the folds of the study, {path}: {error}; "
                         "restore the file, or start another study") from error  # fmt: skip
