"""Reading rows: the one reader, for the search, for `tuning.status` and for the report.

Files are read one by one: a search leaves thousands of small ones, and an Arrow dataset of them
takes twice the time. On S3 many are read at once, as each is waited for. What is read is checked:
see `tuning.study.checking`. The predictions of search trials, by far the most, are opened only. Not
even that takes what has been folded, see `tuning.study.folded`.
"""

import datetime
import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from masll.common.storage import AnyPath, ParquetSource
from tuning.study.agreement import faults
from tuning.study.checking import (
    RowType,
    check_columns,
    check_curve,
    check_nulls,
    checked_row,
)
from tuning.study.damage import DamagedFile, DamagedTrial
from tuning.study.folded import NOTHING, Folded, read_folded
from tuning.study.folder import StudyFolder
from tuning.study.rows import EpochRow, PredictionRow, TrialRow, columns_of
from tuning.study.spec import Spec
from tuning.study.trial import Stage, Status, TrialResult

WORTH_FOLDING = 500  # files; fewer are read in less than a second
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_THREADS = 32  # that read files on S3, where each request waits some ten milliseconds
Files = Mapping[str, ParquetSource]  # by their names, in the order of those


def row_files(folder: AnyPath) -> Files:
    """The Parquet files of trials/, epochs/ or predictions/; none where there is no such folder.

    Raises:
        InputError: the folder cannot be listed.
    """
    try:
        return folder.parquet_files()
    except OSError as error:
        raise DamagedFile(folder, error) from error


def read_rows(
    folder: AnyPath,
    files: Files,
    row: RowType,
    stage: Stage | None = None,
    check: Callable[[str, pa.Table], None] = lambda *_: None,
    folded: Folded = NOTHING,
    unknown: Collection[str] = (),
) -> pa.Table:
    """The rows of some files of a folder, each file checked by itself.

    Args:
        files: see `row_files`.
        row: the dataclass of the folder's rows.
        stage: only rows of this stage; a file that has none is not read further than its end.
        check: called with the name of a trial and its rows; raises `ValueError` with a reason. Not
            for what is folded.
        folded: rows that need not be read again.
        unknown: columns that may be null, too, beside those that `row` says.

    Raises:
        InputError: a file that cannot be read, is another trial's, lacks a column, or has one of
            another type.
    """

    def read(name: str) -> pa.Table | None:
        path = folder / name
        try:
            rows = _read_file(files[name], row, stage, unknown)
            if rows is not None:
                for other in set(rows["trial_id"].to_pylist()) - {path.stem}:
                    raise ValueError(f"the trial_id in it is '{other}'")
                check(path.stem, rows)
            return rows
        except (pa.ArrowException, OSError, ValueError) as error:
            raise DamagedTrial(path, error) from error

    unread = [name for name, file in files.items() if not folded.holds(file.stored)]
    with ThreadPoolExecutor(_THREADS) as threads:
        each = threads.map if folder.remote else map
        read_now = dict(zip(unread, each(read, unread), strict=True))
    tables: list[pa.Table] = []
    for is_folded, names in itertools.groupby(files, lambda name: name not in read_now):
        if is_folded:
            tables += folded.pieces(list(names))
        else:
            tables += [table for name in names if (table := read_now[name]) is not None]
    if not tables:
        return pa.table({name: pa.nulls(0, kind) for name, kind in columns_of(row).items()})
    try:
        # A column may be null throughout one file, and typed in the next.
        rows = pa.concat_tables(tables, promote_options="permissive")
        # In one piece: whatever is done with thousands of pieces takes seconds.
        rows = rows.combine_chunks()
    except pa.ArrowException as error:
        raise DamagedFile(folder, error) from error
    return rows if stage is None else rows.filter(pc.field("stage") == stage)


def _read_file(
    source: ParquetSource, row: RowType, stage: Stage | None, unknown: Collection[str]
) -> pa.Table | None:
    """The rows of one file; None if it has none of the stage."""
    with source.open() as stream, pq.ParquetFile(stream) as file:
        schema = file.schema_arrow
        columns = dict(zip(schema.names, schema.types, strict=True))
        check_columns(row, file.metadata.num_rows, columns)
        if stage is not None and not _may_hold(file, schema.names.index("stage"), stage):
            return None
        rows = file.read(use_threads=False)
    check_nulls(row, rows.drop_columns(list(unknown)))
    return rows


def _may_hold(file: pq.ParquetFile, column: int, stage: str) -> bool:
    """Whether the file may have rows of the stage, by what its end says of that column."""
    for group in range(file.metadata.num_row_groups):
        known = file.metadata.row_group(group).column(column).statistics
        if known is None or not known.has_min_max or known.min <= stage <= known.max:
            return True
    return False


@dataclass(frozen=True)
class EndedTrials:
    """The rows of trials that have ended, checked by themselves and against one another."""

    rows: list[TrialRow]
    curves: Mapping[str, Mapping[int, float]]  # validation AUC by epoch, by trial_id
    trials: pa.Table
    epochs: pa.Table
    predictions: pa.Table


