"""What a source of images is, and the one place that tells which source a name or folder means."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from masll.errors import InputError
from masll.places import on_s3

SPLITS = ("train", "validation", "test")

Pixels = npt.NDArray[np.uint8]


class Record(NamedTuple):
    """One labelled image of a source."""

    image_id: str
    label: int  # 1 = melanoma
    split: str  # one of SPLITS
    group: str = ""  # images of one patient or lesion share it; "" is a group of one


class Picture(NamedTuple):
    """The pixels of a record, brought to a square."""

    image: Pixels  # (S, S, 3)
    mask: npt.NDArray[np.bool_] | None  # (S, S), the lesion, where the source knows it
    digest: str  # of the image's original content, whatever S is


class Problem(NamedTuple):
    """Something wrong with the files of a source, in one line."""

    kind: str  # missing, extra, malformed, unreadable or mismatching
    text: str


class Source(Protocol):
    """A set of labelled images that can be read one by one, from several threads at once."""

    name: str

    @property
    def official(self) -> Mapping[str, tuple[int, int]]:
        """Images and melanomas by split, as they should be; empty where nothing is prescribed."""

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

    def inspect(self, record: Record) -> Iterable[Problem]:
        """Decode a record's files: which are unreadable, or do not fit each other."""

    def mask_problems(self) -> Sequence[Problem]:
        """Masks that are missing though others are there, and masks without an image."""


def find_source(data: str, *, partial: bool = False) -> Source:
    """The source that `--data` means, if it is sound.

    Args:
        data: the word `synthetic`, a CSV file (see `csv_source`), or an ISIC 2017 folder; either of
            these on S3 is brought into the cache first (see `fetch`).
        partial: leave out rows that lack their image, and images that lack a row.

    Raises:
        InputError: no such data, or its content breaks the format.
    """
    source = survey_source(data)
    forgiven = ("missing", "extra") if partial else ()
    faults = [problem for problem in source.problems if problem.kind not in forgiven]
    if faults:
        more = (
            f" (and {len(faults) - 1} more: python -m masll.data verify lists them)"
            if len(faults) > 1
            else ""
        )
        raise InputError(faults[0].text + more)
    return source


def survey_source(data: str) -> Source:
    """Like `find_source`, with the problems of single rows and files told, not raised."""
    if data == "synthetic":
        from masll.data.synthetic_source import SyntheticSource

        return SyntheticSource()
    from masll.data.csv_source import CsvSource
    from masll.data.isic2017 import Isic2017, is_official

    path = Path(data)
    if on_s3(data):
        from masll.data.fetch import fetch

        path = fetch(data, is_official)
    return CsvSource(path) if is_table(data) else Isic2017(path)


def is_table(data: str) -> bool:
    """Whether `--data` names a CSV file, and not a folder."""
    return data.lower().endswith(".csv")
