"""What a source of images is, and the one place that tells which source a name or folder means."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


class Record(NamedTuple):
    """One labelled image of a source."""

    image_id: str
    label: int  # 1 = melanoma
    split: str  # one of masll.data.SPLITS


class Picture(NamedTuple):
    """The pixels of a record, brought to a square."""

    image: Pixels  # (S, S, 3)
    mask: npt.NDArray[np.bool_] | None  # (S, S), the lesion, where the source knows it
    digest: str  # of the image's original content, whatever S is


class Source(Protocol):
    """A set of labelled images that can be read one by one, from several threads at once."""

    name: str

    @property
    def records(self) -> Sequence[Record]:
        """All images, split by split."""

    def identity(self) -> Any:
        """JSON that changes whenever a stored copy of this source has to be made anew."""

    def read(self, record: Record, size: int) -> Picture:
        """The pixels of one record; raises `InputError` naming the file that cannot be read."""


def find_source(data: str) -> Source:
    """The source that `--data` means: the word `synthetic`, or an ISIC 2017 folder.

    Raises:
        InputError: no such folder, or its content breaks the format.
    """
    if data == "synthetic":
        from masll.data.synthetic_source import SyntheticSource

        return SyntheticSource()
    from masll.data.isic2017 import Isic2017

    return Isic2017(Path(data))
