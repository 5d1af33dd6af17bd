"""What the label texts of a data set mean: 1, the positive class; 0, any other; or nothing.

A layout knows the classes of its set: `mel`, `MEL` and `melanoma (in situ)` are melanoma.
`--positive` says which classes are 1, and `--labels TEXT=CLASS` what further texts mean.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from masll.common.checks import suggestion
from masll.common.errors import InputError
from masll.data.types import UNKNOWN

MELANOMA = "melanoma"
UNKNOWN_CLASS = ""  # of texts that leave open which class it is: the image has no label then
_BINARY = {"0": "0", "0.0": "0", "1": "1", "1.0": "1"}


@dataclass(frozen=True)
class Classes:
    """The classes of a data set, by the texts that stand for them."""

    names: Mapping[str, str]  # class by text, both in lower case; UNKNOWN_CLASS leaves it open
    containing: Mapping[str, str] = field(default_factory=dict)  # class by a part of the text
    closed: bool = True  # whether these are all; if not, any other text is a class by itself

    def of(self, text: str) -> str | None:
        """The class that a text means; None for a text that is not of this set."""
        text = text.casefold()
        for word, name in self.containing.items():
            if word in text:
                return name
        return self.names.get(text, None if self.closed else text)

    @property
    def known(self) -> list[str]:
        """Every class with a name."""
        every = (*self.containing.values(), *self.names.values())
        return [name for name in dict.fromkeys(every) if name != UNKNOWN_CLASS]


# Of a CSV file: 0 and 1 are labels already, and other texts have to be explained.
BINARY = Classes(_BINARY)


@dataclass(frozen=True)
class Labelling:
    """Which class is 1, and what texts mean that the data set does not explain itself."""

    positive: tuple[str, ...] = (MELANOMA,)
    meanings: Mapping[str, str] = field(default_factory=dict)  # class, 0 or 1, by text

    def check(self, classes: Classes, name: str) -> None:
        """Raise `InputError` for a positive class that the data set `name` does not have."""
        known = [*classes.known, *self.meanings.values()]
        for positive in self.positive if classes.closed else ():
            if classes.of(positive) is None and positive.casefold() not in known:
                raise InputError(
                    f"--positive {positive}: no class of {name}{suggestion(positive, known)}; "
                    f"one of: {', '.join(known)}"
                )

    def class_of(self, text: str, classes: Classes) -> str | None:
        """The class that a text means, or 0 or 1; None for a text that nobody explains."""
        return self.meanings.get(text.casefold(), classes.of(text))

    def label(self, text: str, classes: Classes, column: str) -> int:
        """1, 0, or UNKNOWN for an empty text and for one that leaves the class open.

        Raises:
            ValueError: nobody explains the text; its words name `column`.
        """
        if not text:
            return UNKNOWN
        positive = {classes.of(each) or each.casefold() for each in self.positive}
        name = self.class_of(text, classes)
        if name is None and text.casefold() in positive:
            return 1
        if name is None:
            known = "0 or 1" if classes is BINARY else f"one of {', '.join(classes.names)}"
            raise ValueError(
                f"{column} must be {known}, got '{text}'; "
                f"a text of your own needs its meaning, such as --labels '{text}=0'"
            )
        if name in ("0", "1"):
            return int(name)
        return UNKNOWN if name == UNKNOWN_CLASS else int(name in positive)


def parse_labelling(positive: Sequence[str], labels: Sequence[str]) -> Labelling:
    """What `--positive CLASS ...` and `--labels TEXT=CLASS ...` say.

    Raises:
        InputError: no class, or a text without its meaning.
    """
    if not positive:
        raise InputError("--positive names no class; give one, such as melanoma")
    meanings: dict[str, str] = {}
    for setting in labels:
        text, equals, name = setting.rpartition("=")
        if not (text and equals and name):
            raise InputError(f"--labels {setting}: write it as TEXT=CLASS, TEXT=0 or TEXT=1")
        if meanings.setdefault(text.casefold(), name.casefold()) != name.casefold():
            raise InputError(f"--labels {setting}: {text} has two meanings; leave one")
    return Labelling(tuple(positive), meanings)
