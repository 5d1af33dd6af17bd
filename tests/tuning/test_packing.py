"""How many trials share a GPU: what pays, what memory holds, and what happens when it does not."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from masll import InputError
from masll.common.storage import LocalPath
from masll.cross_validation import CrossValidator
from masll.data.options import DataOptions
from masll.results import EpochResult
from masll.training import Trainer
from tuning import engine, packing
from tuning.crowding import is_out_of_memory
from tuning.images import FOLDS
from tuning.job import Job
from tuning.ledger import Ledger
from tuning.options import resolve
from tuning.packing import (
    Measured,
    best_packing,
    largest_arm,
    measure_packing,
)
from tuning.plan import ArmPlan, StudyPlan
from tuning.slots import Slots
from tuning.space import DEFAULT_SPACE
from tuning.study.arm import Arm
from tuning.study.folder import StudyFolder
from tuning.study.writer import RowWriter
from tuning.trainable import REPORT, TrialWorker
from tuning.trial_report import Node, TrialReport

SMALL = resolve(
    {
        "variants": ("baseline",),
        "backbones": ("test_resnet",),
        "image_size": 32,
        "source_size": 32,
        "batch_size": 4,
        "epochs": 1,
    }
)
RECIPE = SMALL.recipe


def measured(speeds: list[float], memory: float):
    """Processes of a planted GPU: images per second by their number, memory of each."""

    def measure(processes: int) -> Measured | None:
        if processes * memory > 1:
            return None
        return Measured(speeds[min(processes, len(speeds)) - 1], processes * memory)

    return measure


def test_trials_are_packed_as_long_as_another_one_pays():
    assert best_packing(measured([100, 180, 240, 250], 0.01)) == 3
    assert best_packing(measured([100, 101], 0.01)) == 1
    assert best_packing(measured([100 * n for n in range(1, 99)], 0.01), most=8) == 8


def test_trials_are_packed_only_as_memory_allows():
    grows = [100 * n for n in range(1, 99)]
    assert best_packing(measured(grows, 0.3)) == 3
    assert best_packing(measured(grows, 0.46)) == 1, "two would fill more than nine tenths"


def test_trials_are_packed_only_as_the_machines_own_memory_allows():
    def measure(processes: int) -> Measured:
        return Measured(100 * processes, 0.05 * processes, host=0.4)

    assert best_packing(measure) == 2, "sixteen gigabytes hold no four processes"


@pytest.mark.slow
def test_what_is_measured_is_what_will_run_a_network_for_each_fold_with_cross_validation():
    def probe(crossed: bool) -> OnCpu:
        return OnCpu(Arm("baseline", "test_resnet"), RECIPE, 1, crossed)

    one, five = probe(False), probe(True)
    five.warm_up()
    assert isinstance(one.training, Trainer) and isinstance(five.training, CrossValidator)
    assert len(five.training._trainers) == FOLDS
    assert five.training.images_per_epoch == (FOLDS - 1) * one.training.images_per_epoch


class OnCpu(packing.Probe):
    """A probe on a GPU that is one for Ray only."""

    find_device = staticmethod(lambda: torch.device("cpu"))


def test_memory_that_one_process_did_not_show_stops_the_packing():
    def measure(processes: int) -> Measured | None:
        return None if processes == 3 else Measured(100 * processes, 0.1)

    assert best_packing(measure) == 2


def test_a_network_that_does_not_fit_at_all_is_named_as_such():
    with pytest.raises(InputError, match="does not fit into a GPU's memory"):
        best_packing(lambda _: None)


def test_the_largest_arm_is_measured():
    arms = [
        Arm("baseline", "test_resnet"),
        Arm("gated-fusion", "test_resnet"),
        Arm("baseline", "resnet18"),
        Arm("global-only", "test_resnet"),
    ]
    assert largest_arm(arms, RECIPE) == Arm("baseline", "resnet18")
    assert largest_arm(arms[:2], RECIPE) == Arm("gated-fusion", "test_resnet")


class Greedy(TrialWorker):
    """Trains nothing, and needs more of a GPU than the fourth of it that it is given first."""

    def setup(self, config):
        self.reset_config(config)

    def reset_config(self, new_config):
        self.share, self.done = new_config["gpus"], 0
        return True

    def step(self):
        if self.share < 0.33:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        self.done += 1
        result = EpochResult(self.done, 0.01, 0.5, 0.5, 0.7, *(None,) * 6, seconds=0.1)
        report = TrialReport(
            epochs=[result],
            done=True,
            best=result,
            diverged=False,
            predictions=[],
            seconds=0.1,
            earlier_seconds=0.0,
            images_per_second=0.0,
            device="none",
            node=Node("here", "0"),
            peak_memory_mb=0.0,
        )
        return {"done": True, REPORT: report}


class Cramped:
    """A probe that finds no room on the GPU even for itself."""

    def __init__(self, *_):
        raise RuntimeError("CUDA error: out of memory")

    def warm_up(self):
        """Never comes to it."""


def test_each_word_for_too_little_memory_is_known_and_no_other_failure_is_taken_for_it():
    for error in (
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
        "torch.AcceleratorError: CUDA error: out of memory",
        "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "RuntimeError: CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(h)`",
        "RuntimeError: cuDNN error: CUDNN_STATUS_NOT_INITIALIZED",
        "RuntimeError: cuDNN error: CUDNN_STATUS_INTERNAL_ERROR",
        "RuntimeError: CUDA driver error: out of memory",
    ):
        assert is_out_of_memory(error)
    assert not is_out_of_memory("RuntimeError: CUDA error: device-side assert triggered")


@pytest.mark.soak
def test_when_memory_runs_out_fewer_trials_share_a_gpu_and_the_trial_is_repeated(monkeypatch):
    import ray

    ray.init(
        "local",
        num_cpus=4,
        num_gpus=1,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=10**8,
    )
    try:
        arms = [Arm(variant, "test_resnet") for variant in SMALL.variants]
        monkeypatch.setattr(packing, "Probe", OnCpu)
        packed = measure_packing(SMALL, arms, cores=2)
        assert 1 <= packed <= 2, "no more than there are cores"
        monkeypatch.setattr(packing, "Probe", Cramped)
        with pytest.raises(InputError, match="does not fit into a GPU's memory"):
            measure_packing(SMALL, arms, cores=2)
        plan = StudyPlan(
            [
                ArmPlan(
                    Arm("baseline", "test_resnet"),
                    DEFAULT_SPACE,
                    trials=6,
                    epochs=1,
                    seeds=0,
                    seed=0,
                    sampler="random",
                    scheduler="none",
                )
            ]
        )
        with tempfile.TemporaryDirectory() as folder:
            job = Job("", None, DataOptions(), "", folder, RECIPE, 1)
            study = StudyFolder(LocalPath(folder))
            slots = Slots(4, 1, 0.25, most_gpus=1)
            ledger = Ledger(plan, RowWriter(study, DEFAULT_SPACE), slots, on_result=lambda *_: None)
            engine.run(ledger, job, worker=Greedy)
            rows = pd.read_parquet(Path(folder) / "trials")
    finally:
        ray.shutdown()
    assert len(rows) == 6 and set(rows["status"]) == {"completed"}
    assert not rows["crashes"].any() and not rows["preemptions"].any()
    assert np.allclose(rows["gpus"], 0.3333), "three on a GPU instead of four"
