"""The books: what a trial's last report makes of its row and of the plan."""

import math

import pytest

from masll.common.storage import any_path
from masll.results import EpochResult
from tuning.ledger import Ledger
from tuning.plan import ArmPlan, StudyPlan
from tuning.slots import Slots
from tuning.space import DEFAULT_SPACE
from tuning.study.arm import Arm
from tuning.study.folder import StudyFolder
from tuning.study.trial import Stage, Status
from tuning.study.writer import RowWriter
from tuning.trial_report import Node, TrialReport


@pytest.fixture
def ledger(tmp_path):
    settings = {"trials": 2, "epochs": 60, "seeds": 1, "seed": 0}
    arm = ArmPlan(
        Arm("baseline", "resnet18"), DEFAULT_SPACE, **settings, sampler="tpe", scheduler="none"
    )
    rows = []
    writer = RowWriter(StudyFolder(any_path(tmp_path)), DEFAULT_SPACE)
    made = Ledger(
        StudyPlan([arm]), writer, Slots(1, 1, 0), on_result=lambda _, row: rows.append(row)
    )
    made.rows = rows
    return made


def run(ledger, name, aucs):
    """A trial with these validation AUCs by epoch; nan is a loss that was not finite."""
    trial = ledger.next(name).trial
    epochs = [
        EpochResult(n, 0.01, 0.5, 0.5, auc, *(None,) * 6, seconds=1.0)
        for n, auc in enumerate(aucs, 1)
    ]
    finite = [epoch for epoch in epochs if not math.isnan(epoch.val_auc)]
    best = max(finite, key=lambda epoch: epoch.val_auc, default=None)
    report = TrialReport(
        epochs=epochs,
        done=True,
        best=best,
        diverged=math.isnan(aucs[-1]),
        predictions=[],
        seconds=1.0,
        earlier_seconds=0.0,
        images_per_second=1.0,
        device="cpu",
        node=Node("here"),
        peak_memory_mb=1.0,
    )
    ledger.report(name, report)
    ledger.finish(name)
    return trial, ledger.rows[-1]


def test_a_loss_that_turns_nan_late_is_the_worst_trial_however_good_it_was(ledger):
    (arm,) = ledger.plan.arms.values()
    _, diverged = run(ledger, "a", [0.7, 0.859, math.nan])
    assert diverged.val_auc is None and diverged.status == Status.COMPLETED
    assert diverged.error == "diverged: the loss was not finite in epoch 3"
    assert arm.search.study.trials[0].value == 0.0
    sound, _ = run(ledger, "b", [0.6, 0.61])
    assert arm.best.trial == sound


def test_a_confirmed_model_that_diverges_late_is_that_of_its_best_epoch_and_says_so(ledger):
    for name in "ab":
        run(ledger, name, [0.6])
    trial, row = run(ledger, "c", [0.7, math.nan])
    assert trial.stage == Stage.CONFIRM
    assert (row.best_epoch, row.val_auc) == (1, 0.7)
    assert row.error == "diverged: the loss was not finite in epoch 2"
