"""The books: what a trial's last report makes of its row and of the plan."""

import math

import pytest

from masll.common.storage import any_path
from masll.results import EpochResult
from tuning.crowding import Crowding
from tuning.ledger import Cause, Ledger
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


def run(ledger, name, aucs, *, diverged=None):
    """A trial with these validation AUCs by epoch; a last nan is a loss that was not finite."""
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
        diverged=math.isnan(aucs[-1]) if diverged is None else diverged,
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


def test_an_auc_that_is_undefined_in_every_epoch_fails_a_trial_and_says_why(ledger):
    (arm,) = ledger.plan.arms.values()
    _, row = run(ledger, "a", [math.nan, math.nan], diverged=False)
    assert (row.status, row.val_auc) == (Status.FAILED, None)
    assert "undefined in every epoch" in row.error and "both classes" in row.error
    assert arm.search.study.trials[0].state.name == "FAIL", "not the worst of the sound ones"
    _, row = run(ledger, "b", [math.nan, 0.6], diverged=False)
    assert (row.status, row.val_auc, row.error) == (Status.COMPLETED, 0.6, None)


def test_a_confirmed_model_that_diverges_late_is_that_of_its_best_epoch_and_says_so(ledger):
    for name in "ab":
        run(ledger, name, [0.6])
    trial, row = run(ledger, "c", [0.7, math.nan])
    assert trial.stage == Stage.CONFIRM
    assert (row.best_epoch, row.val_auc) == (1, 0.7)
    assert row.error == "diverged: the loss was not finite in epoch 2"


def crowded(tmp_path, slots: int = 4) -> Ledger:
    """Of an arm with many trials, on several GPUs."""
    settings = {"trials": 12, "epochs": 60, "seeds": 1, "seed": 0}
    settings |= {"sampler": "random", "scheduler": "none"}
    arm = ArmPlan(Arm("baseline", "resnet18"), DEFAULT_SPACE, **settings)
    said: list[str] = []
    ledger = Ledger(
        StudyPlan([arm]),
        RowWriter(StudyFolder(any_path(tmp_path)), DEFAULT_SPACE),
        Slots(slots, 1, 0),
        on_result=lambda *_: None,
        say=said.append,
    )
    ledger.said = said
    return ledger


def begin(ledger: Ledger, name: str, place: str) -> str:
    """Hand a trial out to a worker that writes down where it is, as workers do."""
    trial_id = ledger.next(name).trial.trial_id
    ledger.writer.folder.place(trial_id).write_whole(place)
    return trial_id


def epoch_from(place: str) -> TrialReport:
    epoch = EpochResult(1, 0.01, 0.5, 0.5, 0.7, *(None,) * 6, seconds=1.0)
    return TrialReport(
        epochs=[epoch],
        done=False,
        best=epoch,
        diverged=False,
        predictions=[],
        seconds=1.0,
        earlier_seconds=0.0,
        images_per_second=1.0,
        device="cpu",
        node=Node(place),
        peak_memory_mb=1.0,
    )


def test_a_place_where_three_trials_crash_at_once_is_left_out_and_its_slots_stand_idle(tmp_path):
    ledger = crowded(tmp_path)
    begin(ledger, "a", "good")
    ledger.report("a", epoch_from("good"))
    crashed = set()
    for name in "bcd":
        crashed.add(begin(ledger, name, "bad"))
        ledger.crash(name, Cause.ERROR, "Traceback\nRuntimeError: ECC")
    assert ledger.said == [
        "bad is left out: trials crash there before their first epoch, and nowhere else "
        "(RuntimeError: ECC)"
    ]
    (unfinished,) = (u for u in ledger.unfinished.all() if u.trial.trial_id in crashed)
    assert unfinished.crashes == 0, "the same trial three times, and charged none"
    held = ledger.next("e")
    assert held.left_out == {"bad"} and held.trial.trial_id in crashed
    assert ledger.hold("e", "bad") and ledger.held == 1, "it came to the bad place again"
    assert ledger.next("f").trial.trial_id == held.trial.trial_id, "and goes elsewhere"
    ledger.next("g")
    assert ledger.next("h") is None, "three run and one is held, of four slots"
    ledger.places.works("bad")
    assert not ledger.hold("e", "bad") and ledger.held == 0
    ledger.finish("e")  # Tune says that it has ended
    assert ledger.next("h") is not None


