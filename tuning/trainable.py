"""One trial after another in one worker process: Ray Tune's class API, with the actor reused.

A worker maps the images and imports PyTorch once; from then on a new trial costs a new model.
"""

import os
import platform
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ray import tune

from masll.config import ModelConfig, TrainConfig
from masll.data.store import ImageStore
from masll.model import save_model
from masll.training import EpochResult, Predictions, Trainer, find_device
from tuning.space import split_params


@dataclass(frozen=True)
class Job:
    """What all trials of a study have in common, as a worker needs it."""

    store: str  # folder of the image store
    models: str  # folder for confirmed models
    epochs: int
    batch_size: int
    image_size: int
    pretrained: bool
    threads: int


@dataclass(frozen=True)
class Progress:
    """What a worker tells after each epoch: enough to write the trial's rows if it ends here."""

    result: EpochResult
    done: bool
    best: EpochResult | None  # None while nothing but diverged epochs were seen
    predictions: list[Predictions]  # of the best epoch
    images_per_second: float
    device: str
    node: str
    peak_memory_mb: float


PROGRESS = "progress"  # the key under which a report carries a Progress


class TrialWorker(tune.Trainable):
    """Runs the trial that its config describes, one epoch a step."""

    def setup(self, config: dict[str, Any]) -> None:
        job: Job = config["job"]
        torch.set_num_threads(job.threads)
        self._train = ImageStore(Path(job.store)).split("train")
        self._validation = ImageStore(Path(job.store)).split("validation")
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.job: Job = new_config["job"]
        self.stage: str = new_config["stage"]
        self.model_folder = Path(self.job.models, new_config["arm"], f"seed-{new_config['seed']}")
        of_model, of_training = split_params(new_config["params"])
        device = find_device()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        self.trainer = Trainer(
            ModelConfig(
                variant=new_config["variant"],
                backbone=new_config["backbone"],
                pretrained=self.job.pretrained,
                image_size=self.job.image_size,
                **of_model,
            ),
            TrainConfig(
                **{
                    "epochs": self.job.epochs,
                    "batch_size": self.job.batch_size,
                    "seed": new_config["seed"],
                    **of_training,
                }
            ),
            self._train,
            self._validation,
            device,
            keep_best_weights=self.stage == "confirm",
        )
        self.seconds = 0.0
        return True

    def step(self) -> dict[str, Any]:
        result = self.trainer.run_epoch()
        self.seconds += result.seconds
        done = self.trainer.done
        predictions = [made for made in [self.trainer.best_validation] if made is not None]
        if done and self.stage == "confirm" and self.trainer.best is not None:
            self.trainer.restore_best()
            # The one place that opens the test split, and only for a confirmed model.
            test = ImageStore(Path(self.job.store)).split("test")
            predictions.append(self.trainer.predict(test))
            save_model(self.trainer.model, self.model_folder)
        progress = Progress(
            result=result,
            done=done,
            best=self.trainer.best,
            predictions=predictions,
            images_per_second=self.trainer.epoch * len(self._train) / self.seconds,
            device=_device_name(self.trainer.device),
            node=platform.node(),
            peak_memory_mb=_peak_memory_mb(self.trainer.device),
        )
        return {"done": done, PROGRESS: progress}


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} #{os.environ.get('CUDA_VISIBLE_DEVICES', 0)}"
    return "cpu"


def _peak_memory_mb(device: torch.device) -> float:
    """Of the trial on a GPU; of the worker process since its start on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