def read_ended(
    folder: StudyFolder,
    spec: Spec,
    *,
    stage: Stage | None = Stage.CONFIRM,
    known: Collection[str] = (),
) -> EndedTrials:
    """All that a study has of the trials that have ended.

    A killed run may leave epochs and predictions of a trial that never came to its end: they are
    not read.

    Args:
        spec: an empty one where it is not known what the study was asked.
        stage: whose predictions are read; all of them for None.
        known: names of files in trials/ that have been read before.

    Raises:
        InputError: a file that cannot be read, or that contradicts itself, the spec or another.
    """
    files = row_files(folder.trials)
    new = {name: file for name, file in files.items() if name not in known}
    trials, rows = read_trials(folder, new, spec)
    epochs = read_kind(folder, folder.epochs, _of(new, row_files(folder.epochs)), EpochRow)
    curves = _curves(folder, rows, epochs)
    predicted = _of(new, row_files(folder.predictions))
    for row in rows:
        name = f"{row.trial_id}.parquet"
        if row.status == Status.COMPLETED and row.val_auc is not None and name not in predicted:
            raise DamagedTrial(folder.predictions / name, "no such file, and trials/ has its AUC")
    predictions = read_kind(folder, folder.predictions, predicted, PredictionRow, stage)
    official = spec.options.get("validation") != "cv5"
    for trial_id, reason in faults(
        rows, predictions, alike=spec.is_complete, stages_alike=official
    ):
        raise DamagedTrial(folder.predictions / f"{trial_id}.parquet", reason)
    return EndedTrials(rows, curves, trials, epochs, predictions)


def read_kind(
    folder: StudyFolder, kind: AnyPath, files: Files, row: RowType, stage: Stage | None = None
) -> pa.Table:
    """Some rows of trials/, epochs/ or predictions/, from what is folded where that is worth it.

    Args:
        kind: which of the three.
        files, row, stage: see `read_rows`.

    Raises:
        InputError: see `read_rows`.
    """
    return read_rows(kind, files, row, stage, folded=_folded(folder, kind, files, row, stage))


def _folded(
    folder: StudyFolder, kind: AnyPath, files: Files, row: RowType, stage: Stage | None = None
) -> Folded:
    if len(files) < WORTH_FOLDING:
        return NOTHING
    return read_folded(folder.folded(kind.name), row, stage)


def read_trials(folder: StudyFolder, files: Files, spec: Spec) -> tuple[pa.Table, list[TrialRow]]:
    """The rows of some files of trials/, as a table and one by one, both in the files' order.

    Raises:
        InputError: see `read_ended`.
    """
    read: dict[str, TrialRow] = {}

    def check(name: str, rows: pa.Table) -> None:
        read[name] = checked_row(name, next(_records(rows)), spec)

    folded = _folded(folder, folder.trials, files, TrialRow)
    trials = read_rows(folder.trials, files, TrialRow, check=check, folded=folded)
    held = folded.pieces([name for name, file in files.items() if folded.holds(file.stored)])
    for record in itertools.chain.from_iterable(map(_records, held)):
        name = record["trial_id"]
        # Columns that its own file has not got, and others have, are null here.
        known = {column: value for column, value in record.items() if value is not None}
        try:
            read[name] = checked_row(name, known, spec)
        except ValueError as error:
            raise DamagedTrial(folder.trials / f"{name}.parquet", error) from error
    return trials, [read[name.removesuffix(".parquet")] for name in files]


def _records(rows: pa.Table) -> Iterator[dict[str, Any]]:
    """Rows as dictionaries; unlike `to_pylist`, which needs pandas for a time, without pandas."""
    values = [_values(column) for column in rows.columns]
    return (dict(zip(rows.column_names, row, strict=True)) for row in zip(*values, strict=True))


def _values(column: pa.ChunkedArray) -> list[Any]:
    if not pa.types.is_timestamp(column.type):
        return column.to_pylist()
    microseconds = column.cast(pa.timestamp("us", "UTC"), safe=False).cast(pa.int64()).to_pylist()
    return [
        None if us is None else _EPOCH + datetime.timedelta(microseconds=us) for us in microseconds
    ]


def _of(trials: Collection[str], files: Files) -> Files:
    return {name: file for name, file in files.items() if name in trials}


def _curves(
    folder: StudyFolder, rows: list[TrialRow], epochs: pa.Table
) -> Mapping[str, Mapping[int, float]]:
    """The validation AUC by epoch of each trial."""
    curves: dict[str, dict[int, float]] = {row.trial_id: {} for row in rows}
    counts = dict.fromkeys(curves, 0)
    columns = [epochs["trial_id"].to_pylist(), epochs["epoch"].to_pylist()]
    has_auc = "val_auc" in epochs.column_names
    columns.append(epochs["val_auc"].to_pylist() if has_auc else [None] * epochs.num_rows)
    for trial_id, epoch, auc in zip(*columns, strict=True):
        curves[trial_id][epoch] = math.nan if auc is None else auc
        counts[trial_id] += 1
    for row in rows:
        try:
            check_curve(row, curves[row.trial_id], counts[row.trial_id])
        except ValueError as error:
            raise DamagedTrial(folder.epochs / f"{row.trial_id}.parquet", error) from error
    return curves


class TrialReader:
    """The trials of a study that have ended; each look reads only what has come since."""

    def __init__(self, folder: StudyFolder, spec: Spec) -> None:
        self.folder = folder
        self._spec = spec
        self._rows: dict[str, TrialRow] = {}  # by the name of the file
        self._curves: dict[str, Mapping[int, float]] = {}  # validation AUC by epoch, by trial_id

    def rows(self) -> list[TrialRow]:
        """Every row in trials/, in the order in which the trials ended."""
        ended = read_ended(self.folder, self._spec, known=self._rows)
        self._rows |= {f"{row.trial_id}.parquet": row for row in ended.rows}
        self._curves |= ended.curves
        return sorted(self._rows.values(), key=TrialRow.end)

    def results(self) -> list[TrialResult]:
        """How every trial ended, in that order."""
        return [
            TrialResult(row.trial, row.status, row.val_auc, self._curves[row.trial_id])
            for row in self.rows()
        ]
