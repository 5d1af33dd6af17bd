"""Which images a study learns from and is judged by, beyond the official splits.

Training images that show a lesion of the validation or test images can be left out. And 150
validation images with 30 melanomas carry an AUC error of about 0.05, so training and validation
images can be dealt out anew: in folds for a search by cross-validation, or with one fold held out.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from masll.common.errors import InputError
from masll.data.split import Split, pool
from masll.data.store import ImageStore
from tuning.folds import deal_folds, lacking
from tuning.options import SearchOptions
from tuning.study.folder import StudyFolder
from tuning.study.metadata import KnownImage, write_metadata
from tuning.study.spec import Spec

FOLDS = 5
_HELD = 0  # the fold that `--validation fold` holds out


@dataclass(frozen=True)
class StudyImages:
    """The choice of images for a study; the official splits by default."""

    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)  # id: what it shows, too
    folds: Mapping[str, int] | None = None  # fold of each image, where they are dealt out anew
    leaks: int | None = None  # training images that show a lesion of a later split, if known
    validation: str = "official"  # one of VALIDATIONS

    @property
    def cross_validated(self) -> bool:
        """Whether the search is judged by cross-validation."""
        return self.validation == "cv5"

    def train_and_validation(self, store: ImageStore) -> tuple[Split, Split]:
        """What one network learns from, and what it is judged by."""
        if self.validation != "fold":
            return self._without_leaks(store.split("train")), store.split("validation")
        both, folds = self.pooled(store)
        train, held = (
            both.select(np.flatnonzero(rows)) for rows in (folds != _HELD, folds == _HELD)
        )
        return train, held

    def pooled(self, store: ImageStore) -> tuple[Split, npt.NDArray[np.int64]]:
        """Training and validation images together, with their folds."""
        assert self.folds is not None
        both = self._without_leaks(
            pool("validation", [store.split("train"), store.split("validation")])
        )
        return both, np.array([self.folds[image_id] for image_id in both.ids])

    def check_classes(self, store: ImageStore) -> None:
        """Raise `InputError` unless all that is learnt from and judged by has both classes."""
        if self.folds is None:
            listed = store.listed("train")
            left = {
                label
                for image_id, label in zip(listed["ids"], listed["labels"], strict=True)
                if image_id not in self.left_out
            }
            if len(left) < 2:
                raise InputError(
                    f"--drop-leaks leaves training images of labels {sorted(left)} only; leave it "
                    "out, or train on other images"
                )
            return
        known = [record for record in store.records if record.image_id in self.folds]
        labels = np.array([record.label for record in known])
        folds = np.array([self.folds[record.image_id] for record in known])
        without = lacking(labels, folds, FOLDS)
        if without:
            raise InputError(
                f"fold {without[0]} of the study has not both classes; restore its folds.csv, or "
                "start another study"
            )

    def _without_leaks(self, split: Split) -> Split:
        if not self.left_out:
            return split
        kept = [row for row, image_id in enumerate(split.ids) if image_id not in self.left_out]
        return split.select(np.array(kept))


def choose_images(options: SearchOptions) -> StudyImages:
    """What the options `--drop-leaks` and `--validation` ask for.

    Raises:
        InputError: too few images of a class for the folds.
    """
    if not options.drop_leaks and options.validation == "official":
        return StudyImages()
    from masll.data.duplicates import duplicates_of

    duplicates = duplicates_of(options)
    training = {record.image_id for record in duplicates.records if record.split == "train"}
    shown = duplicates.leaks()
    known = len(training & shown.keys())
    leaks = shown if options.drop_leaks else {}
    if options.validation == "official":
        of_training = {image_id: same for image_id, same in leaks.items() if image_id in training}
        return StudyImages(of_training, leaks=known)
    rows = [
        row
        for row, record in enumerate(duplicates.records)
        if record.split != "test" and record.image_id not in leaks
    ]
    labels = np.array([duplicates.records[row].label for row in rows])
    groups = np.array([duplicates.groups[row] for row in rows])
    try:
        dealt = deal_folds(labels, groups, FOLDS, options.seed)
    except InputError as error:
        raise InputError(f"--validation {options.validation}: {error}") from error
    ids = [duplicates.records[row].image_id for row in rows]
    folds = dict(zip(ids, dealt.tolist(), strict=True))
    return StudyImages(leaks, folds, known, options.validation)


def write_folds(folder: StudyFolder, images: StudyImages) -> None:
    """Write STUDY/folds.csv, where there are folds."""
    if images.folds is None:
        return
    text = io.StringIO()
    csv.writer(text).writerows([("image_id", "fold"), *sorted(images.folds.items())])
    folder.folds.write_whole(text.getvalue())


def keep_metadata(folder: StudyFolder, store: ImageStore) -> None:
    """Write STUDY/metadata.parquet of official validation and test images, if it is not there."""
    write_metadata(
        folder,
        (
            KnownImage(record.image_id, record.split, record.metadata)
            for record in store.records
            if record.split != "train"
        ),
    )


def read_images(folder: StudyFolder, spec: Spec) -> StudyImages:
    """The choice of images that a study began with.

    Raises:
        InputError: its folds are gone.
    """
    left_out = spec.data.left_out
    validation = spec.options.get("validation", "official")
    if validation == "official":
        return StudyImages(left_out)
    path = folder.folds
    try:
        rows = csv.DictReader(io.StringIO(path.read_text(), newline=""))
        folds = {row["image_id"]: int(row["fold"]) for row in rows}
        return StudyImages(left_out, folds, validation=validation)
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            f"cannot read the folds of the study, {path}: {error}; "
            "restore the file, or start another study"
        ) from error
