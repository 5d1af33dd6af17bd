"""Reading a study: its three Parquet folders as tables, checked for the columns we need."""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from masll.errors import InputError
from masll.places import Place, S3Path, check_bucket, parquet_fragments, place
from masll.variants import VARIANTS

SCHEMA_VERSION = 1
_THREADS = 32  # that read the ends of files: on S3 each waits some ten milliseconds

# What the tables need: `read_study` refuses a study without them.
REQUIRED: Mapping[str, Sequence[str]] = {
    "trials": ["trial_id", "arm", "variant", "backbone", "stage", "status", "seed", "lr",
               "threshold_scale", "test_auc"],
    "epochs": ["trial_id", "epoch"],
    "predictions": ["trial_id", "arm", "stage", "seed", "split", "image_id", "label", "score",
                    "x0", "y0", "x1", "y1"],
}  # fmt: skip


# Read with them where they are there: studies of before have not got them.
_IF_THERE: Mapping[str, Mapping[str, float]] = {
    "trials": {"confirmation": 1, "seconds": 0, "gpus": 0}
}


@dataclass(frozen=True)
class Study:
    """What a study folder holds. Epochs and predictions are those of finished trials only."""

    path: Place
    trials: pd.DataFrame
    epochs: pd.DataFrame
    predictions: pd.DataFrame
    spec: dict[str, Any] | None  # None where there is no spec.json

    @cached_property
    def arms(self) -> list[str]:
        """Every arm, in the order of the spec; those it does not name by backbone and variant."""
        asked = list((self.spec or {}).get("arms", ()))
        found = self.trials[["arm", "backbone", "variant"]].drop_duplicates("arm")
        others = [row for row in found.itertuples() if row.arm not in asked]
        order = {variant: place for place, variant in enumerate(VARIANTS)}
        others.sort(key=lambda row: (row.backbone, order.get(row.variant, len(order)), row.arm))
        return asked + [row.arm for row in others]

    @cached_property
    def confirmed(self) -> pd.DataFrame:
        """The rows in trials of the confirm trials that completed, of each arm's last confirmation.

        An arm has more than one where the test set was opened again on demand.
        """
        confirms = self.trials[self.trials["stage"] == "confirm"]
        last = confirms.groupby("arm")["confirmation"].transform("max")
        of_last = confirms["confirmation"] == last
        return confirms[of_last & (confirms["status"] == "completed")]

    @property
    def left_out(self) -> int:
        """Images that were not trained on, as they show a lesion of a later split."""
        return len((self.spec or {}).get("data", {}).get("left_out", ()))

    @property
    def confirmations(self) -> dict[str, int]:
        """How often the test set was opened for each arm that was confirmed."""
        confirms = self.trials[self.trials["stage"] == "confirm"]
        return confirms.groupby("arm")["confirmation"].max().astype(int).to_dict()

    @cached_property
    def test_predictions(self) -> pd.DataFrame:
        """The predictions of the confirmed models on the test set."""
        of_confirmed = self.predictions["trial_id"].isin(self.confirmed["trial_id"])
        return self.predictions[of_confirmed & (self.predictions["split"] == "test")]


def read_study(
    path: str | Place,
    columns: Mapping[str, Sequence[str]] | None = None,
    *,
    search_predictions: bool = True,
) -> Study:
    """Read a study that has finished, was stopped, or is still running.

    Args:
        path: the study's folder, here or on `s3://`.
        columns: folder name to the columns to read of it, such as `REQUIRED`; every column of a
            folder that is not named.
        search_predictions: whether to read those of search trials, by far the most; tables and
            figures need those of the confirmed models alone.

    Raises:
        InputError: no such folder, nothing of a study in it, a file that cannot be read or lacks
            a column, or a label that is neither 0 nor 1.
    """
    path = place(path)
    if isinstance(path, S3Path):
        check_bucket(path)
    if not path.is_dir():
        raise InputError(f"no study folder '{path}'; name one that tuning.search has made")
    spec = _read_spec(path / "spec.json")
    columns = columns or {}
    trials, epochs = (_read(path / kind, columns.get(kind)) for kind in ("trials", "epochs"))
    stage = None if search_predictions else "confirm"
    predictions = _read(path / "predictions", columns.get("predictions"), stage)
    if trials.empty and not (spec or {}).get("arms"):
        raise InputError(f"{path}/trials has no finished trial; wait for one, or name a study")
    # A killed run may leave rows of a trial that never came to its end.
    epochs = epochs[epochs["trial_id"].isin(trials["trial_id"])]
    predictions = predictions[predictions["trial_id"].isin(trials["trial_id"])]
    _check_labels(path / "predictions", predictions)
    for name, value in _IF_THERE["trials"].items():
        known = trials[name] if name in trials else pd.Series(pd.NA, trials.index)
        trials = trials.assign(**{name: known.astype("Float64").fillna(value).astype(float)})
    return Study(
        path,
        trials.sort_values("trial_id", ignore_index=True),
        epochs.reset_index(drop=True),
        predictions.reset_index(drop=True),
        spec,
    )


