"""Reading rows: the one reader, for the search, for `tuning.status` and for the report.

Files are read one by one: a search leaves thousands of small ones, and an Arrow dataset of them
takes twice the time. On S3 many are read at once, as each is waited for.
"""

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from masll.common.errors import InputError
from masll.common.storage import AnyPath
from tuning.study.folder import StudyFolder
from tuning.study.rows import EpochRow, PredictionRow, TrialRow, columns_of
from tuning.study.space import Space
from tuning.study.trial import TrialResult

_THREADS = 32  # that read files on S3, where each request waits some ten milliseconds
_NAN = float("nan")

RowType = type[TrialRow] | type[EpochRow] | type[PredictionRow]
Fragments = Mapping[str, Any]  # name of a file to its Arrow fragment, in the order of the names


def row_files(folder: AnyPath) -> Fragments:
    """The Parquet files of trials/, epochs/ or predictions/; none where there is no such folder.

    Raises:
        InputError: the folder cannot be listed.
    """
    try:
        return folder.parquet_fragments()
    except OSError as error:
        raise _unreadable(folder, error) from error


def read_rows(
    folder: AnyPath,
    files: Fragments,
    row: RowType,
    columns: Collection[str] | None = None,
    stage: str | None = None,
) -> pa.Table:
    """The rows of some files of a folder.

    Args:
        files: see `row_files`.
        row: the dataclass of the folder's rows.
        columns: to read beside those that every version has; all of them where none are given.
        stage: only rows of this stage; a file that has none is not read further than its end.

    Raises:
        InputError: a file that cannot be read, lacks a column, or does not fit the others.
    """

    def read(name: str) -> pa.Table | None:
        try:
            return _read_file(folder / name, files[name], row, columns, stage)
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(folder / name, error) from error

    with ThreadPoolExecutor(_THREADS) as threads:
        each = threads.map if folder.remote else map
        tables = [table for table in each(read, files) if table is not None]
    if not tables:
        types = columns_of(row)
        names = types if columns is None else [*row.REQUIRED, *columns]
        return pa.table({name: pa.nulls(0, types.get(name, pa.null())) for name in names})
    try:
        # A column may be null throughout one file, and typed in the next.
        rows = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise _unreadable(folder, error) from error
    for column in columns or ():
        if column not in rows.column_names and column not in columns_of(row):
            raise InputError(f"{folder} has no column '{column}'; leave it out")
    return rows if stage is None else rows.filter(pc.field("stage") == stage)


def _read_file(
    path: AnyPath, fragment: Any, row: RowType, columns: Collection[str] | None, stage: str | None
) -> pa.Table | None:
    """The rows of one file; None if it has none of the stage."""
    required = row.REQUIRED
    with fragment.open() as stream, pq.ParquetFile(stream) as file:
        names = file.schema_arrow.names
        # Arrow would fill the column of this one file with nulls, and say nothing.
        for column in required:
            if column not in names:
                raise InputError(f"{path} has no column '{column}'; was it made by this tool?")
        if stage is not None and not _may_hold(file, names.index("stage"), stage):
            return None
        wanted = None if columns is None else list(dict.fromkeys([*required, *columns]))
        return file.read(wanted, use_threads=False)


def _may_hold(file: pq.ParquetFile, column: int, stage: str) -> bool:
    """Whether the file may have rows of the stage, by what its end says of that column."""
    for group in range(file.metadata.num_row_groups):
        known = file.metadata.row_group(group).column(column).statistics
        if known is None or not known.has_min_max or known.min <= stage <= known.max:
            return True
    return False


def _unreadable(path: AnyPath, error: Exception) -> InputError:
    reason = str(error).splitlines()[0]
    return InputError(f"cannot read {path}: {reason}; restore or remove it")


class TrialReader:
    """The trials of a study that have ended; each look reads only what has come since."""

    def __init__(self, folder: StudyFolder, space: Space) -> None:
        self.folder = folder
        self._space = space
        self._rows: dict[str, TrialRow] = {}  # by the name of the file
        self._curves: dict[str, dict[int, float]] = {}  # validation AUC by epoch, by trial_id

    def rows(self) -> list[TrialRow]:
        """Every row in trials/, in the order in which the trials ended."""
        self._look()
        return sorted(self._rows.values(), key=lambda row: (row.ended_at, row.trial_id))

    def results(self) -> list[TrialResult]:
        """How every trial ended, in that order."""
        return [
            TrialResult(row.trial, row.status, row.val_auc, self._curves.get(row.trial_id, {}))
            for row in self.rows()
        ]

    def _look(self) -> None:
        files = row_files(self.folder.trials)
        new = {name: fragment for name, fragment in files.items() if name not in self._rows}
        if not new:
            return
        trials = read_rows(self.folder.trials, new, TrialRow).to_pylist()
        epochs = row_files(self.folder.epochs)
        of_new = {name: fragment for name, fragment in epochs.items() if name in new}
        rows = read_rows(self.folder.epochs, of_new, EpochRow, ["val_auc"])
        for record in rows.to_pylist():
            auc = _NAN if record["val_auc"] is None else record["val_auc"]
            self._curves.setdefault(record["trial_id"], {})[record["epoch"]] = auc
        for record in trials:
            row = TrialRow.from_record(record, self._space)
            self._rows[f"{row.trial_id}.parquet"] = row
