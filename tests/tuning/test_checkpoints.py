"""Checkpoints: what they hold, how often they are written, and what a reader makes of them."""

import dataclasses
import datetime

import pytest
import torch

from masll.common.storage import LocalPath
from masll.results import EpochResult
from tuning.checkpoints import Checkpoint, CheckpointWriter, load_checkpoint
from tuning.study.arm import Arm
from tuning.study.folder import StudyFolder
from tuning.study.trial import Stage, Trial
from tuning.study.unfinished import UnfinishedTrial, UnfinishedTrials

EPOCH = EpochResult(1, 0.01, 0.5, 0.5, 0.75, *(None,) * 6, seconds=2.0)
TRIAL = Trial(Arm("gated-fusion", "resnet18"), Stage.CONFIRM, 0, 1, {})
NAME = TRIAL.trial_id


class Clock:
    """Seconds that pass when a test says so, and while a checkpoint is taken."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def folder(tmp_path) -> StudyFolder:
    folder = StudyFolder(LocalPath(tmp_path))
    now = datetime.datetime.now(datetime.UTC)
    UnfinishedTrials(folder).keep(UnfinishedTrial(TRIAL, now))
    return folder


def taken(epoch: int = 1, best: int = 1, **trainer) -> Checkpoint:
    state = {
        "model": {"weight": torch.full((3,), float(epoch))},
        "epoch": epoch,
        "best": {"epoch": best},
        "best_weights": {"weight": torch.full((3,), float(best))},
    }
    return Checkpoint([EPOCH] * epoch, 2.5 * epoch, state | trainer)


def write(folder: StudyFolder, *checkpoints: Checkpoint) -> None:
    """Each, however soon after the last."""
    clock = Clock()
    writer = CheckpointWriter(folder, NAME, clock)
    for checkpoint in checkpoints:
        assert writer.offer(lambda checkpoint=checkpoint: checkpoint)
        writer._writing.result()
        clock.now += 601
    writer.close()


def test_a_checkpoint_holds_tensors_and_plain_values_only(folder):
    write(folder, taken(2, best=1))
    assert torch.load(folder.checkpoint(NAME), weights_only=True)["seconds"] == 5.0
    found = load_checkpoint(folder, NAME)
    assert found.trainer["model"]["weight"].tolist() == [2, 2, 2]
    assert found.trainer["best_weights"]["weight"].tolist() == [1, 1, 1]
    assert len(found.epochs) == 2 and dataclasses.asdict(found.epochs[0])["val_auc"] == 0.75


def test_best_weights_are_written_anew_only_when_they_are_new(folder):
    write(folder, taken(1, best=1), taken(2, best=1))
    first, second = (folder.best_weights(NAME, number) for number in (0, 1))
    assert first.exists() and not second.exists()
    write(folder, taken(1, best=1), taken(2, best=2), taken(3, best=2), taken(4, best=4))
    found = load_checkpoint(folder, NAME)
    assert found.trainer["best_weights"]["weight"].tolist() == [4, 4, 4]
    write(folder, taken(1, best=1), taken(2, best=1, best_weights=None))
    assert load_checkpoint(folder, NAME).trainer["best_weights"] is None


def test_a_run_killed_between_the_best_weights_and_the_rest_goes_on_from_the_checkpoint_before(
    folder,
):
    write(folder, taken(1, best=1))
    before = folder.checkpoint(NAME).read_bytes()
    write(folder, taken(1, best=1), taken(2, best=2))
    folder.checkpoint(NAME).write_bytes(before)  # as if it had not come to this file
    found = load_checkpoint(folder, NAME)
    assert found.trainer["epoch"] == 1
    assert found.trainer["best_weights"]["weight"].tolist() == [1, 1, 1]


def test_what_is_written_is_what_was_there_when_it_was_taken(folder):
    checkpoint = taken()
    clock = Clock()
    writer = CheckpointWriter(folder, NAME, clock)
    writer.offer(lambda: checkpoint)
    checkpoint.trainer["model"]["weight"].fill_(9)  # the training goes on at once
    checkpoint.epochs.append(EPOCH)
    writer.close()
    found = load_checkpoint(folder, NAME)
    assert found.trainer["model"]["weight"].tolist() == [1, 1, 1] and len(found.epochs) == 1


def test_a_checkpoint_takes_a_twentieth_of_the_time_at_most_and_none_is_older_than_ten_minutes(
    folder,
):
    clock = Clock()
    writer = CheckpointWriter(folder, NAME, clock)

    def slow() -> Checkpoint:
        clock.now += 5
        return taken()

    assert writer.offer(slow), "the first epoch"
    writer._writing.result()
    clock.now = 100 + 100  # 20 times 5 s after it was begun
    assert not writer.offer(slow)
    clock.now += 1
    assert writer.offer(slow)
    writer._writing.result()
    writer._cost = 60.0
    clock.now += 594
    assert not writer.offer(slow)
    clock.now += 1
    assert writer.offer(slow)
    writer.close()


def test_while_one_is_being_written_no_other_is_taken(folder):
    clock = Clock()
    writer = CheckpointWriter(folder, NAME, clock)
    held = writer._thread.submit(lambda: None)
    held.result()
    writer._writing = type(held)()  # one that does not end
    clock.now += 10**6
    assert not writer.offer(taken)


def test_a_checkpoint_of_a_trial_that_has_ended_meanwhile_is_not_left(folder):
    UnfinishedTrials(folder).remove(NAME)
    write(folder, taken())
    assert not list(folder.running.glob("*"))


def test_a_disk_that_cannot_be_written_costs_the_checkpoint_and_not_the_trial(folder):
    folder.checkpoint(NAME).mkdir()  # nothing can take its place
    (folder.checkpoint(NAME) / "in it").touch()
    write(folder, taken())
    assert load_checkpoint(folder, NAME) is None


def test_a_checkpoint_of_an_earlier_version_has_its_best_weights_in_it(folder):
    state = taken(3, best=2).trainer
    epochs = [dataclasses.asdict(EPOCH)] * 3
    torch.save({"epochs": epochs, "seconds": 1.0, "trainer": state}, folder.checkpoint(NAME))
    assert load_checkpoint(folder, NAME).trainer["best_weights"]["weight"].tolist() == [2, 2, 2]


@pytest.mark.parametrize("damage", ["cut off", "other", "junk", "empty", "missing"])
@pytest.mark.parametrize("file", ["checkpoint", "best"])
def test_a_checkpoint_that_cannot_be_read_is_none(folder, damage, file):
    write(folder, taken())
    path = folder.checkpoint(NAME) if file == "checkpoint" else folder.best_weights(NAME, 0)
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        spoilt = {"cut off": content[:-200], "other": b"hello", "junk": b"junk", "empty": b""}
        path.write_bytes(spoilt[damage])
    assert load_checkpoint(folder, NAME) is None
