"""The eight ways in which a square image can lie: turned by quarters, and mirrored."""

from torch import Tensor

TURNS = (
    *("as it is", "turned left", "upside down", "turned right"),
    *("mirrored", "mirrored, turned left", "mirrored, upside down", "mirrored, turned right"),
)
INVERSE = (0, 3, 2, 1, 4, 5, 6, 7)  # the turn that undoes each


def turned(images: Tensor, turn: int) -> Tensor:
    """Mirror left and right from turn 4 on, then rotate to the left by quarters: (..., S, S).

    Args:
        turn: place in TURNS; 0 gives the images themselves.
    """
    mirrored = images.flip(-1) if turn >= 4 else images
    return mirrored.rot90(turn % 4, (-2, -1))
