"""Groups of images by what is known of them: `sex` by its values, `age:30:50` by cuts.

What is not known is a group of its own, `unknown`. Values that differ in case alone are one.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from masll.common.errors import InputError
from masll.data.known import is_known

UNKNOWN = "unknown"
_MOST_GROUPS = 20  # of a column without cuts: more are rather numbers, or names of patients


@dataclass(frozen=True)
class Grouping:
    """A column of the metadata, and where its numbers are cut."""

    column: str
    cuts: tuple[float, ...] = ()  # in rising order; a value that is a cut is in the upper group

    def __str__(self) -> str:
        return ":".join([self.column, *(f"{cut:g}" for cut in self.cuts)])

    @property
    def spans(self) -> list[str]:
        """Names of the groups that cuts make, the lowest first."""
        first, *others = (f"{cut:g}" for cut in self.cuts)
        pairs = itertools.pairwise([first, *others])
        between = [f"{low} to under {high}" for low, high in pairs]
        return [f"under {first}", *between, f"{[first, *others][-1]} and over"]

    def groups(self, texts: Mapping[str, str]) -> list[str]:
        """The group of each image.

        Args:
            texts: the column by image id, "" where it is not known.

        Raises:
            InputError: a text that is to be cut is no number, or there are too many groups.
        """
        names = [self._group(image_id, text) for image_id, text in texts.items()]
        count = len(set(names))
        if count > _MOST_GROUPS:
            raise InputError(
                f"--by {self}: {count} groups of test images are too many; cut a column of numbers "
                f"as in {self.column}:50, or name another"
            )
        return names

    def order(self, names: Sequence[str]) -> list[str]:
        """Groups as they are listed: by their spans or names, `unknown` last."""
        known = sorted({*names} - {UNKNOWN}, key=lambda name: (_number(name) or 0.0, name))
        ordered = [span for span in self.spans if span in known] if self.cuts else known
        return ordered + [UNKNOWN] * (UNKNOWN in names)

    def _group(self, image_id: str, text: str) -> str:
        if not is_known(text):
            return UNKNOWN
        text = text.strip().casefold()
        if not self.cuts:
            return text
        value = _number(text)
        if value is None:
            raise InputError(
                f"--by {self}: {self.column} of image {image_id} must be a number, got '{text}'; "
                "leave the cuts out"
            )
        return self.spans[sum(value >= cut for cut in self.cuts)]


def parse_groupings(words: Sequence[str]) -> list[Grouping]:
    """What `--by` names.

    Raises:
        InputError: a cut that is no number, cuts that do not rise, or a grouping twice.
    """
    groupings = [_parse(word) for word in words]
    for index, grouping in enumerate(groupings):
        if grouping in groupings[:index]:
            raise InputError(f"--by names {grouping} twice; name each once")
    return groupings


def _parse(word: str) -> Grouping:
    column, *texts = word.split(":")
    cuts = [_number(text) for text in texts]
    if not column or None in cuts:
        raise InputError(
            f"--by {word}: name a column of the metadata, with numbers to cut at, as in age:50"
        )
    numbers = [cut for cut in cuts if cut is not None]
    if any(low >= high for low, high in itertools.pairwise(numbers)):
        raise InputError(f"--by {word}: cuts must rise, as in {column}:30:50")
    return Grouping(column, tuple(numbers))


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
