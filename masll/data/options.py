"""Which images a command reads, and how they become squares."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from masll.common.options import check_fields, option
from masll.config import LEAST_PIXELS, MOST_PIXELS
from masll.data.dealing import parse_dealing
from masll.data.labelling import MELANOMA, parse_labelling
from masll.data.reading import FITS
from masll.data.rules import Rules


@dataclass(frozen=True)
class SourceOptions:
    """Which images, and how their labels and splits are understood."""

    data: str = option(
        "synthetic",
        "folder of a known layout (docs/datasets.md) or CSV file, here or on s3://, or the word "
        "synthetic or synthetic-fine, whose melanomas only a crop tells",
        metavar="PATH",
    )
    _: dataclasses.KW_ONLY
    positive: tuple[str, ...] = option(
        (MELANOMA,), "the classes that a model has to tell from all others", metavar="CLASS"
    )
    labels: tuple[str, ...] = option(
        (),
        "what label texts mean that the data set does not explain: a class, or 0 or 1, as in "
        "malignant=1 benign=0",
        metavar="TEXT=CLASS",
    )
    split_by: tuple[str, ...] = option(
        (),
        "deal the images out by group (of a patient or lesion) or image: 'group 0.7 0.1 0.2' for "
        "train, validation and test, two shares for train and validation only (default: the "
        "splits of the data set itself)",
        metavar="WORD",
    )

    def __post_init__(self) -> None:
        check_fields(self)
        self.rules  # noqa: B018 (raises what cannot be understood)

    @property
    def rules(self) -> Rules:
        """What the options say of labels and splits.

        Raises:
            InputError: they cannot be understood.
        """
        return Rules(parse_labelling(self.positive, self.labels), parse_dealing(self.split_by))


@dataclass(frozen=True)
class DataOptions(SourceOptions):
    """Which images, and how they are stored. Shared by every command that reads images."""

    source_size: int | None = option(
        None,
        "side of the stored images, which crops are cut from (default: twice the image size)",
        least=LEAST_PIXELS,
        most=MOST_PIXELS,
    )
    fit: str = option(
        "squash", "how an image becomes a square: squash (the paper), pad or crop", choices=FITS
    )
    partial: bool = option(False, "leave out rows without an image and images without a row")


def data_options(asked: SourceOptions, **stored: Any) -> DataOptions:
    """The same images as `asked`, stored as it says, or as `stored` says instead."""
    names = {field.name for field in dataclasses.fields(DataOptions)}
    known = {name: getattr(asked, name) for name in names if hasattr(asked, name)}
    return DataOptions(**{**known, **stored})


def source_options(asked: Mapping[str, Any]) -> SourceOptions:
    """What the options of a spec say of its images; early studies have no more than `data`.

    Raises:
        InputError: they are of another type, or cannot be understood.
    """
    names = {field.name for field in dataclasses.fields(SourceOptions)}
    return SourceOptions(**{name: asked[name] for name in names & asked.keys()})
