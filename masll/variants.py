"""The five variants of the network, as a leave-one-out design over its three parts.

An entry says all that is known of a variant: what it is made of, what it lacks in words, how
figures show it. Another variant is another entry. Imports nothing, so that tools that only read
results need not load PyTorch.
"""

from collections.abc import Mapping
from typing import NamedTuple

Line = str | tuple[int, tuple[int, ...]]  # as matplotlib has it


class Variant(NamedTuple):
    """One variant of the network."""

    summary: str  # for people who choose
    fuses_global: bool  # global features reach the classifier
    localizes: bool  # SLL crops the lesion for a local branch
    fusion: str | None  # class in `masll.fusion` that weighs the features; None concatenates only
    lacks: str | None  # what the reference has and this variant has not; None for the reference
    colour: str  # Okabe and Ito 2008, as seaborn has them: apart for colour-blind readers, too
    marker: str
    line: Line

    @property
    def parts_of_features(self) -> tuple[bool, bool]:
        """What the classifier sees: (global features, local features)."""
        return self.fuses_global, self.localizes

    @property
    def gates(self) -> bool:
        """Whether WFI weighs the features, equations 4 to 6."""
        return self.fusion is not None


_WFI = "WeightedFeatureIntegration"
_ENTRIES: dict[str, Variant] = {
    "baseline": Variant(
        "the plain network, as the paper's baseline rows",
        fuses_global=True,
        localizes=False,
        fusion=None,
        lacks="the whole of MASLL",
        colour="#0173b2",
        marker="o",
        line="-",
    ),
    "global-only": Variant(
        "without the local branch",
        fuses_global=True,
        localizes=False,
        fusion=_WFI,
        lacks="the local branch",
        colour="#de8f05",
        marker="s",
        line="--",
    ),
    "local-only": Variant(
        "without the global features in the fusion",
        fuses_global=False,
        localizes=True,
        fusion=_WFI,
        lacks="fusing the global features",
        colour="#029e73",
        marker="D",
        line="-.",
    ),
    "concat-fusion": Variant(
        "without the gate",
        fuses_global=True,
        localizes=True,
        fusion=None,
        lacks="the gate",
        colour="#d55e00",
        marker="^",
        line=":",
    ),
    "gated-fusion": Variant(
        "the paper's network",
        fuses_global=True,
        localizes=True,
        fusion=_WFI,
        lacks=None,
        colour="#cc78bc",
        marker="v",
        line=(0, (5, 1, 1, 1, 1, 1)),
    ),
}

VARIANTS: tuple[str, ...] = tuple(_ENTRIES)
REFERENCE = "gated-fusion"  # that others are compared with
PLAIN = "baseline"


def describe(name: str) -> Variant:
    """The entry of a variant.

    >>> describe("concat-fusion").gates, describe("concat-fusion").lacks
    (False, 'the gate')

    Raises:
        KeyError: there is no such variant.
    """
    return _ENTRIES[name]


def known_variants() -> Mapping[str, Variant]:
    """Every entry by its name, in the order in which tables and figures show them."""
    return _ENTRIES
