"""Workers on logical GPUs: our code and PyTorch's own checks run, only the driver is faked."""

import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from masll.config import TrainConfig
from masll.results import EpochResult, Predictions
from masll.training import BestEpoch, OnStep, TrainingRun
from tuning import trainable, trial_run
from tuning.places import CRASHES
from tuning.trainable import TrialWorker
from tuning.trial_run import TrialRun

GPUS = 8
BROKEN = "3"  # number of the GPU that fails whatever is started on it
ECC = "CUDA error: uncorrectable ECC error encountered"


class Card:
    total_memory = 80 * 2**30


def fake_driver() -> None:
    """Answer what PyTorch asks of CUDA's driver; nothing of a network ever goes there."""
    entry_points: dict[Any, dict[str, Any]] = {
        torch._C: {"_cuda_setMemoryFraction": lambda *_: None},
        torch.cuda: {
            "reset_peak_memory_stats": lambda *_: None,
            "max_memory_allocated": lambda *_: 2**30,
            "get_device_properties": lambda *_: Card,
            "get_device_name": lambda *_: "fake",
        },
        torch.cuda.memory: {"_lazy_init": lambda: None},
        trial_run: {"find_gpu": lambda: torch.device("cuda", 0)},
    }
    for owner, names in entry_points.items():
        for name, value in names.items():
            setattr(owner, name, value)


class Instant(TrainingRun):
    """A training that takes no time once the broken GPU has failed enough, and all have begun."""

    def __init__(self, device: torch.device, begun: Path) -> None:
        self.begun = begun
        self.config, self.device = TrainConfig(epochs=2), device
        self.epoch, self.diverged, self.best_epoch = 0, False, BestEpoch()

    @property
    def images_per_epoch(self) -> int:
        return 1

    def run_epoch(self, on_step: OnStep) -> EpochResult:
        on_step(1.0)
        while not self._all_have_begun():
            time.sleep(0.1)
        self.epoch += 1
        result = EpochResult(self.epoch, 0.01, 0.5, 0.5, 0.7, *(None,) * 6, seconds=0.1)
        seen = Predictions("validation", ("a", "b"), np.array([0, 1]), np.array([0.1, 0.9]), None)
        self.best_epoch = BestEpoch(result, seen)
        return result

    def _all_have_begun(self) -> bool:
        """Or the first workers would run everything before the last ones are there."""
        on = [path.name.partition(".")[0] for path in self.begun.iterdir()]
        return len({*on}) == GPUS and on.count(BROKEN) >= CRASHES

    def state_dict(self) -> dict[str, Any]:
        return {"best": {"epoch": self.epoch}}


class FakeRun(TrialRun):
    """The real one, up to the training itself."""

    def _training_run(self, device: torch.device) -> TrainingRun:
        assert device == torch.device("cuda", 0)
        begun = Path(self.job.study, "begun")
        begun.mkdir(exist_ok=True)
        (begun / f"{self.node.gpu_id}.{self.trial.trial_id}").touch()
        if self.node.gpu_id == BROKEN:
            raise RuntimeError(ECC)
        return Instant(device, begun)

    def _open_test_set(self) -> Predictions:
        return Predictions("test", ("c", "d"), np.array([0, 1]), np.array([0.2, 0.8]), None)


class FakeWorker(TrialWorker):
    """One of many on eight GPUs, of which one is broken."""

    def setup(self, config: dict[str, Any]) -> None:
        fake_driver()
        trial_run.TrialRun = FakeRun  # type: ignore[misc]  # which a step imports
        self.store = self.images = None  # type: ignore[assignment]
        self.node = trainable._node_here()
        self.reset_config(config)


def place(gpu: str) -> str:
    return f"{platform.node()}, GPU {gpu}"
