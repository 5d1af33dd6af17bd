"""How arms look in figures, and the order in which they come: by the description of their variant.

An arm of a variant that this version does not know has a look of its own, too, always the same one.
"""

import zlib
from collections.abc import Iterable
from typing import NamedTuple

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ablations.rows import backbone_of, name_of
from masll.variants import Line, known_variants
from tuning.study.arm import DEFAULT

# Controls stand beside each other and the variants: none looks like another.
_CONTROLS = {
    "whole": ("#56b4e9", "P"),
    "centre": ("#ca9161", "X"),
    "shuffled": ("#949494", "<"),
    "darkness": ("#000000", ">"),
    "mask": ("#fbafe4", "p"),
}
_OTHER_COLOURS = ("#ca9161", "#fbafe4", "#949494", "#ece133", "#56b4e9")
_OTHER_MARKERS = ("P", "X", "<", ">", "p", "h", "*")


class Look(NamedTuple):
    """Colour, marker and line of an arm."""

    colour: str
    marker: str
    line: Line


def look_of(arm: str) -> Look:
    """The look of an arm, by its variant."""
    name = name_of(arm)
    variant = known_variants().get(name)
    if variant is not None:
        return Look(variant.colour, variant.marker, variant.line)
    if name in _CONTROLS:
        return Look(*_CONTROLS[name], (0, (3, 1)))
    draw = zlib.crc32(name.encode())
    colour = _OTHER_COLOURS[draw % len(_OTHER_COLOURS)]
    marker = _OTHER_MARKERS[draw // len(_OTHER_COLOURS) % len(_OTHER_MARKERS)]
    return Look(colour, marker, (0, (3, 1)))


def in_order(arms: Iterable[str], backbone: str | None = None) -> list[str]:
    """Arms in the order of their variants, of one backbone or all; others come last.

    Arms with their default setting are left out: tables show them, and the differences do.
    """
    rank = {name: index for index, name in enumerate(known_variants())}
    chosen = [
        arm
        for arm in arms
        if backbone in (None, backbone_of(arm)) and not name_of(arm).endswith(DEFAULT)
    ]
    return sorted(chosen, key=lambda arm: (rank.get(name_of(arm), len(rank)), arm))


def new_figure(width: float, height: float) -> Figure:
    """An empty figure that is drawn without a window, whatever backend the reader has chosen.

    Args:
        width, height: in inches.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
