"""The paper's Tables I and II: its published rows, and beneath them what this study measured.

X. Wang, W. Huang, Z. Lu, S. Huang, "Multi-level Attentive Skin Lesion Learning for Melanoma
Classification", on the same 600 test images of ISIC 2017.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ablations.differences import ALPHA
from ablations.formats import HEADINGS, Cells, number
from ablations.rows import Study
from masll.data.labelling import MELANOMA
from masll.variants import PLAIN, REFERENCE

NAN = math.nan
# SHA-256 of the ids of the official test images, in order, a line each.
_OFFICIAL_TEST = "8e7a85c979aef0597511c5d99791b2af10e62f0cf064ddfad7786583d09cbc03"
LEAKS_OF_ISIC_2017 = 29  # training images that show a later lesion: python -m masll.data audit

_TABLE_1 = ("auc", "acc", "sen_at_spe_95", "sen_at_spe_90", "sen_at_spe_85")
_TABLE_2 = ("auc", "acc", "sen", "spe")

# In per cent, as printed.
_PUBLISHED_1: Mapping[str, Sequence[float]] = {
    "ResNet101": (84.03, 85.50, 46.15, 51.28, 59.83),
    "DenseNet121": (84.49, 85.16, 41.03, 52.99, 60.68),
    "MASLL (ResNet101)": (87.17, 86.34, 50.43, 65.80, 72.64),
    "MASLL (DenseNet121)": (87.84, 87.33, 55.56, 68.37, 76.06),
}
_PUBLISHED_2: Mapping[str, Sequence[float]] = {
    "Zhang": (85.90, 83.70, 59.00, 89.60),
    "Yang": (84.20, 83.00, 60.70, 88.40),
    "Sultana": (78.90, 83.20, 52.90, 90.50),
    "Al-masni": (NAN, 81.57, 75.33, 80.62),
    "Harangi": (85.10, 85.20, 40.20, 71.90),
    "MASLL": (87.84, 87.33, 54.70, 95.24),
}


def is_official(study: Study) -> bool:
    """Whether a study's models told melanomas on the 600 official test images of ISIC 2017."""
    asked = study.spec.options
    if tuple(asked.get("positive", (MELANOMA,))) != (MELANOMA,) or asked.get("labels"):
        return False
    ids = sorted(study.test_predictions["image_id"].unique())
    return hashlib.sha256("\n".join(ids).encode()).hexdigest() == _OFFICIAL_TEST


def table_1(table: pd.DataFrame) -> pd.DataFrame:
    """The plain backbone beside MASLL on it: the paper's rows, then this study's.

    Args:
        table: see `ablation_table`.

    Returns:
        Columns method, source (`published` or `measured`), seeds, auc, acc, sen_at_spe_95, _90,
        _85 (in per cent), bold: whether the paired test of the study says that this row is the
        better one of its backbone. No published row is bold: no test stands behind it.
    """
    table = _undeclared(table)
    rows = _published(_PUBLISHED_1, _TABLE_1)
    for row in table[table["variant"].isin([PLAIN, REFERENCE])].to_dict("records"):
        rows.append(_measured(row, _TABLE_1) | {"bold": _better(table, row)})
    return pd.DataFrame(rows)


def table_2(table: pd.DataFrame) -> pd.DataFrame:
    """Other published methods beside this study's gated-fusion.

    Args:
        table: see `ablation_table`.

    Returns:
        Columns as of `table_1`, with auc, acc, sen and spe at a probability of 0.5. Nothing is
        bold: others' predictions were never published, so there is no paired test.
    """
    table = _undeclared(table)
    rows = _published(_PUBLISHED_2, _TABLE_2)
    for row in table[table["variant"] == REFERENCE].to_dict("records"):
        rows.append(_measured(row, _TABLE_2) | {"bold": False})
    return pd.DataFrame(rows)


def cells(table: pd.DataFrame) -> list[Cells]:
    """`table_1` or `table_2` as a person reads it."""
    shown = []
    for row in table.to_dict("records"):
        line = {"method": row["method"], "source": row["source"]} | {
            heading: number(row[name], ".2f") for name, heading in HEADINGS.items() if name in row
        }
        shown.append(
            {k: f"**{v}**" if row["bold"] and k != "source" else v for k, v in line.items()}
        )
    return shown


def _published(rows: Mapping[str, Sequence[float]], figures: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"method": method, "source": "published", "seeds": NAN}
        | dict(zip(figures, values, strict=True))
        | {"bold": False}
        for method, values in rows.items()
    ]


def _measured(row: Mapping[Any, Any], figures: Sequence[str]) -> dict[str, Any]:
    named = {figure: row["auc_mean" if figure == "auc" else figure] for figure in figures}
    return {"method": row["arm"], "source": "measured", "seeds": row["seeds"]} | {
        figure: 100 * value for figure, value in named.items()
    }


def _undeclared(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of variants as they are."""
    return table[table["arm"] == table["variant"] + "/" + table["backbone"]]


def _better(table: pd.DataFrame, row: Mapping[Any, Any]) -> bool:
    """Whether the paired test supports that this arm beats the other one of its backbone."""
    same = table[(table["variant"] == PLAIN) & (table["backbone"] == row["backbone"])]
    if same.empty:
        return False
    compared = same.iloc[0]
    supported = compared["p_holm"] < ALPHA  # nan supports nothing
    wins = PLAIN if compared["delta_auc"] > 0 else REFERENCE
    return bool(supported and row["variant"] == wins)
