"""What the label texts of a data set mean: 1, the positive class; 0, any other; or nothing.

A layout knows the classes of its set: `mel`, `MEL` and `melanoma (in situ)` are melanoma.
`--positive` says which classes are 1, and `--labels TEXT=CLASS` what further texts mean.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from masll.common.checks import suggestion
from masll.common.errors import InputError
from masll.data.types import UNKNOWN

MELANOMA = "melanoma"
UNKNOWN_CLASS = ""  # of texts that leave open which class it is: the image has no label then
_MOST_LISTED = 20
_BINARY = {"0": "0", "0.0": "0", "1": "1", "1.0": "1"}


@dataclass(frozen=True)
class Classes:
    """The classes of a data set, by the texts that stand for them."""

    names: Mapping[str, str]  # class by text, both in lower case; UNKNOWN_CLASS leaves it open
    containing: Mapping[str, str] = field(default_factory=dict)  # class by a part of the text
    open_where: tuple[str, ...] = ()  # beginnings of texts that leave the class open, too
    closed: bool = True  # whether these are all; if not, any other text is a class by itself

    def of(self, text: str) -> str | None:
        """The class that a text means; None for a text that is not of this set."""
        text = text.casefold()
        if self.leave_open(text):
            return UNKNOWN_CLASS
        for word, name in self.containing.items():
            if word in text:
                return name
        return self.names.get(text, None if self.closed else text)

    def leave_open(self, text: str) -> bool:
        """Whether a text says by its beginning that nobody could tell the class."""
        return text.casefold().startswith(self.open_where)

    @property
    def known(self) -> list[str]:
        """Every class with a name."""
        every = (*self.containing.values(), *self.names.values())
        return [name for name in dict.fromkeys(every) if name != UNKNOWN_CLASS]


# Of a CSV file: 0 and 1 are labels already, and other texts have to be explained.
BINARY = Classes(_BINARY)


@dataclass(frozen=True)
class Labelling:
    """Which class is 1, and what texts mean that the data set does not explain itself.

    The last two are for images of one set that are judged by the models of another: nobody asked
    for them here, so that a set may well lack them.
    """

    positive: tuple[str, ...] = (MELANOMA,)
    meanings: Mapping[str, str] = field(default_factory=dict)  # class, 0 or 1, by text
    elsewhere: Mapping[str, str] = field(default_factory=dict, compare=False)  # likewise
    inherited: bool = field(default=False, compare=False)  # whether `positive` is from there

    def check(self, texts: Collection[str], classes: Classes, name: str) -> None:
        """Whether each option says something of the images: none is ignored in silence.

        Melanoma is positive where nobody asks, and a set may well have none: that is no fault.

        Args:
            texts: label texts of all rows of the data set `name`.

        Raises:
            InputError: no row has a text that `--labels` explains, or the class that it gives is
                none of the set's, or no row is of a class of `--positive`.
        """
        folded = dict.fromkeys(text.casefold() for text in texts if text)
        own = [each.casefold() for each in self.positive]
        known = [*classes.known, *own, *(() if classes.closed else folded)]
        for text, meant in self.meanings.items():
            if text not in folded:
                raise InputError(
                    f"--labels {text}={meant}: no image of {name} has this label text"
                    f"{suggestion(text, folded)}; {_listed(folded)}"
                )
            if classes is not BINARY and meant not in ("0", "1", *known):
                raise InputError(
                    f"--labels {text}={meant}: no class of {name}{suggestion(meant, known)}; "
                    f"{_listed(dict.fromkeys(known))}"
                )
        if self.inherited:
            self._check_binary(folded, classes, name)
        # Where all classes are the user's own, a misspelt one leaves melanoma without images.
        in_words = classes is BINARY and not {"0", "1"}.issuperset(self.meanings.values())
        of_texts = {text: self.class_of(text, classes) for text in folded}
        found = dict.fromkeys(text if of is None else of for text, of in of_texts.items())
        asked = self.positive if in_words or self.positive != (MELANOMA,) else ()
        lacking = [
            positive
            for positive in asked
            if not any(self._is_one_by(positive, text, classes) for text in folded)
        ]
        for positive in lacking:
            there = [each for each in found if each not in ("0", "1", UNKNOWN_CLASS)]
            near = suggestion(positive, there)
            remedy = _listed(there) if there else "its labels name no class; leave it out"
            if self.inherited:
                # A set without the class, unless it has one that may be the same.
                if not near or len(lacking) < len(self.positive):
                    continue
                remedy = f"say with --labels which texts mean {positive}, and which 0"
            raise InputError(f"--positive {positive}: no class of {name}{near}; {remedy}")

    def _check_binary(self, texts: Collection[str], classes: Classes, name: str) -> None:
        """Raise `InputError` where 1 may be melanoma, and another class is the positive one."""
        explained = self.meanings.keys() | self.elsewhere.keys()
        for text in texts if self.positive != (MELANOMA,) else ():
            if text not in explained and classes.of(text) in ("0", "1"):
                told = " or ".join(self.positive)
                raise InputError(
                    f"{name} has the label {text}, and the models tell {told} from all others; say "
                    f"what it means, as in --labels {text}={self.positive[0]}"
                )

    def class_of(self, text: str, classes: Classes) -> str | None:
        """The class that a text means, or 0 or 1; None for a text that nobody explains."""
        text = text.casefold()
        known = classes.of(text)
        return self.meanings.get(text, self.elsewhere.get(text, known))

    def label(self, text: str, classes: Classes, column: str) -> int:
        """1, 0, or UNKNOWN for an empty text and for one that leaves the class open.

        Raises:
            ValueError: nobody explains the text; its words name `column`.
        """
        label = self._label(text.casefold(), classes)
        if label is None:
            known = "0 or 1" if classes is BINARY else f"one of {', '.join(classes.names)}"
            raise ValueError(
                f"{column} must be {known}, got '{text}'; "
                f"a text of your own needs its meaning, such as --labels '{text}=0'"
            )
        return label

    def _label(self, text: str, classes: Classes) -> int | None:
        name = self.class_of(text, classes)
        if not text or name == UNKNOWN_CLASS:
            return UNKNOWN
        if name in ("0", "1"):
            return int(name)
        if any(_names(positive, text, name, classes) for positive in self.positive):
            return 1
        return None if name is None else 0

    def _is_one_by(self, positive: str, text: str, classes: Classes) -> bool:
        """Whether a text is that of a positive class, and has become a 1."""
        named = _names(positive, text, self.class_of(text, classes), classes)
        return named and self._label(text, classes) == 1


def _names(positive: str, text: str, name: str | None, classes: Classes) -> bool:
    """Whether a class of `--positive` is that of a text: by its name, or by the text exactly.

    A text that is only a part of others stands for itself: `Melanoma Invasive` is not melanoma.
    """
    positive = positive.casefold()
    return positive == text or (classes.names.get(positive) or positive) == name


def _listed(names: Collection[str]) -> str:
    """What there is to choose from; an open set has hundreds of classes."""
    more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    return f"one of: {', '.join([*names][:_MOST_LISTED])}{more}" if names else "it has no labels"


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
