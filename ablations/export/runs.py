"""The trials of a study as trackers see them: runs with parameters, curves, figures and times."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ablations.rows import Study
from masll.common.storage import AnyPath
from tuning.study.rows import EpochRow, TrialRow, columns_of

Value = str | int | float | bool

# Figures of a trial whose column is that of a curve, too, with the name that they have here.
_RENAMED = {"val_auc": "best_val_auc", "seconds": "trial_seconds"}
_FIGURES = (
    *("epochs", "best_epoch", "val_auc", "test_auc", "test_acc", "test_sen", "test_spe"),
    *("test_sen_at_spe_95", "test_sen_at_spe_90", "test_sen_at_spe_85", "seconds"),
    *("images_per_second", "peak_memory_mb", "parameters", "multiply_adds", "milliseconds"),
    *("crashes", "preemptions"),
)
_PARAMS = (
    *("arm", "variant", "backbone", "stage", "confirmation", "seed", "lr", "threshold_scale"),
)
_TAGS = ("trial_id", "status", "error", "node", "device")
_CURVES = tuple(name for name in columns_of(EpochRow) if name not in ("trial_id", "epoch"))


@dataclass(frozen=True)
class TrialRun:
    """A trial that has ended. What its rows do not say is missing, not null."""

    trial_id: str
    status: str  # completed, pruned or failed
    params: Mapping[str, Value]  # what it was asked, with what its arm or --set fixes
    tags: Mapping[str, str]
    curves: Mapping[str, Mapping[int, float]]  # metric to its value by epoch, from 1
    figures: Mapping[str, float]  # of the whole trial
    times: Mapping[int, float]  # when each epoch ended, in seconds since 1970 (UTC)
    begun: float  # likewise; 0 where its row has no time
    ended: float

    @property
    def digest(self) -> str:
        """SHA-256 of all that is exported: another one where anything of the trial has changed."""
        return hashlib.sha256(json.dumps(dataclasses.asdict(self)).encode()).hexdigest()


@dataclass(frozen=True)
class Exported:
    """What an export came to."""

    written: int
    kept: int  # runs that were there and are as they were
    removed: int  # runs that were there, of trials that the study has no more
    place: AnyPath
    then: str  # what to do with it, for people


def trial_runs(study: Study, name: str) -> list[TrialRun]:
    """Every trial of a study that has ended, by its id.

    Args:
        name: of the study, for the tag `study`.
    """
    epochs = {str(trial_id): rows for trial_id, rows in study.epochs.groupby("trial_id")}
    rows = sorted(study.rows, key=lambda row: row.trial_id)
    return [_run(row, epochs.get(row.trial_id, study.epochs[:0]), study, name) for row in rows]


def _run(row: TrialRow, epochs: pd.DataFrame, study: Study, name: str) -> TrialRun:
    epochs = epochs.sort_values("epoch")
    begun, ended = _span(row)
    curves = {
        column: values
        for column in _CURVES
        if column in epochs and (values := dict(_numbers(epochs, column)))
    }
    known = {column: getattr(row, column) for column in _FIGURES}
    figures = {_RENAMED.get(column, column): value for column, value in known.items()}
    tags = {"study": name} | {column: getattr(row, column) for column in _TAGS}
    return TrialRun(
        row.trial_id,
        str(row.status),
        _params(row, study),
        {key: str(value) for key, value in tags.items() if value is not None},
        curves,
        {key: float(value) for key, value in figures.items() if _is_number(value)},
        _times(epochs, begun, ended),
        begun,
        ended,
    )


def _params(row: TrialRow, study: Study) -> dict[str, Value]:
    everywhere = dict(each.partition("=")[::2] for each in study.spec.options.get("set", ()))
    own = dict(row.searched) | {name: getattr(row, name) for name in _PARAMS}
    # What is fixed is null in the row, where it has a column as other arms or studies search it.
    known = {name: value for name, value in own.items() if value is not None}
    asked = everywhere | dict(row.trial.arm.fixed) | known
    return {name: _plain(value) for name, value in asked.items() if value is not None}


def _plain(value: Any) -> Value:
    """As every tracker takes it: a stage is its name, a list its JSON."""
    if isinstance(value, str):
        return str(value)
    return value if isinstance(value, int | float) else json.dumps(value)


def _numbers(epochs: pd.DataFrame, column: str) -> Iterator[tuple[int, float]]:
    for epoch, value in zip(epochs["epoch"], epochs[column], strict=True):
        if _is_number(value):
            yield int(epoch), float(value)


def _is_number(value: Any) -> bool:
    return not pd.isna(value) and math.isfinite(value)


def _span(row: TrialRow) -> tuple[float, float]:
    """When a trial began and ended, in seconds since 1970."""
    begun, ended = (
        None if time is None else time.timestamp() for time in (row.started_at, row.ended_at)
    )
    begun = begun if begun is not None else ended or 0.0
    return begun, max(begun, ended or 0.0)


def _times(epochs: pd.DataFrame, begun: float, ended: float) -> dict[int, float]:
    """When each epoch ended: the trial's start and the seconds of the epochs up to it.

    A trial that was interrupted has waited meanwhile, which no row says; none ends after its trial.
    """
    taken = epochs["seconds"].fillna(0).cumsum() if "seconds" in epochs else 0 * epochs["epoch"]
    return {
        int(epoch): min(ended, begun + float(seconds))
        for epoch, seconds in zip(epochs["epoch"], taken, strict=True)
    }
