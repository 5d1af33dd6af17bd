"""What is left of a trial that was cut off: read back as it was, and never half of it."""

import datetime

import pytest
import torch

from masll.common.storage import LocalPath
from masll.results import EpochResult
from tuning.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
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


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"trial": 1}'])
def test_a_spoilt_file_counts_as_not_there(folder, content):
    unfinished = UnfinishedTrials(folder)
    unfinished.keep(UnfinishedTrial(TRIAL, NOW))
    (folder.running / "other.json").write_text(content)
    assert [begun.trial for begun in unfinished.all()] == [TRIAL]


def test_a_checkpoint_holds_tensors_and_plain_values_only(tmp_path):
    path = LocalPath(tmp_path) / "running" / "trial.pt"
    state = {"model": {"weight": torch.arange(3.0)}, "epoch": 1, "best": None}
    save_checkpoint(path, Checkpoint([EPOCH], 2.5, state))
    assert torch.load(path, weights_only=True)["seconds"] == 2.5
    found = load_checkpoint(path)
    assert found.trainer["model"]["weight"].tolist() == [0, 1, 2] and found.seconds == 2.5
    assert str(found.epochs) == str([EPOCH])


@pytest.mark.parametrize("damage", ["cut off", "other", "junk", "empty", "missing"])
def test_a_checkpoint_that_cannot_be_read_is_none(tmp_path, damage):
    path = LocalPath(tmp_path) / "trial.pt"
    save_checkpoint(path, Checkpoint([EPOCH], 2.5, {}))
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        spoilt = {"cut off": content[:-200], "other": b"hello", "junk": b"junk", "empty": b""}
        path.write_bytes(spoilt[damage])
    assert load_checkpoint(path) is None


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
    forget_ended(folder, plan)
    assert [begun.trial for begun in UnfinishedTrials(folder).all()] == [cut_off]
