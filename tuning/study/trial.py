"""A trial, the stage that it belongs to, and how it ended."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tuning.study.arm import Arm


class Stage(StrEnum):
    """What a trial is for."""

    SEARCH = "search"  # judged on validation images only
    CONFIRM = "confirm"  # the best hyperparameters of an arm again, then the test images


class Status(StrEnum):
    """How a trial ended."""

    COMPLETED = "completed"
    PRUNED = "pruned"  # stopped early, as it fell behind others of its arm
    FAILED = "failed"


@dataclass(frozen=True)
class Trial:
    """One training run of an arm with one set of hyperparameters and one seed."""

    arm: Arm
    stage: Stage
    number: int  # from 0, within arm, stage and confirmation
    seed: int
    params: Mapping[str, Any]  # what the arm's space names
    confirmation: int = 1  # 2 and more after the test set was opened again, on demand

    @property
    def trial_id(self) -> str:
        """The same for the same position in the plan, whenever the study is resumed."""
        again = f"-{self.confirmation}" * (self.confirmation > 1)
        return f"{self.arm.name}.{self.arm.backbone}.{self.stage}{again}.{self.number:04d}"


def names_confirmed(text: str) -> bool:
    """Whether a text has the form that the `trial_id` of a confirmed trial has, of any study.

    >>> names_confirmed("baseline.resnet18.confirm.0001"), names_confirmed("mean")
    (True, False)
    """
    return re.fullmatch(rf".+\..+\.{Stage.CONFIRM}(-\d+)?\.\d{{4,}}", text) is not None


@dataclass(frozen=True)
class TrialResult:
    """How a trial ended, as its rows on disk tell it."""

    trial: Trial
    status: Status
    val_auc: float | None  # of the chosen epoch
    curve: Mapping[int, float] = field(default_factory=dict)  # validation AUC by epoch, from 1
