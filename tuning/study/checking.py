"""What the rows of a study have to be, one rule at a place: each raises `ValueError` with a reason.

A trial's row by itself, what it says of the study's question, and whether epochs and predictions
agree with it.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from tuning.study.plain import shown
from tuning.study.rows import EpochRow, PredictionRow, TrialRow, columns_of
from tuning.study.space import of_arm
from tuning.study.spec import Spec
from tuning.study.trial import Stage, Trial

RowType = type[TrialRow] | type[EpochRow] | type[PredictionRow]
_MOST_ROWS = 10**7  # of a file; some bytes of Parquet may claim any number
_ROUNDING = 1e-9  # of a logarithm and back
_NEVER_NEGATIVE = ("number", "seed", "epochs", "crashes", "preemptions", "seconds")


def _never_null(row: RowType) -> Collection[str]:
    """Columns that are no numbers and cannot be unknown."""
    hints = typing.get_type_hints(row)
    names = (each.name for each in dataclasses.fields(row) if each.metadata.get("column", True))
    return {
        name
        for name in names
        if not isinstance(hints[name], types.UnionType) and hints[name] is not float
    }


_NEVER_NULL = {row: _never_null(row) for row in (TrialRow, EpochRow, PredictionRow)}


def check_columns(row: RowType, rows: int, columns: Mapping[str, pa.DataType]) -> None:
    """Whether a file has the rows that its folder has: how many, which columns, of which types."""
    if rows > (1 if row is TrialRow else _MOST_ROWS):
        raise ValueError(f"{rows:,} rows, which are too many")
    if not rows:
        raise ValueError("no rows")
    for name in row.REQUIRED:
        # Arrow would fill the column of this one file with nulls, and say nothing.
        if name not in columns:
            raise ValueError(f"no column '{name}'; was it made by this tool?")
    for name, wanted in columns_of(row).items():
        if name in columns and not _like(columns[name], wanted):
            raise ValueError(f"column '{name}' must be of type {wanted}, got {columns[name]}")


def check_nulls(row: RowType, rows: pa.Table) -> None:
    """Whether what cannot be unknown is there; a number that is not one may be null."""
    never = _NEVER_NULL[row]
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        if name in never and column.null_count:
            raise ValueError(f"column '{name}' is null")


def check_metadata(
    own: Collection[str], rows: int, names: Sequence[str], kinds: Sequence[pa.DataType]
) -> None:
    """Whether a file has the columns of metadata.parquet: texts, each column once.

    Args:
        own: columns that have to be there.
        rows: of the file.
    """
    if rows > _MOST_ROWS:
        raise ValueError(f"{rows:,} rows, which are too many")
    for name in own:
        if name not in names:
            raise ValueError(f"no column '{name}'; was it made by this tool?")
    for name, kind in zip(names, kinds, strict=True):
        if names.count(name) > 1:
            raise ValueError(f"column '{name}' stands twice")
        if not _like(kind, pa.string()):
            raise ValueError(f"column '{name}' must be of type string, got {kind}")


def checked_row(name: str, record: Mapping[str, Any], spec: Spec) -> TrialRow:
    """A row of trials/, of the file of that name.

    Args:
        record: its columns.
    """
    try:
        row = TrialRow.from_record(record, spec.space)
        trial = row.trial
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"no row of a trial: {error!r}") from error
    if row.trial_id != name:
        raise ValueError(f"the trial_id in it is {shown(row.trial_id)}")
    if str(trial.arm) != row.arm:
        raise ValueError(f"the arm in it is {shown(row.arm)}, variant and backbone say {trial.arm}")
    if "number" in record and (row.number is None or trial.trial_id != name):
        raise ValueError(f"by arm, stage and number it is trial {trial.trial_id}")
    if row.ended_at is None:
        raise ValueError("ended_at is null")
    for column in _NEVER_NEGATIVE:
        value = getattr(row, column)
        if value is not None and not 0 <= value < math.inf:
            raise ValueError(f"{column} must be 0 or more, got {value}")
    for column, value in vars(row).items():
        if column.startswith("test_") or column == "val_auc":
            check_share(column, value)
    if row.best_epoch is not None and not 1 <= row.best_epoch <= max(row.epochs, 1):
        raise ValueError(f"best_epoch is {row.best_epoch} of {row.epochs} epochs")
    if row.epochs > spec.options.get("epochs", row.epochs):
        raise ValueError(
            f"{row.epochs} epochs, the study asks for {spec.options['epochs']} at most"
        )
    check_trial(trial, spec)
    return row


def check_trial(trial: Trial, spec: Spec) -> None:
    """Whether a trial is one that the study asks for."""
    if spec.is_complete and trial.arm not in spec.arms:
        raise ValueError(f"spec.json has no such arm, {trial.arm}")
    if trial.confirmation < 1 or (trial.stage == Stage.SEARCH and trial.confirmation > 1):
        raise ValueError(f"confirmation is {trial.confirmation}, in stage {trial.stage}")
    asked = "trials" if trial.stage == Stage.SEARCH else "seeds"
    if not 0 <= trial.number < spec.options.get(asked, math.inf):
        raise ValueError(f"number {trial.number}, the study asks for {spec.options[asked]} {asked}")
    if not spec.is_complete:
        return
    searched = {parameter.name: parameter for parameter in of_arm(spec.space, trial.arm)}
    for name in trial.params.keys() - {parameter.name for parameter in spec.space}:
        raise ValueError(f"{name} is not searched in the study")
    for name, parameter in searched.items():
        if name not in trial.params:
            raise ValueError(f"{name} is missing, which the study searches")
        value = trial.params[name]
        if parameter.type != "choice":
            if type(value) not in (int, float):
                raise ValueError(f"{name} must be a number, got {shown(value)}")
            low, high = parameter.low or 0, parameter.high or 0
            value = min(max(value, low), high) if _near(value, low, high) else value
        if value not in parameter:
            raise ValueError(f"{parameter} is searched, got {shown(value)}")


def check_curve(row: TrialRow, curve: Mapping[int, float], rows: int) -> None:
    """Whether the epochs of a trial agree with its row.

    Args:
        curve: validation AUC by epoch.
        rows: how many the trial has in epochs/.
    """
    if rows != len(curve) or sorted(curve) != list(range(1, rows + 1)):
        raise ValueError(f"epochs 1 to {rows} are expected, each once")
    if row.epochs and row.epochs != rows:
        raise ValueError(f"{rows} epochs, trials/ says {row.epochs}")
    for auc in curve.values():
        check_share("val_auc", auc)
    chosen = curve.get(row.best_epoch or 0, math.nan)
    if row.val_auc is not None and abs(chosen - row.val_auc) > 1e-6:
        raise ValueError(
            f"val_auc is {chosen:.4f} in epoch {row.best_epoch}, trials/ says {row.val_auc:.4f}"
        )


def check_confirmations(trials: Iterable[Trial]) -> Callable[[Trial], None]:
    """A check of one of the trials: whether an arm's earlier confirmation is among them."""
    known = {(each.arm, each.confirmation) for each in trials if each.stage == Stage.CONFIRM}

    def check(trial: Trial) -> None:
        if trial.confirmation > 1 and (trial.arm, trial.confirmation - 1) not in known:
            raise ValueError(f"confirmation {trial.confirmation}, of which there is none before")

    return check


def check_share(name: str, value: float | None) -> None:
    """Whether a figure lies between 0 and 1, or is not defined."""
    if value is not None and not math.isnan(value) and not 0 <= value <= 1:
        raise ValueError(f"{name} must lie between 0 and 1, got {value}")


def _near(value: float, low: float, high: float) -> bool:
    return low - abs(low) * _ROUNDING <= value <= high + abs(high) * _ROUNDING


def _like(given: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a column may stand for one of another type: pandas writes some of its own."""
    if pa.types.is_null(given):
        return True
    if pa.types.is_dictionary(given):
        given = given.value_type
    if pa.types.is_string(wanted):
        return pa.types.is_string(given) or pa.types.is_large_string(given)
    if pa.types.is_timestamp(wanted):
        return pa.types.is_timestamp(given) and given.tz is not None
    return pa.types.is_integer(given) or pa.types.is_floating(given)
