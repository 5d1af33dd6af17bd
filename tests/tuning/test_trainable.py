"""A worker, without Ray around it: what it opens, and how it goes on."""

import dataclasses
import datetime
import json
import platform
import weakref
from pathlib import Path

import pytest
import torch

from masll.common.errors import InputError
from masll.data import ImageStore, find_source, open_store
from masll.data.options import DataOptions
from tests.support import TINY_BACKBONE
from tuning import trainable, trial_run
from tuning.job import Job
from tuning.recipe import Recipe
from tuning.study.arm import Arm
from tuning.study.trial import Stage, Trial
from tuning.study.unfinished import UnfinishedTrial, UnfinishedTrials
from tuning.trainable import REPORT, TrialWorker
from tuning.trial_report import Held, TrialReport

ARM = Arm("concat-fusion", TINY_BACKBONE)
NOW = datetime.datetime.now(datetime.UTC)


@pytest.fixture
def store(isic_master, tmp_path, monkeypatch) -> ImageStore:
    """That of this machine."""
    monkeypatch.setenv("MASLL_CACHE", str(tmp_path / "cache"))
    return open_store(find_source(str(isic_master)), 48)


@pytest.fixture
def job(isic_master, store, tmp_path) -> Job:
    (tmp_path / "study").mkdir()
    spec = {"schema_version": 1, "data": {}, "options": {}}
    (tmp_path / "study" / "spec.json").write_text(json.dumps(spec))
    data = DataOptions(str(isic_master), 48)
    recipe = Recipe(epochs=3, batch_size=8, image_size=32, source_size=48, pretrained=False)
    return Job(
        store=str(store.folder),
        node_id=None,
        data=data,
        fingerprint=store.index["fingerprint"],
        study=str(tmp_path / "study"),
        recipe=recipe,
        threads=1,
    )


def worker(job: Job, trial: Trial) -> TrialWorker:
    made = TrialWorker.__new__(TrialWorker)  # as Ray does, but for Ray's own fields
    made.setup({"job": job, "trial": trial, "gpus": 0, "left_out": ()})
    return made


def run(made: TrialWorker) -> TrialReport:
    while not (report := made.step())["done"]:
        pass
    return report[REPORT]


def trial(stage: str) -> Trial:
    return Trial(ARM, Stage(stage), 0, 1, {"lr": 0.01, "threshold_scale": 1.0})


def test_a_search_trial_never_opens_a_file_of_the_test_set(job, store):
    for path in store.folder.glob("test*"):
        path.unlink()
    progress = run(worker(job, trial("search")))
    assert [made.split for made in progress.predictions] == ["validation"]
    with pytest.raises(FileNotFoundError, match="test"):
        run(worker(job, trial("confirm")))


@pytest.mark.slow
def test_another_node_prepares_the_images_for_itself_and_refuses_others(job, tmp_path, monkeypatch):
    elsewhere = dataclasses.replace(job, store="not on this node", node_id="another")
    monkeypatch.setenv("MASLL_CACHE", str(tmp_path / "other-cache"))
    assert run(worker(elsewhere, trial("search"))).done
    assert any((tmp_path / "other-cache").iterdir())
    other = dataclasses.replace(elsewhere, fingerprint="0" * 64)
    with pytest.raises(InputError, match=f"node {platform.node()}: .* not those the study began"):
        worker(other, trial("search"))
    nowhere = dataclasses.replace(elsewhere, data=DataOptions("nowhere", 48))
    with pytest.raises(InputError, match=f"node {platform.node()}: no data folder 'nowhere'"):
        worker(nowhere, trial("search"))


def test_no_other_file_of_the_store_says_anything_of_test_images(store):
    ids = json.loads((store.folder / "test.json").read_text())["ids"]
    for path in store.folder.iterdir():
        if not path.name.startswith("test"):
            assert ids[0].encode() not in path.read_bytes(), path


def test_a_confirmed_trial_opens_it_once_and_saves_the_model(job):
    progress = run(worker(job, trial("confirm")))
    assert [made.split for made in progress.predictions] == ["validation", "test"]
    assert all(made.frozen is None for made in progress.predictions)
    assert Path(job.study, "models", str(ARM), "seed-1", "model.safetensors").exists()


def test_a_confirmed_gate_is_also_frozen(job):
    gated = dataclasses.replace(trial("confirm"), arm=Arm("gated-fusion", ARM.backbone))
    validation, test = run(worker(job, gated)).predictions
    assert validation.frozen is None
    assert test.frozen.shape == test.scores.shape


def test_a_new_worker_tells_the_last_checkpointed_epoch_again_and_goes_on_to_the_same_weights(job):
    def weights(made: TrialWorker) -> dict[str, torch.Tensor]:
        return made.run.training.model.state_dict()

    UnfinishedTrials(job.folder).keep(UnfinishedTrial(trial("search"), NOW))
    first = worker(job, trial("search"))
    told = first.step()[REPORT]
    first.cleanup()  # until its checkpoint is written
    second = worker(job, trial("search"))
    again = second.step()[REPORT]
    assert again.epochs == told.epochs and again.earlier_seconds > 0
    assert second.run.training.epoch == 1, "told, not trained"
    rest = run(second)
    UnfinishedTrials(job.folder).remove(trial("search").trial_id)
    undisturbed = worker(job, trial("search"))
    straight = run(undisturbed)
    curve = [(e.train_loss, e.val_loss, e.val_auc) for e in rest.epochs]
    assert curve == [(e.train_loss, e.val_loss, e.val_auc) for e in straight.epochs]
    assert rest.best.epoch == straight.best.epoch
    expected = weights(undisturbed)
    assert all(torch.equal(value, expected[name]) for name, value in weights(second).items())


def test_a_worker_that_is_used_again_has_let_go_of_the_network_before(job):
    made = worker(job, trial("search"))
    made.step()
    before = weakref.ref(made.run.training.model)
    made.reset_config({"job": job, "trial": trial("confirm"), "gpus": 0, "left_out": ()})
    assert before() is None


def test_a_worker_whose_place_is_left_out_stands_idle_and_touches_nothing(job, monkeypatch):
    monkeypatch.setattr(trainable, "_HELD_SECONDS", 0.0)
    made = worker(job, trial("search"))
    left_out = frozenset([str(made.node)])
    made.reset_config({"job": job, "trial": trial("search"), "gpus": 0, "left_out": left_out})
    assert made.step() == {"done": False, REPORT: Held(str(made.node))}
    assert made.run is None and not job.folder.running.exists()


def test_a_trial_leaves_its_place_before_anything_of_it_can_fail(job, monkeypatch):
    def fails(*_):
        raise RuntimeError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(trial_run.TrialRun, "_training_run", fails)
    with pytest.raises(RuntimeError):
        worker(job, trial("search")).step()
    assert job.folder.place(trial("search").trial_id).read_text() == platform.node()
