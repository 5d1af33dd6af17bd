"""How arms look in figures, and the order in which they come: by the description of their variant.

An arm of a variant that this version does not know has a look of its own, too, always the same one.
"""

import zlib
from collections.abc import Iterable
from typing import Any, NamedTuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

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


def rows_of_panels(
    arms: Iterable[str], columns: int, height: float = 2.6, **shared: Any
) -> tuple[Figure, dict[str, list[Axes]]]:
    """A figure with a row of panels for each backbone, whose name stands over it.

    Args:
        columns: panels in a row.
        height: of a row in inches.
        shared: of `Figure.subplots`.
    """
    backbones = list(dict.fromkeys(map(backbone_of, arms)))
    figure = new_figure(8, 0.8 + height * len(backbones))
    panels = figure.subplots(len(backbones), columns, squeeze=False, **shared)
    for backbone, row in zip(backbones, panels, strict=True):
        row[0].set_title(backbone, loc="left", fontweight="bold")
    return figure, {name: list(row) for name, row in zip(backbones, panels, strict=True)}


def legend_below(figure: Figure, title: str | None = None) -> None:
    """One legend for all panels, outside the axes, with each name once."""
    named: dict[str, Artist] = {}
    for axes in figure.axes:
        handles, names = axes.get_legend_handles_labels()
        named |= {
            name: each for name, each in zip(names, handles, strict=True) if name not in named
        }
    figure.legend(
        list(named.values()), list(named), loc="outside lower center", ncols=4, title=title
    )


def whole_numbers(axes: Axes) -> None:
    """Ticks of the abscissa at whole numbers only."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
