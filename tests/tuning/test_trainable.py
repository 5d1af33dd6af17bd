"""A worker, without Ray around it: what it opens, and how it goes on."""

import json
import shutil
from pathlib import Path

import pytest

from masll.data import find_source, open_store
from tests.support import TINY_BACKBONE
from tuning.plan import Arm, Trial
from tuning.trainable import PROGRESS, Job, Progress, TrialWorker

ARM = Arm("concat-fusion", TINY_BACKBONE)


@pytest.fixture
def job(isic_master, tmp_path) -> Job:
    store = open_store(find_source(str(isic_master)), 48, cache=tmp_path)
    (tmp_path / "study").mkdir()
    spec = {"schema_version": 1, "data": {}, "options": {}}
    (tmp_path / "study" / "spec.json").write_text(json.dumps(spec))
    return Job(str(store.folder), str(tmp_path / "study"), 3, 8, 32, False, 1)


def worker(job: Job, trial: Trial) -> TrialWorker:
    made = TrialWorker.__new__(TrialWorker)  # as Ray does, but for Ray's own fields
    made.setup({"job": job, "trial": trial})
    return made


def run(made: TrialWorker) -> Progress:
    while not (report := made.step())["done"]:
        pass
    return report[PROGRESS]


def trial(stage: str) -> Trial:
    return Trial(ARM, stage, 0, 1, {"lr": 0.01, "threshold_scale": 1.0})


def test_a_search_trial_never_opens_a_file_of_the_test_set(job):
    for path in Path(job.store).glob("test*"):
        path.unlink()
    progress = run(worker(job, trial("search")))
    assert [made.split for made in progress.predictions] == ["validation"]
    with pytest.raises(FileNotFoundError, match="test"):
        run(worker(job, trial("confirm")))


def test_no_other_file_of_the_store_says_anything_of_test_images(job):
    ids = json.loads(Path(job.store, "test.json").read_text())["ids"]
    for path in Path(job.store).iterdir():
        if not path.name.startswith("test"):
            assert ids[0].encode() not in path.read_bytes(), path


def test_a_confirmed_trial_opens_it_once_and_saves_the_model(job):
    progress = run(worker(job, trial("confirm")))
    assert [made.split for made in progress.predictions] == ["validation", "test"]
    assert Path(job.study, "models", str(ARM), "seed-1", "model.safetensors").exists()


def test_a_new_worker_tells_the_last_epoch_again_and_goes_on(job):
    straight = run(worker(job, trial("search")))
    shutil.rmtree(Path(job.study, "running"))
    first = worker(job, trial("search"))
    told = [first.step()[PROGRESS] for _ in range(2)][-1]
    second = worker(job, trial("search"))
    again = second.step()[PROGRESS]
    assert again.epochs == told.epochs and again.earlier_seconds > 0
    assert second.trainer.epoch == 2, "told, not trained"
    rest = run(second)
    curve = [(e.train_loss, e.val_loss, e.val_auc) for e in rest.epochs]
    assert curve == [(e.train_loss, e.val_loss, e.val_auc) for e in straight.epochs]
    assert rest.best.epoch == straight.best.epoch
