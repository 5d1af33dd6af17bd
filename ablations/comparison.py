"""Arms of several studies side by side, where the studies saw the same images."""

import itertools
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from ablations.defaults import MARGIN
from ablations.differences import Floats, test_labels, wide_scores
from ablations.formats import (
    Cells,
    document,
    interval,
    markdown,
    mean_and_sd,
    number,
    p_text,
)
from ablations.rows import Study
from ablations.statistics import auc_difference, holm
from ablations.tables import ablation_table
from masll.common.errors import InputError
from masll.variants import REFERENCE

_TESTED = (
    "Arms of the same name in two studies, on the same test images: the later study minus the "
    "earlier, for other seeds and other images (see `contrast`); Holm's p holds for all of these "
    "comparisons."
)
_NOTE = (
    "All studies saw the same images in the same splits{but}. Differences and p-values are those "
    "within each study; Holm's p holds for the comparisons of one study."
)


def compare(studies: Sequence[Study], margin: float = MARGIN) -> pd.DataFrame:
    """The ablation tables of studies of the same data, one below the other.

    Args:
        margin: of equivalence, see `ablation_table`.

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
    names = _names(studies)
    tables = [ablation_table(study, margin) for study in studies]
    for name, table in zip(names, tables, strict=True):
        table.insert(0, "study", name)
    return pd.concat(tables, ignore_index=True)


def between_studies(studies: Sequence[Study]) -> pd.DataFrame:
    """Arms of the same name in two studies against each other, paired on the same test images.

    Returns:
        A row for each such arm and pair of studies: arm, study, minus (the studies' names), seeds
        and minus_seeds, delta_auc, delta_low, delta_high (95 %), p_value, p_holm; no rows where no
        two studies have confirmed an arm on the same images.
    """
    names = _names(studies)
    confirmed = [_confirmed_scores(study) for study in studies]
    rows: list[dict[str, Any]] = []
    for (earlier, first), (later, second) in itertools.combinations(
        zip(names, confirmed, strict=True), 2
    ):
        if first is None or second is None or not first.labels.equals(second.labels):
            continue
        for arm in (arm for arm in first.scores if arm in second.scores):
            own, other = second.scores[arm], first.scores[arm]
            found = auc_difference(first.labels, own, other)
            rows.append(
                {
                    "arm": arm,
                    "study": later,
                    "minus": earlier,
                    "seeds": len(own),
                    "minus_seeds": len(other),
                    "delta_auc": found.value,
                    "delta_low": found.low,
                    "delta_high": found.high,
                    "p_value": found.p_value,
                }
            )
    table = pd.DataFrame(rows)
    return table if table.empty else table.assign(p_holm=holm(table["p_value"]))


def between_cells(table: pd.DataFrame) -> list[Cells]:
    """`between_studies` as a person reads it."""
    return [
        {
            "arm": row["arm"],
            "study": row["study"],
            "minus": row["minus"],
            "seeds": f"{row['seeds']}, {row['minus_seeds']}",
            "AUC": number(row["delta_auc"], "+.3f"),
            "95 % interval": interval(row["delta_low"], row["delta_high"]),
            "p": p_text(row["p_value"]),
            "p Holm": p_text(row["p_holm"]),
        }
        for row in table.to_dict("records")
    ]


class _Confirmed(NamedTuple):
    labels: pd.Series  # by image id, in order
    scores: Mapping[str, Floats]  # arm to (seeds, n)


def _confirmed_scores(study: Study) -> _Confirmed | None:
    if study.test_predictions.empty:
        return None
    labels = test_labels(study)
    return _Confirmed(labels, wide_scores(study, labels))


def _names(studies: Sequence[Study]) -> list[str]:
    """Each study's folder's name, or its path where names are alike."""
    names = [study.path.resolve().name for study in studies]
    return names if len(set(names)) == len(names) else [str(study.path) for study in studies]


def note(studies: Sequence[Study]) -> str:
    """What a reader must know of studies side by side."""
    without = [
        f"{study.path} without {study.left_out} that show a lesion of a later split"
        for study in studies
        if study.left_out
    ]
    return _NOTE.format(but=f", but {', '.join(without)}" if without else "")


def fingerprint(study: Study) -> str:
    """Of the ids, labels, splits and content of the images of a study.

    Raises:
        InputError: spec.json does not name it.
    """
    digest = study.spec.data.fingerprint
    if not digest:
        raise InputError(
            f"{study.path}/spec.json names no fingerprint of its data, so it cannot "
            "be compared with other studies; report it alone"
        )
    return str(digest)


def comparison_panels(table: pd.DataFrame) -> list[list[Cells]]:
    """`compare` as a person reads it, in parts that a screen holds: results, then settings.

    Arms stand together, each study's row below the other's.
    """
    order = {arm: index for index, arm in enumerate(dict.fromkeys(table["arm"]))}
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
    parts = ["# Studies side by side", shown, note(studies)]
    tested = between_studies(studies)
    if not tested.empty:
        parts += ["## Against each other", markdown(between_cells(tested)).rstrip(), _TESTED]
    return document([*parts, folders])


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
        "p Holm": p_text(row["p_holm"]),
        "lr": number(row["lr"], ".2g"),
        "scale": number(row["threshold_scale"], ".2f"),
        "trials": str(row["trials"]),
    }
