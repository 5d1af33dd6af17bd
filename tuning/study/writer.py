"""Writing rows: three files for each trial that ended, the one in trials/ last."""

import pyarrow as pa
import pyarrow.parquet as pq

from masll.common.storage import AnyPath
from masll.results import EpochResult, Predictions
from tuning.study.folder import StudyFolder
from tuning.study.rows import TrialRow, epoch_table, prediction_table, trial_schema
from tuning.study.space import Space


class RowWriter:
    """Writes the rows of one study; one process at a time does."""

    def __init__(self, folder: StudyFolder, space: Space) -> None:
        self.folder = folder
        self._schema = trial_schema(space)

    def write(
        self, row: TrialRow, epochs: list[EpochResult], predictions: list[Predictions]
    ) -> None:
        """Write all rows of one trial that has ended."""
        name = f"{row.trial_id}.parquet"
        if predictions:
            tables = [prediction_table(row, of_split) for of_split in predictions]
            _write(self.folder.predictions / name, pa.concat_tables(tables))
        if epochs:
            _write(self.folder.epochs / name, epoch_table(row.trial_id, epochs))
        record = row.as_record()
        unknown = set(record) - set(self._schema.names)
        assert not unknown, f"no such columns: {unknown}"
        _write(self.folder.trials / name, pa.Table.from_pylist([record], self._schema))


def _write(path: AnyPath, table: pa.Table) -> None:
    content = pa.BufferOutputStream()
    pq.write_table(table, content)
    path.write_whole(content.getvalue().to_pybytes())
