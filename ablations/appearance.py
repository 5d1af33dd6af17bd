"""How arms look in figures, and the order in which they come: by the description of their variant.

An arm of a variant that this version does not know has a look of its own, too, always the same one.
"""

import math
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from ablations.rows import Study, backbone_of, name_of
from masll.variants import Line, known_variants
from tuning.study.arm import DEFAULT

MOST_BANDS = 5  # that can be told apart in one panel

# Controls stand beside each other and the variants: none looks like another.
_CONTROLS: dict[str, tuple[str, str, Line]] = {
    "whole": ("#56b4e9", "P", (0, (8, 2))),
    "centre": ("#ca9161", "X", (0, (3, 2))),
    "shuffled": ("#949494", "<", (0, (2, 4))),
    "darkness": ("#000000", ">", (0, (8, 2, 2, 2))),
    "mask": ("#fbafe4", "p", (0, (5, 2, 2, 2, 2, 2))),
}
_OTHER_COLOURS = ("#ca9161", "#fbafe4", "#949494", "#ece133", "#56b4e9")
_OTHER_MARKERS = ("P", "X", "<", ">", "p", "h", "*")


class Look(NamedTuple):
    """Colour, marker and line of an arm."""

    colour: str
    marker: str
    line: Line
    hollow: bool = False

    @property
    def face(self) -> str:
        """The colour inside its marker."""
        return "white" if self.hollow else self.colour


def look_of(arm: str) -> Look:
    """The look of an arm, by its variant; with its default setting, the same but hollow."""
    name = name_of(arm)
    if name.endswith(DEFAULT):
        return look_of(name.removesuffix(DEFAULT))._replace(hollow=True)
    variant = known_variants().get(name)
    if variant is not None:
        return Look(variant.colour, variant.marker, variant.line)
    if name in _CONTROLS:
        return Look(*_CONTROLS[name])
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
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(wspace=0.05))
    FigureCanvasAgg(figure)
    return figure


def backbones_in(study: Study, arms: Iterable[str]) -> list[str]:
    """The backbones of some arms, in the order of the study."""
    own = set(map(backbone_of, arms))
    return [name for name in dict.fromkeys(map(backbone_of, study.arms)) if name in own]


def rows_of_panels(
    backbones: Sequence[str],
    columns: int,
    height: float = 2.6,
    *,
    titled: bool = False,
    **shared: Any,
) -> tuple[Figure, dict[str, list[Axes]]]:
    """A figure with a row of panels for each backbone, whose name stands over it.

    Args:
        columns: panels in a row.
        height: of a row in inches.
        titled: whether panels have titles of their own, over which the name has to stand.
        shared: of `Figure.subplots`.
    """
    figure = new_figure(8, 0.8 + height * len(backbones))
    panels = figure.subplots(len(backbones), columns, squeeze=False, **shared)
    for backbone, row in zip(backbones, panels, strict=True):
        row[0].set_title(backbone + "\n" * titled, loc="left", fontweight="bold")
    return figure, {name: list(row) for name, row in zip(backbones, panels, strict=True)}


def legend_below(figure: Figure, title: str | None = None) -> None:
    """One legend for all panels, outside the axes, with each name once."""
    named: dict[str, Artist] = {}
    for axes in figure.axes:
        handles, names = axes.get_legend_handles_labels()
        named |= {
            name: each for name, each in zip(names, handles, strict=True) if name not in named
        }
    columns = round(figure.get_figwidth() / 2)  # names are some 2 inches long
    figure.legend(
        list(named.values()), list(named), loc="outside lower center", ncols=columns, title=title
    )


def put_mean(axes: Axes, x: float, y: float, look: Look, **style: Any) -> None:
    """The marker of an arm at a mean; its interval is drawn beforehand."""
    axes.plot(x, y, marker=look.marker, color=look.colour, markerfacecolor=look.face, **style)


def margin_band(axes: Axes, margin: float) -> None:
    """Zero, and the band around it within which a difference is taken for none.

    Args:
        margin: of equivalence, see `effects`.
    """
    name = f"margin of equivalence, ±{margin:g}"
    axes.axvspan(-margin, margin, color="0.9", linewidth=0, label=name)
    axes.axvline(0, color="0.4", linewidth=0.8)


def log_ticks(axes: Axes) -> None:
    """Ticks of a logarithmic abscissa that keep apart: decades, or 1, 2, 5 where these are few."""
    low, high = axes.get_xlim()
    few = math.log10(high / low) < 2
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    if few:
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def whole_numbers(axes: Axes) -> None:
    """Ticks of the abscissa at whole numbers only."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
