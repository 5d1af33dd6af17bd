"""Folding: the search puts the rows of many files into one, see `tuning.study.folded`."""

import pyarrow as pa

from masll.common.errors import InputError
from masll.common.storage import AnyPath
from tuning.study.folded import write_folded
from tuning.study.folder import StudyFolder
from tuning.study.reader import WORTH_FOLDING, Files, read_kind, read_trials, row_files
from tuning.study.rows import EpochRow, PredictionRow
from tuning.study.spec import read_spec
from tuning.study.trial import Stage


class Folding:
    """Folds the rows of a running study whenever WORTH_FOLDING more trials have ended.

    Args:
        ended: trials that had ended when the run began, none of them folded as far as is known.
    """

    def __init__(self, folder: StudyFolder, ended: int) -> None:
        self.folder = folder
        self._unfolded = ended

    def add(self) -> None:
        """One more trial has ended, and its rows are written."""
        self._unfolded += 1
        if self._unfolded >= WORTH_FOLDING:
            self._unfolded = 0
            fold(self.folder)


def fold(folder: StudyFolder) -> None:
    """Fold all rows that are there: of predictions those of confirmed models, as reports do.

    Nothing is folded where something is damaged or the folder cannot be written to: who reads the
    rows, or writes the next ones, will say so.
    """
    try:
        files = row_files(folder.trials)
        trials, _ = read_trials(folder, files, read_spec(folder))
        _write(folder, folder.trials, files, trials)
        for kind, row, stage in (
            (folder.epochs, EpochRow, None),
            (folder.predictions, PredictionRow, Stage.CONFIRM),
        ):
            files = row_files(kind)
            _write(folder, kind, files, read_kind(folder, kind, files, row, stage), stage)
    except (InputError, OSError):
        return


def _write(
    folder: StudyFolder, kind: AnyPath, files: Files, rows: pa.Table, stage: Stage | None = None
) -> None:
    listed = (file.stored for file in files.values())
    write_folded(folder.folded(kind.name), listed, rows, stage)
