"""What a source of images is: its records, its pictures, its problems, and the protocol of all."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

SPLITS = ("train", "validation", "test")
UNKNOWN = -1  # the label of an image that nobody has labelled
NO_METADATA: Mapping[str, str] = {}  # no proxy, as records go to other processes


class Record(NamedTuple):
    """One image of a source."""

    image_id: str
    label: int  # 1 = melanoma, or what --positive says; 0 = any other class; or UNKNOWN
    split: str  # one of SPLITS
    group: str = ""  # images of one patient or lesion share it; "" is a group of one
    metadata: Mapping[str, str] = NO_METADATA  # what is known, by column: age, sex, site, ...


class Picture(NamedTuple):
    """The pixels of a record, brought to a square."""

    image: npt.NDArray[np.uint8]  # (S, S, 3)
    mask: npt.NDArray[np.bool_] | None  # (S, S), the lesion, where the source knows it
    digest: str  # of the image's original content, whatever S is


class Problem(NamedTuple):
    """Something wrong with the files of a source, or odd about them, in one line."""

    kind: str  # missing, extra, malformed, unreadable or mismatching; suspect or repeated
    text: str

    @property
    def is_fault(self) -> bool:
        """Whether it is more than odd: official data sets have images twice, too."""
        return self.kind not in ("suspect", "repeated")


class Inspection(NamedTuple):
    """What was seen of one image's files."""

    problems: list[Problem]
    digest: str | None  # SHA-256 of the image's file; None where there is none to read


class Source(Protocol):
    """A set of images that can be read one by one, from several threads at once."""

    name: str

    @property
    def official(self) -> Mapping[str, tuple[int, int]]:
        """Images and positives by split, as they should be; empty where nothing is prescribed."""

    @property
    def records(self) -> Sequence[Record]:
        """All images with a sound row, split by split."""

    @property
    def problems(self) -> Sequence[Problem]:
        """Rows that are malformed or lack their image, and images that lack a row."""

    def identity(self) -> Any:
        """JSON that changes whenever a stored copy of this source has to be made anew."""

    def read(self, record: Record, size: int, fit: str = "squash") -> Picture:
        """The pixels of one record; raises `InputError` naming the file that cannot be read."""

    def inspect(self, record: Record) -> Inspection:
        """Decode a record's files: which are unreadable, odd, or do not fit each other."""

    def mask_problems(self) -> Sequence[Problem]:
        """Masks that are missing though others are there, and masks without an image."""


def count_positive(records: Iterable[Record]) -> int:
    """How many images are of the positive class."""
    return sum(record.label == 1 for record in records)


def is_table(data: str) -> bool:
    """Whether `--data` names a CSV file, and not a folder."""
    return data.lower().endswith(".csv")
