"""Questions to the 2 x 2 of local branch and gate, as weights of a contrast over arms.

Of variants that fuse the global features, each has or lacks a local branch, and has or lacks a
gate: baseline, global-only, concat-fusion, gated-fusion. A main effect uses all four arms of a
backbone, so that it is surer than any one of its differences: five seeds find .03 more than twice
as often.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from masll.variants import PLAIN, REFERENCE, describe, known_variants


class Question(NamedTuple):
    """What is asked of the arms."""

    name: str
    meaning: str  # of a positive value
    weights: Mapping[str, float]  # by variant; they sum to 0
    about_gate: bool = False  # whether a gate that does nothing leaves nothing to ask

    @property
    def gated_variants(self) -> tuple[str, ...]:
        """Variants in question that have a gate."""
        return tuple(
            name for name, weight in self.weights.items() if weight and describe(name).gates
        )


def _cells() -> dict[tuple[bool, bool], str]:
    """The variant of each cell: (has a local branch, has a gate)."""
    fusing = [name for name, each in known_variants().items() if each.fuses_global]
    cells: dict[tuple[bool, bool], str] = {}
    for name in fusing:
        cells.setdefault((describe(name).localizes, describe(name).gates), name)
    return cells


def whole() -> Question:
    """The whole of MASLL: the primary question, named before the study."""
    weights = {REFERENCE: 1.0, PLAIN: -1.0}
    return Question("the whole of MASLL", f"{REFERENCE} is better than {PLAIN}", weights)


def main_effects() -> tuple[Question, ...]:
    """The main effect of each part, and whether one helps more where the other is."""
    cells = _cells()
    local = {name: 0.5 if localizes else -0.5 for (localizes, _), name in cells.items()}
    gate = {name: 0.5 if gates else -0.5 for (_, gates), name in cells.items()}
    both = {name: 1.0 if l == g else -1.0 for (l, g), name in cells.items()}  # noqa: E741
    return (
        Question("the local branch", "networks with it are better, with a gate or without", local),
        Question(
            "the gate",
            "networks with it are better, with a local branch or without",
            gate,
            about_gate=True,
        ),
        Question(
            "local branch x gate", "each helps more where the other is", both, about_gate=True
        ),
    )


def weights_over(question: Question, arms: Sequence[tuple[str, str]]) -> list[float] | None:
    """A number for each arm: the mean over backbones of the question's weights.

    >>> weights_over(whole(), [("baseline", "a"), ("gated-fusion", "a"), ("baseline", "b")])
    [-1.0, 1.0, 0.0]

    Args:
        arms: (variant, backbone) of each.

    Returns:
        None where no backbone has all the variants that the question needs.
    """
    needed = {variant for variant, weight in question.weights.items() if weight}
    backbones = {backbone for _, backbone in arms}
    whole_ones = [b for b in backbones if needed <= {v for v, other in arms if other == b}]
    if not whole_ones:
        return None
    return [
        question.weights.get(variant, 0.0) / len(whole_ones) if backbone in whole_ones else 0.0
        for variant, backbone in arms
    ]