def _read(folder: Place, columns: Sequence[str] | None, stage: str | None = None) -> pd.DataFrame:
    """All rows of the folder's files, or those of a stage; none where it has no file yet."""
    try:
        files = parquet_fragments(folder)
    except OSError as error:
        raise _unreadable(folder, error) from error

    # One by one: a search leaves thousands of small files, and a dataset of them takes twice the
    # time. On S3 many at once, as each is waited for.
    def read(name: str) -> pa.Table | None:
        try:
            return _read_file(folder / name, files[name], columns, stage)
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(folder / name, error) from error

    with ThreadPoolExecutor(_THREADS) as threads:
        found = [*(threads.map if isinstance(folder, S3Path) else map)(read, files)]
    tables = [table for table in found if table is not None]
    if not tables:
        return pd.DataFrame(columns=list(REQUIRED[folder.name]))
    try:
        # A column may be null throughout a file, and typed in the next.
        rows = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise _unreadable(folder, error) from error
    for column in columns or ():
        if column not in rows.column_names:
            raise InputError(f"{folder} has no column '{column}'; leave it out")
    return (rows if stage is None else rows.filter(pc.field("stage") == stage)).to_pandas()


def _read_file(
    path: Place, fragment: Any, columns: Sequence[str] | None, stage: str | None
) -> pa.Table | None:
    """The rows of one file; None if it has none of the stage."""
    kind = path.parent.name
    wanted = None if columns is None else [*REQUIRED[kind], *columns, *_IF_THERE.get(kind, ())]
    with fragment.open() as opened, pq.ParquetFile(opened) as file:
        names = file.schema_arrow.names
        # Arrow would fill the column of this one file with nulls, and say nothing.
        for column in REQUIRED[kind]:
            if column not in names:
                raise InputError(f"{path} has no column '{column}'; was it made by this tool?")
        if stage is None or _may_hold(file, names.index("stage"), stage):
            return file.read(wanted, use_threads=False)
        return None


def _unreadable(at: Place, error: Exception) -> InputError:
    reason = str(error).splitlines()[0]
    return InputError(f"cannot read {at}: {reason}; restore or remove it")


def _may_hold(file: pq.ParquetFile, place: int, stage: str) -> bool:
    """Whether the file may have rows of the stage, by what its end says of the column there."""
    for group in range(file.metadata.num_row_groups):
        known = file.metadata.row_group(group).column(place).statistics
        if known is None or not known.has_min_max or known.min <= stage <= known.max:
            return True
    return False


def _read_spec(path: Place) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        spec = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}; restore or remove it") from error
    if not isinstance(spec, dict):
        raise InputError(f"{path} must hold a JSON object; restore or remove it")
    version = spec.get("schema_version", SCHEMA_VERSION)
    if version != SCHEMA_VERSION:
        raise InputError(f"{path} has schema_version {version}, this program reads "
                         f"{SCHEMA_VERSION}; use the version that made the study")  # fmt: skip
    return spec


def _check_labels(folder: Place, predictions: pd.DataFrame) -> None:
    strange = predictions[~predictions["label"].isin([0, 1])]
    if len(strange):
        row = strange.iloc[0]
        raise InputError(f"{folder}: trial {row['trial_id']}, image {row['image_id']}: "
                         f"label must be 0 or 1, got {row['label']}")  # fmt: skip
