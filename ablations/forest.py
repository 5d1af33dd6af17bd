"""The forest figure: each arm's difference to its reference, beside the margin of equivalence."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ablations.appearance import legend_below, look_of, margin_band, new_figure, put_mean
from ablations.defaults import MARGIN
from ablations.formats import p_text, several
from ablations.rows import Study, name_of
from masll.variants import REFERENCE

_ROW = 0.32  # inches


def forest(study: Study, table: pd.DataFrame, margin: float = MARGIN) -> Figure | None:
    """Difference in AUC of each arm to its reference, with its interval; a panel a backbone.

    The band is the margin of equivalence: an interval within it shows no difference beyond it.

    Args:
        table: see `ablation_table`.
        margin: see `effects`.
    """
    table = table[table["delta_auc"].notna()]
    if table.empty:
        return None
    backbones = list(dict.fromkeys(table["backbone"]))
    parts = {name: table[table["backbone"] == name] for name in backbones}
    figure = new_figure(7, 1.3 + 0.4 * len(parts) + _ROW * len(table))
    sizes = [len(rows) + 0.5 for rows in parts.values()]
    panels = figure.subplots(len(parts), 1, squeeze=False, sharex=True, height_ratios=sizes)
    alike = table["seeds"].nunique() == 1
    for axes, (backbone, rows) in zip(panels[:, 0], parts.items(), strict=True):
        axes.set_title(backbone, loc="left", fontweight="bold")
        margin_band(axes, margin)
        _rows(axes, rows.iloc[::-1], name_seeds=not alike)
    or_as_named = ", or as named" * bool((table["reference"] != REFERENCE).any())
    images = study.test_predictions["image_id"].nunique()
    panels[-1][0].set_xlabel(
        f"AUC minus that of {REFERENCE}{or_as_named}\n"
        f"95 % interval, {several(table['seeds'], 'seed')}, {images} test images"
    )
    legend_below(figure)
    return figure


def _rows(axes: Axes, rows: pd.DataFrame, *, name_seeds: bool) -> None:
    """A line for each arm, the first one below."""
    names = []
    for height, row in enumerate(rows.to_dict("records")):
        look = look_of(row["arm"])
        axes.plot([row["delta_low"], row["delta_high"]], [height, height], color=look.colour)
        put_mean(axes, row["delta_auc"], height, look)
        p = p_text(row["p_holm"], "p Holm")
        place = ("axes fraction", "data")
        axes.annotate(p, (1.02, height), xycoords=place, va="center", fontsize="small")
        versus = f" minus {row['reference']}" * (row["reference"] != REFERENCE)
        seeds = f" ({several([row['seeds']], 'seed')})" * name_seeds
        names.append(f"{name_of(row['arm'])}{versus}{seeds}")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.grid(axis="y", visible=False)
