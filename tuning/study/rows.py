"""The rows of a study: one dataclass for each of its three folders, which yields the Arrow schema.

A trial's three files carry its name. The one in trials/ is written last and appears whole, so a
trial has ended, for everyone, exactly when that file is there.
"""

import dataclasses
import datetime
import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from masll.config import BOXES
from masll.results import EpochResult, Predictions
from tuning.study.arm import Arm, Declaration
from tuning.study.space import Parameter, Space
from tuning.study.trial import Stage, Status, Trial

_OWN_COLUMNS = {"lr", "threshold_scale"}  # of trials/, searched or fixed
_ARROW = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    datetime.datetime: pa.timestamp("us", tz="UTC"),
    Stage: pa.string(),
    Status: pa.string(),
}


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """One row of trials/."""

    REQUIRED: ClassVar = (  # columns that the rows of every version have
        *("trial_id", "arm", "variant", "backbone", "stage", "status", "seed"),
        *("lr", "threshold_scale", "test_auc"),
    )

    trial_id: str
    arm: str
    variant: str
    backbone: str
    fixed: str | None = None  # JSON of what a declared arm fixes; null for the variants as they are
    stage: Stage
    number: int | None = None  # see `Trial`
    confirmation: int | None = None  # likewise; null in the search
    status: Status
    seed: int
    lr: float | None = None
    threshold_scale: float | None = None  # null where the arm has no SLL
    epochs: int = 0  # done
    best_epoch: int | None = None
    val_auc: float | None = None  # of the chosen epoch
    test_auc: float | None = None  # null in the search, as are the other test figures
    test_acc: float | None = None
    test_sen: float | None = None
    test_spe: float | None = None
    test_sen_at_spe_95: float | None = None
    test_sen_at_spe_90: float | None = None
    test_sen_at_spe_85: float | None = None
    crashes: int = 0
    preemptions: int = 0  # times that the machine it ran on was lost
    error: str | None = None
    started_at: datetime.datetime | None = None
    ended_at: datetime.datetime | None = None
    seconds: float = 0.0  # that it kept a slot busy
    images_per_second: float | None = None
    node: str | None = None
    device: str | None = None
    gpu_id: str | None = None
    peak_memory_mb: float | None = None
    gpus: float | None = None  # the share of a GPU that it had
    parameters: int | None = None  # of a confirmed model, as are the next two: see `ModelCost`
    multiply_adds: int | None = None
    milliseconds: float | None = None
    searched: Mapping[str, Any] = field(default_factory=dict, metadata={"column": False})
    """Values of further searched parameters, each in a column of its name."""

    @classmethod
    def of(cls, trial: Trial, status: Status, **values: Any) -> Self:
        """The row of a trial that has ended."""
        known = {name: trial.arm.fixed[name] for name in _OWN_COLUMNS & trial.arm.fixed.keys()}
        params = known | dict(trial.params)
        return cls(
            trial_id=trial.trial_id,
            arm=str(trial.arm),
            variant=trial.arm.variant,
            backbone=trial.arm.backbone,
            fixed=None if trial.arm.declared is None else json.dumps(dict(trial.arm.fixed)),
            stage=trial.stage,
            number=trial.number,
            confirmation=trial.confirmation if trial.stage == Stage.CONFIRM else None,
            status=status,
            seed=trial.seed,
            lr=params.pop("lr", None),
            threshold_scale=params.pop("threshold_scale", None),
            searched=params,
            **values,
        )

    @classmethod
    def from_record(cls, record: Mapping[str, Any], space: Space) -> Self:
        """A row as a file holds it; what a file of an earlier version lacks has its default."""
        known = {name: record[name] for name in columns_of(cls) if record.get(name) is not None}
        further = (p.name for p in _further(space))
        searched = {name: record[name] for name in further if record.get(name) is not None}
        typed = {"stage": Stage(known["stage"]), "status": Status(known["status"])}
        return cls(**known | typed, searched=searched)

    def end(self) -> tuple[datetime.datetime, str]:
        """By which trials are in the order in which they ended."""
        assert self.ended_at is not None
        return self.ended_at, self.trial_id

    @property
    def trial(self) -> Trial:
        """The trial whose row it is."""
        params = {"lr": self.lr, "threshold_scale": self.threshold_scale, **self.searched}
        declared = None
        if self.fixed is not None:
            declared = Declaration(self.arm.partition("/")[0], json.loads(self.fixed))
            params = {name: v for name, v in params.items() if name not in declared.fixed}
        return Trial(
            Arm(self.variant, self.backbone, declared),
            self.stage,
            self.number or 0,
            self.seed,
            {name: value for name, value in params.items() if value is not None},
            self.confirmation or 1,
        )

    def as_record(self) -> dict[str, Any]:
        """Column to value; what is not a number is null."""
        values = {name: getattr(self, name) for name in columns_of(type(self))} | dict(
            self.searched
        )
        return {name: _nan_as_none(value) for name, value in values.items()}


