"""What is left of a trial that was cut off: read back as it was, and never half of it."""

import datetime

import pytest

from masll.common.errors import InputError
from masll.common.storage import LocalPath
from masll.results import EpochResult
from tuning.options import SearchOptions
from tuning.restore import forget_ended, load_plan
from tuning.space import DEFAULT_SPACE
from tuning.study.arm import Arm
from tuning.study.folder import StudyFolder
from tuning.study.rows import TrialRow
from tuning.study.spec import Spec
from tuning.study.trial import Stage, Status, Trial
from tuning.study.unfinished import UnfinishedTrial, UnfinishedTrials
from tuning.study.writer import RowWriter

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=datetime.UTC)
TRIAL = Trial(
    Arm("gated-fusion", "resnet18"),
    Stage.SEARCH,
    3,
    7,
    {"lr": 0.1 + 0.2, "optimizer": "sgd", "square_box": True},
)
EPOCH = EpochResult(1, 0.01, 0.5, 0.6, float("nan"), None, None, None, None, None, None, 1.5)


@pytest.fixture
def folder(tmp_path) -> StudyFolder:
    return StudyFolder(LocalPath(tmp_path))


def test_a_trial_is_read_back_as_it_was_handed_out(folder):
    unfinished = UnfinishedTrials(folder)
    assert unfinished.all() == []
    begun = UnfinishedTrial(TRIAL, NOW, crashes=1, epochs=4)
    unfinished.keep(begun)
    assert UnfinishedTrials(folder).all() == [begun]
    unfinished.remove(TRIAL.trial_id)
    assert not any(folder.running.iterdir())
    unfinished.remove(TRIAL.trial_id)  # nothing to do twice


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"trial": 1}', "[" * 10**5])
def test_a_spoilt_file_is_named_with_what_to_do(folder, content):
    unfinished = UnfinishedTrials(folder)
    unfinished.keep(UnfinishedTrial(TRIAL, NOW))
    (folder.running / "other.json").write_text(content)
    with pytest.raises(InputError, match=r"running/other\.json: .*--set-aside"):
        unfinished.all()


def test_checkpoints_without_their_trial_are_removed_and_others_stay(folder):
    unfinished = UnfinishedTrials(folder)
    unfinished.keep(UnfinishedTrial(TRIAL, NOW))
    kept = folder.workers_files(TRIAL.trial_id)
    left = folder.workers_files("baseline.resnet18.search.0007")
    for path in [*kept, *left]:
        path.write_whole(b"weights")
    unfinished.remove_others()
    assert all(path.exists() for path in kept) and not any(path.exists() for path in left)


def test_what_a_killed_run_has_left_of_an_ended_trial_is_forgotten(folder):
    arm = Arm("gated-fusion", "resnet18")
    options = SearchOptions(
        variants=(arm.variant,),
        backbones=(arm.backbone,),
        trials=4,
        epochs=1,
        seeds=1,
        image_size=32,
    )
    params = {"lr": 0.01, "threshold_scale": 1.0}
    ended, cut_off = (Trial(arm, Stage.SEARCH, number, 0, params) for number in (0, 1))
    for trial in (ended, cut_off):
        UnfinishedTrials(folder).keep(UnfinishedTrial(trial, NOW))
    row = TrialRow.of(ended, Status.FAILED, started_at=NOW, ended_at=NOW, seconds=1.0)
    RowWriter(folder, DEFAULT_SPACE).write(row, [], [])
    plan = load_plan(folder, options, Spec(arms=(arm,), space=DEFAULT_SPACE))
    assert plan.waiting == {cut_off.trial_id}
    of_search, of_others = (
        [folder.path / name / ".rows.partial" for name in names]
        for names in (("", "trials", "running"), ("external/hospital", "report"))
    )
    for half in (*of_search, *of_others):
        half.write_whole("half")
    forget_ended(folder, plan)
    assert not any(half.exists() for half in of_search)
    assert all(half.exists() for half in of_others), "another command may be writing them"
    assert [begun.trial for begun in UnfinishedTrials(folder).all()] == [cut_off]


def test_failed_trials_are_trained_again_when_told_and_their_rows_stay_until_then(folder):
    arm = Arm("gated-fusion", "resnet18")
    options = SearchOptions(
        variants=(arm.variant,),
        backbones=(arm.backbone,),
        trials=2,
        epochs=1,
        seeds=1,
        image_size=32,
    )
    params = {"lr": 0.01, "threshold_scale": 1.0}
    failed, completed = (Trial(arm, Stage.SEARCH, number, 0, params) for number in (0, 1))
    writer, spec = RowWriter(folder, DEFAULT_SPACE), Spec(arms=(arm,), space=DEFAULT_SPACE)
    for trial, status in ((failed, Status.FAILED), (completed, Status.COMPLETED)):
        row = TrialRow.of(trial, status, started_at=NOW, ended_at=NOW, seconds=1.0)
        writer.write(row, [], [])
    as_it_was = load_plan(folder, options, spec)
    assert not as_it_was.waiting and len(as_it_was.arms[arm].results) == 2
    plan = load_plan(folder, options, spec, retry_failed=True)
    assert plan.next() == failed and plan.next() is None
    assert [result.trial for result in plan.arms[arm].results] == [completed]
    assert (folder.trials / f"{failed.trial_id}.parquet").exists()
