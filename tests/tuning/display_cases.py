"""Small studies with trials at every stage, for the tests of what a person sees of them."""

from masll.results import EpochResult
from tuning.plan import ArmPlan, StudyPlan
from tuning.space import DEFAULT_SPACE
from tuning.study.arm import Arm
from tuning.study.rows import TrialRow
from tuning.study.trial import Status, Trial
from tuning.trial_report import Node, TrialReport


class Clock:
    """One that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def study_plan(
    arms=(("baseline", "resnet18"), ("gated-fusion", "resnet18")), trials=2, epochs=12, seeds=2
) -> StudyPlan:
    """A plan whose trials are never stopped early."""
    settings = {"trials": trials, "epochs": epochs, "seeds": seeds, "seed": 0}
    return StudyPlan(
        [
            ArmPlan(Arm(*arm), DEFAULT_SPACE, **settings, sampler="random", scheduler="none")
            for arm in arms
        ]
    )


def epoch_report(epochs: int, *, seconds: float, auc: float = 0.7) -> TrialReport:
    """What a worker reports after so many epochs."""
    results = [
        EpochResult(n, 0.01, 0.5, 0.5, auc, *(None,) * 6, seconds=1.0) for n in range(1, epochs + 1)
    ]
    return TrialReport(
        epochs=results,
        done=False,
        best=results[-1],
        diverged=False,
        predictions=[],
        seconds=seconds,
        earlier_seconds=0.0,
        images_per_second=341.2,
        device="cpu",
        node=Node("here"),
        peak_memory_mb=1.0,
    )


def row_of(trial: Trial, *, seconds: float, epochs: int, error: str | None = None) -> TrialRow:
    """The row of a trial that has ended."""
    status = Status.FAILED if error else Status.COMPLETED
    return TrialRow.of(trial, status, seconds=seconds, epochs=epochs, val_auc=0.7, error=error)
