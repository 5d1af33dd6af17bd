"""The study folder: the contract between the search that fills it and the reports that read it.

Arms and trials, the rows of the three Parquet folders, the spec, where everything lies, one reader,
one writer, and the lock. Imports neither Ray nor Optuna nor PyTorch.
"""

from tuning.study.arm import Arm
from tuning.study.folder import StudyFolder
from tuning.study.reader import TrialReader, read_rows, row_files
from tuning.study.rows import EpochRow, PredictionRow, TrialRow
from tuning.study.space import Parameter, Space
from tuning.study.spec import Spec, read_spec
from tuning.study.trial import Stage, Status, Trial, TrialResult
from tuning.study.writer import RowWriter

__all__ = [
    "Arm",
    "EpochRow",
    "Parameter",
    "PredictionRow",
    "RowWriter",
    "Space",
    "Spec",
    "Stage",
    "Status",
    "StudyFolder",
    "Trial",
    "TrialReader",
    "TrialResult",
    "TrialRow",
    "read_rows",
    "read_spec",
    "row_files",
]
