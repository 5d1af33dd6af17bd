"""The five variants of the network, as a leave-one-out design over its three parts.

Imports nothing, so that tools that only read results need not load PyTorch.
"""

from typing import NamedTuple


class Parts(NamedTuple):
    """What a variant is made of."""

    fuses_global: bool  # global features reach the classifier
    localizes: bool  # SLL crops the lesion for a local branch
    gates: bool  # WFI weighs the features, equations 4 to 6


PARTS: dict[str, Parts] = {
    "baseline": Parts(fuses_global=True, localizes=False, gates=False),
    "global-only": Parts(fuses_global=True, localizes=False, gates=True),
    "local-only": Parts(fuses_global=False, localizes=True, gates=True),
    "concat-fusion": Parts(fuses_global=True, localizes=True, gates=False),
    "gated-fusion": Parts(fuses_global=True, localizes=True, gates=True),
}

VARIANTS: tuple[str, ...] = tuple(PARTS)