def test_when_only_places_that_were_left_out_remain_they_get_trials_again(tmp_path):
    ledger = crowded(tmp_path, slots=2)
    begin(ledger, "a", "good")
    ledger.report("a", epoch_from("good"))
    for _ in range(3):
        begin(ledger, "b", "bad")
        ledger.crash("b", Cause.ERROR, "RuntimeError: ECC")
    ledger.next("c")
    assert ledger.hold("c", "bad")
    ledger.crash("a", Cause.LOST_MACHINE, "its node has died")
    ledger.let_go()
    assert not ledger.hold("c", "bad") and not ledger.next("d").left_out
    assert ledger.said[-1] == "bad gets trials again: no other machine is left"


def test_a_study_whose_every_trial_crashes_at_once_stops_with_that_error_and_fails_none(tmp_path):
    ledger = crowded(tmp_path, slots=1)
    for _ in range(3):
        assert ledger.hopeless is None
        begin(ledger, "a", "here")
        ledger.crash("a", Cause.ERROR, "Traceback\nImportError: no such library")
    assert ledger.hopeless == "ImportError: no such library"
    assert ledger.next("a") is None
    (arm,) = ledger.plan.arms.values()
    assert not arm.results and len(ledger.unfinished.all()) == 1


def test_a_trial_that_crashes_where_others_work_fails_alone(tmp_path):
    ledger = crowded(tmp_path, slots=2)
    begin(ledger, "a", "here")
    ledger.report("a", epoch_from("here"))
    for _ in range(3):
        bad = begin(ledger, "b", "here")
        ledger.crash("b", Cause.ERROR, "Traceback\nValueError: too large")
    (arm,) = ledger.plan.arms.values()
    assert [result.trial.trial_id for result in arm.results] == [bad]
    assert arm.results[0].status == Status.FAILED and ledger.hopeless is None and not ledger.said


def test_when_a_machine_runs_out_of_memory_one_trial_less_runs_and_none_is_charged(tmp_path):
    ledger = crowded(tmp_path)
    for name in "abcd":
        begin(ledger, name, "here")
    ledger.crash("b", Cause.MEMORY, "OutOfMemoryError: Task was killed")
    assert ledger.slots.count == 3 and ledger.next("e") is None
    assert ledger.said == ["memory has run out; from now on 3 at once, each with 1 CPU core"]
    assert all(each.crashes == 0 for each in ledger.unfinished.all())
    for name in "acd":  # they were ended for the same want of memory
        ledger.crash(name, Cause.MEMORY, "OutOfMemoryError: Task was killed")
    assert ledger.slots.count == 3 and all(each.crashes == 0 for each in ledger.unfinished.all())


def test_a_trial_that_needs_more_memory_than_the_machine_has_alone_is_charged(tmp_path):
    ledger = crowded(tmp_path, slots=1)
    begin(ledger, "a", "here")
    ledger.crash("a", Cause.MEMORY, "OutOfMemoryError: Task was killed")
    assert [each.crashes for each in ledger.unfinished.all()] == [1] and not ledger.said


def test_a_trial_whose_memory_others_have_taken_is_not_charged_and_waits(tmp_path):
    ledger, now = crowded(tmp_path, slots=2), [0.0]
    ledger.crowding = Crowding(lambda: now[0])
    for name in "ab":
        begin(ledger, name, "here")
    ledger.crash("a", Cause.CROWDED, "process 7 holds 9 GB")
    ledger.crash("b", Cause.CROWDED, "process 7 holds 9 GB")  # ended with it
    assert ledger.slots.count == 1 and ledger.next("a") is not None
    ledger.crash("a", Cause.CROWDED, "process 7 holds 9 GB")
    assert ledger.next("a") is None, "memory is full"
    assert ledger.said[1:] == ["process 7 holds 9 GB; no trial starts for 5 s"]
    while not ledger.ends:
        now[0] += 61
        assert ledger.next("a") is not None
        ledger.crash("a", Cause.CROWDED, "process 7 holds 9 GB")
    assert now[0] > 1800 and ledger.crowded == "process 7 holds 9 GB"
    assert all(each.crashes == 0 for each in ledger.unfinished.all())