@dataclass(frozen=True)
class PredictionRow:
    """One row of predictions/: what a trial's network says of an image."""

    REQUIRED: ClassVar = (
        *("trial_id", "arm", "stage", "seed", "split", "image_id", "label", "score"),
        *("x0", "y0", "x1", "y1"),
    )

    trial_id: str
    arm: str
    stage: Stage
    seed: int
    split: str  # validation or test
    image_id: str
    label: int  # 1 = melanoma
    score: float  # probability of melanoma
    x0: float | None  # the box as shares of the image, from its upper left corner; null without SLL
    y0: float | None
    x1: float | None
    y1: float | None
    # Of confirmed models on test images: with a gate that ignores the image, and with the local
    # branch's box from elsewhere, each null where the network has no such part.
    score_frozen_gate: float | None = None
    score_box_sll: float | None = None
    score_box_whole: float | None = None
    score_box_centre: float | None = None
    score_box_shuffled: float | None = None
    score_box_darkness: float | None = None
    score_box_mask: float | None = None


@dataclass(frozen=True)
class EpochRow(EpochResult):
    """One row of epochs/: what an epoch gave, with the trial's name in front."""

    REQUIRED: ClassVar = ("trial_id", "epoch")

    trial_id: str = ""


def columns_of(row: type) -> Mapping[str, pa.DataType]:
    """Column to Arrow type, by the fields of a row's dataclass."""
    return _COLUMNS[row]


def _columns(row: type) -> Mapping[str, pa.DataType]:
    hints = typing.get_type_hints(row)
    columns = {
        each.name: _ARROW[_plain(hints[each.name])]
        for each in dataclasses.fields(row)
        if each.metadata.get("column", True)
    }
    return MappingProxyType({"trial_id": columns.pop("trial_id"), **columns})


def trial_schema(space: Space) -> pa.Schema:
    """Of trials/, with a column for each further searched parameter."""
    further = {p.name: _arrow_type(p) for p in _further(space)}
    return pa.schema({**columns_of(TrialRow), **further})


def epoch_table(trial_id: str, epochs: list[EpochResult]) -> pa.Table:
    """The rows of a trial in epochs/."""
    records = [{"trial_id": trial_id, **dataclasses.asdict(epoch)} for epoch in epochs]
    nulled = [{k: _nan_as_none(v) for k, v in record.items()} for record in records]
    return pa.Table.from_pylist(nulled, pa.schema(dict(columns_of(EpochRow))))


def prediction_table(row: TrialRow, predictions: Predictions) -> pa.Table:
    """The rows of a trial in predictions/, of one split."""
    schema = dict(columns_of(PredictionRow))
    n = len(predictions.ids)
    columns: dict[str, pa.Array] = {
        name: pa.array([value] * n, schema[name])
        for name, value in {
            "trial_id": row.trial_id,
            "arm": row.arm,
            "stage": row.stage,
            "seed": row.seed,
            "split": predictions.split,
        }.items()
    }
    columns |= {
        "image_id": pa.array(predictions.ids),
        "label": pa.array(predictions.labels),
        "score": pa.array(predictions.scores),
    }
    for axis, name in enumerate(("x0", "y0", "x1", "y1")):
        boxes = predictions.boxes
        columns[name] = _floats(None if boxes is None else boxes[:, axis], n)
    columns["score_frozen_gate"] = _floats(predictions.frozen, n)
    for box in BOXES:
        columns[f"score_box_{box}"] = _floats(predictions.elsewhere.get(box), n)
    return pa.table(columns, pa.schema(schema))


def _floats(values: npt.NDArray[np.float64] | None, n: int) -> pa.Array:
    return pa.nulls(n, pa.float64()) if values is None else pa.array(values)


def _further(space: Space) -> list[Parameter]:
    """Searched parameters that have no field of their own in `TrialRow`."""
    return [each for each in space if each.name not in TrialRow.__dataclass_fields__]


def _arrow_type(parameter: Parameter) -> pa.DataType:
    if parameter.type == "choice":
        return pa.array(parameter.choices).type
    return {"float": pa.float64(), "int": pa.int64()}[parameter.type]


def _plain(hint: Any) -> type:
    """``int | None`` is int."""
    if isinstance(hint, types.UnionType):
        return next(each for each in typing.get_args(hint) if each is not types.NoneType)
    return hint


def _nan_as_none(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


_COLUMNS: Mapping[type, Mapping[str, pa.DataType]] = {
    row: _columns(row) for row in (TrialRow, EpochRow, PredictionRow)
}
