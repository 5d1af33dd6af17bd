"""Parquet rows of a study: the one place where their columns are written down.

A trial's three files carry its name. The one in trials/ is written last and by rename, so a trial
is finished, for everyone, exactly when that file is there.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet

from masll.places import Place, parquet_fragments, write_whole
from tuning.plan import Arm, Finished
from tuning.space import Parameter, Space

if TYPE_CHECKING:
    from masll.training import EpochResult, Predictions

_TIME = pa.timestamp("us", tz="UTC")
_SCORES = ("auc", "acc", "sen", "spe", "sen_at_spe_95", "sen_at_spe_90", "sen_at_spe_85")

_TRIALS = {
    "trial_id": pa.string(), "arm": pa.string(), "variant": pa.string(), "backbone": pa.string(),
    "stage": pa.string(), "number": pa.int64(), "confirmation": pa.int64(),
    "status": pa.string(), "seed": pa.int64(),
    "lr": pa.float64(), "threshold_scale": pa.float64(),
    "epochs": pa.int64(), "best_epoch": pa.int64(), "val_auc": pa.float64(),
    **{f"test_{score}": pa.float64() for score in _SCORES},
    "crashes": pa.int64(), "preemptions": pa.int64(), "error": pa.string(),
    "started_at": _TIME, "ended_at": _TIME, "seconds": pa.float64(),
    "images_per_second": pa.float64(), "node": pa.string(), "device": pa.string(),
    "gpu_id": pa.string(), "peak_memory_mb": pa.float64(), "gpus": pa.float64(),
}  # fmt: skip
_EPOCHS = {
    "trial_id": pa.string(), "epoch": pa.int64(), "lr": pa.float64(), "train_loss": pa.float64(),
    "val_loss": pa.float64(), "val_auc": pa.float64(), "box_area": pa.float64(),
    "box_fallback_rate": pa.float64(), "gate_global_mean": pa.float64(),
    "gate_global_sd": pa.float64(), "gate_local_mean": pa.float64(),
    "gate_local_sd": pa.float64(), "seconds": pa.float64(),
}  # fmt: skip
_PREDICTIONS = {
    "trial_id": pa.string(), "arm": pa.string(), "stage": pa.string(), "seed": pa.int64(),
    "split": pa.string(), "image_id": pa.string(), "label": pa.int64(), "score": pa.float64(),
    "x0": pa.float64(), "y0": pa.float64(), "x1": pa.float64(), "y1": pa.float64(),
}  # fmt: skip


class StudyRows:
    """The rows of one study folder, written by one process."""

    def __init__(self, folder: Place, space: Space) -> None:
        self.folder = folder
        self._trials: dict[str, dict[str, Any]] = {}  # rows read so far, by the name of the file
        self._curves: dict[str, dict[int, float]] = {}  # validation AUC by epoch, by trial_id
        searched = {p.name: _column_type(p) for p in space if p.name not in _TRIALS}
        self._trial_columns = {**_TRIALS, **searched}

    def write(
        self,
        trial: Mapping[str, Any],
        epochs: "list[EpochResult]",
        predictions: "list[Predictions]",
    ) -> None:
        """All rows of one finished trial.

        Args:
            trial: values of columns of trials/; columns that are not given are null.
        """
        name = trial["trial_id"]
        unknown = set(trial) - set(self._trial_columns)
        assert not unknown, f"no such columns: {unknown}"
        tables = [_prediction_table(trial, made) for made in predictions]
        if tables:
            self._write("predictions", name, pa.concat_tables(tables))
        if epochs:
            rows = [{"trial_id": name, **_nan_as_null(asdict(epoch))} for epoch in epochs]
            self._write("epochs", name, pa.Table.from_pylist(rows, pa.schema(_EPOCHS)))
        row = _nan_as_null(trial)
        self._write("trials", name, pa.Table.from_pylist([row], pa.schema(self._trial_columns)))

    def finished(self) -> list[Finished]:
        """Every trial that ended so far, in the order in which they ended."""
        self._look()
        return [
            Finished(
                Arm(row["variant"], row["backbone"]),
                row["stage"],
                row["number"],
                {key: row[key] for key in self._parameter_names() if row[key] is not None},
                row["status"],
                row["val_auc"],
                self._curves.get(row["trial_id"], {}),
                row["confirmation"] or 1,
            )
            for row in sorted(
                self._trials.values(), key=lambda row: (row["ended_at"], row["trial_id"])
            )
        ]

    def spent(self) -> list[dict[str, Any]]:
        """The rows in trials/ of every trial that ended."""
        self._look()
        return [*self._trials.values()]

    def _look(self) -> None:
        """Read the files that have come since the last look."""
        found = parquet_fragments(self.folder / "trials")
        new = {name: fragment for name, fragment in found.items() if name not in self._trials}
        if not new:
            return
        rows = {row["trial_id"]: row for row in _read(new.values(), self._trial_columns)}
        epochs = parquet_fragments(self.folder / "epochs")
        of_new = [fragment for name, fragment in epochs.items() if name in new]
        for row in _read(of_new, _EPOCHS, ["trial_id", "epoch", "val_auc"]):
            auc = math.nan if row["val_auc"] is None else row["val_auc"]
            self._curves.setdefault(row["trial_id"], {})[row["epoch"]] = auc
        self._trials |= {f"{trial_id}.parquet": row for trial_id, row in rows.items()}

    def _parameter_names(self) -> list[str]:
        searched = [name for name in self._trial_columns if name not in _TRIALS]
        return ["lr", "threshold_scale", *searched]

    def _write(self, kind: str, name: str, table: pa.Table) -> None:
        content = pa.BufferOutputStream()
        pyarrow.parquet.write_table(table, content)
        write_whole(self.folder / kind / f"{name}.parquet", content.getvalue())


def _prediction_table(trial: Mapping[str, Any], made: "Predictions") -> pa.Table:
    n = len(made.ids)
    constant = {"trial_id": trial["trial_id"], "arm": trial["arm"], "stage": trial["stage"],
                "seed": trial["seed"], "split": made.split}  # fmt: skip
    columns = {name: pa.array([value] * n, _PREDICTIONS[name]) for name, value in constant.items()}
    columns |= {"image_id": pa.array(made.ids), "label": pa.array(made.labels),
                "score": pa.array(made.scores)}  # fmt: skip
    for axis, name in enumerate(("x0", "y0", "x1", "y1")):
        shares = None if made.boxes is None else made.boxes[:, axis]
        columns[name] = pa.nulls(n, pa.float64()) if shares is None else pa.array(shares)
    return pa.table(columns, pa.schema(_PREDICTIONS))


def _read(
    files: Iterable[Any], columns: Mapping[str, pa.DataType], wanted: list[str] | None = None
) -> list[dict[str, Any]]:
    """Rows of the files of `parquet_fragments`."""
    parquet = pyarrow.dataset.ParquetFileFormat()
    dataset = pyarrow.dataset.FileSystemDataset([*files], pa.schema(columns), parquet)
    return dataset.to_table(columns=wanted).to_pylist()


def _column_type(parameter: Parameter) -> pa.DataType:
    if parameter.type == "choice":
        return pa.array(parameter.choices).type
    return {"float": pa.float64(), "int": pa.int64()}[parameter.type]


def _nan_as_null(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in row.items()
    }
