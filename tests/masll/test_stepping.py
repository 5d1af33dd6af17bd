"""Recorded steps: on the CPU a record is the work itself, so that all else of it is tested.

`python -m tuning.smoke` records steps on a GPU, and so does the last test here where there is one.
"""

import numpy as np
import pytest
import torch

from masll import VARIANTS, ModelConfig
from masll.config import BOXES, TrainConfig
from masll.data import find_source, open_store
from masll.stepping import CudaGraphs, RecordedStep, _shared
from masll.training import Trainer
from tests.fake_cuda import FakeCuda
from tests.support import TINY_BACKBONE

CPU = torch.device("cpu")
GPU = torch.device("cuda")


@pytest.fixture(scope="module")
def store(isic_master, cache):
    return open_store(find_source(str(isic_master)), 64, cache=cache)


def make_trainer(store, variant="gated-fusion", box="sll", device=CPU, **settings) -> Trainer:
    model = ModelConfig(
        variant=variant, backbone=TINY_BACKBONE, pretrained=False, image_size=32, box=box
    )
    training = TrainConfig(**{"epochs": 2, "batch_size": 7, "lr": 0.01, **settings})
    return Trainer(model, training, store.split("train"), store.split("validation"), device)


def recorded(trainer: Trainer, record=lambda work: work) -> Trainer:
    trainer._step = RecordedStep(trainer._step, CPU, record)
    return trainer


def assert_alike(ours: Trainer, theirs: Trainer) -> None:
    for _ in range(2):
        mine, yours = ours.run_epoch(), theirs.run_epoch()
        assert mine.train_loss == pytest.approx(yours.train_loss, rel=1e-5)
    mine, yours = ours.model.state_dict(), theirs.model.state_dict()
    for name in mine:
        torch.testing.assert_close(mine[name], yours[name], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        ours.last_validation.scores, theirs.last_validation.scores, rtol=1e-4
    )


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_recorded_steps_train_the_same_network(store, variant, optimizer):
    settings = {"optimizer": optimizer, "weight_average": 0.9, "warmup": 0.3}
    ours = recorded(make_trainer(store, variant, **settings))
    assert_alike(ours, make_trainer(store, variant, **settings))


@pytest.mark.parametrize("box", BOXES)
def test_batches_of_each_size_are_recorded_once_and_boxes_come_with_them(store, box):
    records = []

    def record(work):
        records.append(work)
        return work

    ours = recorded(make_trainer(store, box=box), record)
    assert_alike(ours, make_trainer(store, box=box))
    sizes = {len(rows) for rows in np.array_split(np.arange(len(ours.train)), ours.steps_per_epoch)}
    assert len(records) == len(sizes)


def test_what_cannot_be_recorded_runs_as_it_is_with_one_warning(store):
    def refuse(_):
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    ours = recorded(make_trainer(store), refuse)
    with pytest.warns(
        UserWarning, match="without a CUDA graph: operation not permitted.*g$"
    ) as told:
        assert_alike(ours, make_trainer(store))
    assert len(told) == 1


def test_a_state_between_recorded_steps_is_that_of_plain_ones(store):
    ours = recorded(make_trainer(store, optimizer="adamw"))
    plain = make_trainer(store, optimizer="adamw")
    for trainer in (ours, plain):
        trainer.run_epoch()
    groups = [trainer.state_dict()["optimizer"]["param_groups"] for trainer in (ours, plain)]
    assert groups[0] == groups[1]
    resumed = recorded(make_trainer(store, optimizer="adamw"))
    resumed.load_state_dict(ours.state_dict())
    assert resumed.run_epoch().train_loss == pytest.approx(plain.run_epoch().train_loss, rel=1e-5)


@pytest.fixture
def cuda(monkeypatch):
    """Two GPUs, of which 0 is the current one."""
    cuda = FakeCuda()
    cuda.install(monkeypatch)
    _shared.cache_clear()
    yield cuda
    _shared.cache_clear()


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:1"])
def test_work_is_recorded_on_the_gpu_that_it_runs_on_and_runs_when_played(cuda, name):
    device, ran = torch.device(name), []
    play = CudaGraphs(device)(lambda: cuda.start(lambda: ran.append(1), device))
    assert ran == [], "recorded, not run"
    for _ in range(3):
        play()
    assert len(ran) == 3 and cuda.current == 0


def test_the_graphs_of_a_gpu_share_their_memory_and_no_other_gpu_s(cuda):
    for name in ("cuda", "cuda:0", "cuda:1", "cuda:1"):
        CudaGraphs(torch.device(name))(lambda: None)
    unplayed, *first, other, third, fourth = cuda.graphs
    assert {graph.memory for graph in first} == {unplayed.memory}
    assert other.memory == third.memory == fourth.memory != unplayed.memory


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_gpu_trains_the_same_with_graphs_and_resident_images(store, box, optimizer):
    settings = {"box": box, "optimizer": optimizer, "weight_average": 0.9, "device": GPU}
    ours, plain = make_trainer(store, **settings), make_trainer(store, **settings)
    plain._step = plain._step._step  # as record_steps=False would have it
    for _ in range(2):
        mine, yours = ours.run_epoch(), plain.run_epoch()
        assert mine.train_loss == pytest.approx(yours.train_loss, rel=0.02)
    assert ours._step._record is not None and all(ours._step._recorded.values())
    np.testing.assert_allclose(ours.last_validation.scores, plain.last_validation.scores, atol=0.03)
