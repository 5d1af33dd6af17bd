"""Arms of several studies side by side, where the studies saw the same images."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from ablations.differences import REFERENCE
from ablations.formats import Cells, interval, markdown, mean_and_sd, number
from ablations.rows import Study
from ablations.tables import ablation_table
from masll.errors import InputError

_NOTE = (
    "All studies saw the same images in the same splits{but}. Differences and p-values are those "
    "within each study; Holm's p holds for the comparisons of one study."
)


def compare(studies: Sequence[Study]) -> pd.DataFrame:
    """The ablation tables of studies of the same data, one below the other.

    Returns:
        Columns study (its folder's name, or its path where names are alike), then those of
        `ablation_table`. Differences and p-values remain those within each study.

    Raises:
        InputError: a study does not name the fingerprint of its data, or it is another's.
    """
    first, *others = studies
    for other in others:
        if fingerprint(other) != fingerprint(first):
            raise InputError(
                f"{other.path} has other data than {first.path} (fingerprint "
                f"{fingerprint(other)[:12]}, not {fingerprint(first)[:12]}), so their figures "
                "cannot stand side by side; report each alone"
            )
    names = [study.path.resolve().name for study in studies]
    if len(set(names)) < len(names):
        names = [str(study.path) for study in studies]
    tables = [ablation_table(study) for study in studies]
    for name, table in zip(names, tables, strict=True):
        table.insert(0, "study", name)
    return pd.concat(tables, ignore_index=True)


def note(studies: Sequence[Study]) -> str:
    """What a reader must know of studies side by side."""
    without = [f"{study.path} without {study.left_out} that show a lesion of a later split"
               for study in studies if study.left_out]  # fmt: skip
    return _NOTE.format(but=f", but {', '.join(without)}" if without else "")


def fingerprint(study: Study) -> str:
    """Of the ids, labels, splits and content of the images of a study.

    Raises:
        InputError: spec.json does not name it.
    """
    found = (study.spec or {}).get("data", {}).get("fingerprint")
    if not found:
        raise InputError(f"{study.path}/spec.json names no fingerprint of its data, so it cannot "
                         "be compared with other studies; report it alone")  # fmt: skip
    return str(found)


def comparison_panels(table: pd.DataFrame) -> list[list[Cells]]:
    """`compare` as a person reads it, in parts that a screen holds: results, then settings.

    Arms stand together, each study's row below the other's.
    """
    order = {arm: place for place, arm in enumerate(dict.fromkeys(table["arm"]))}
    ordered = table.sort_values("arm", key=lambda arms: arms.map(order), kind="stable")
    rows = ordered.to_dict("records")
    return [[part(row) for row in rows] for part in (_results, _settings)]


def comparison_cells(table: pd.DataFrame) -> list[Cells]:
    """The parts of `comparison_panels` as one."""
    return [left | right for left, right in zip(*comparison_panels(table), strict=True)]


def comparison_document(studies: Sequence[Study], table: pd.DataFrame) -> str:
    """The comparison as Markdown, with what a reader must know."""
    folders = "\n".join(f"- {study.path}" for study in studies)
    shown = markdown(comparison_cells(table)).rstrip()
    return "\n\n".join(["# Studies side by side", shown, note(studies), folders]) + "\n"


def _results(row: Mapping[Hashable, Any]) -> Cells:
    return {
        "arm": row["arm"],
        "study": row["study"],
        "seeds": str(row["seeds"]),
        "AUC": mean_and_sd(row["auc_mean"], row["auc_sd"]),
        "AUC, 95 %": interval(row["auc_low"], row["auc_high"]),
    }


def _settings(row: Mapping[Hashable, Any]) -> Cells:
    return {
        "arm": row["arm"],
        "study": row["study"],
        f"minus {REFERENCE}": number(row["delta_auc"], "+.3f"),
        "p Holm": number(row["p_holm"], ".3f"),
        "lr": number(row["lr"], ".2g"),
        "scale": number(row["threshold_scale"], ".2f"),
        "trials": str(row["trials"]),
    }
