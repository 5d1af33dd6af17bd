"""One trial after another in one worker process: Ray Tune's class API, with the actor reused.

A worker maps the images and imports PyTorch once; from then on a new trial costs a new model.
"""

import os
import platform
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune

from masll.config import ModelConfig, TrainConfig
from masll.cross_validation import CrossValidator
from masll.data.store import DataOptions, ImageStore
from masll.errors import InputError
from masll.model import save_model
from masll.places import place
from masll.training import EpochResult, Predictions, Trainer, find_device
from tuning.cases import Cases, read_cases
from tuning.node_store import open_here
from tuning.plan import Trial
from tuning.space import split_params
from tuning.study import read_spec
from tuning.unfinished import Checkpoint, load_checkpoint, save_checkpoint


@dataclass(frozen=True)
class Job:
    """What all trials of a study have in common, as a worker needs it."""

    store: str  # folder of the image store on the driver's node
    node_id: str | None  # that node, see `ray_node_id`
    data: DataOptions  # which images, so that every other node prepares them for itself
    fingerprint: str  # of the images that the study began with
    study: str  # folder of the study, for its choice of images, checkpoints and models
    epochs: int
    batch_size: int
    image_size: int
    pretrained: bool
    threads: int


@dataclass(frozen=True)
class Progress:
    """What a worker tells after each epoch: enough to write the trial's rows if it ends here."""

    epochs: list[EpochResult]  # all so far, those before an interruption too
    done: bool
    best: EpochResult | None  # None while nothing but diverged epochs were seen
    predictions: list[Predictions]  # of the best epoch
    seconds: float  # that the trial has kept a slot busy
    earlier_seconds: float  # of these, before it was gone on with
    images_per_second: float
    device: str
    node: str  # the machine
    gpu_id: str | None  # Ray's number of the GPU on that machine; None on a CPU
    peak_memory_mb: float

    @property
    def where(self) -> str:
        """Machine and GPU, as a person says it."""
        return self.node if self.gpu_id is None else f"{self.node}, GPU {self.gpu_id}"


_CONTEXT_BYTES = 500 * 2**20  # of a GPU's memory, that CUDA takes for a process beside tensors
PROGRESS = "progress"  # the key under which a report carries a Progress


class TrialWorker(tune.Trainable):
    """Runs the trial that its config describes, one epoch a step.

    A trial that was interrupted goes on after its last epoch; what that gave is reported again,
    as nobody may have heard it.
    """

    def setup(self, config: dict[str, Any]) -> None:
        job: Job = config["job"]
        torch.set_num_threads(job.threads)
        self.store = _store_here(job)
        self.cases = _cases_here(job)
        self.node, self.gpu_id = _place()
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        started = time.perf_counter()
        self.job: Job = new_config["job"]
        self.trial: Trial = new_config["trial"]
        device = find_device()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            _hold_to_share(new_config["gpus"], device)
        self.trainer = self._trainer(device)
        self.epochs: list[EpochResult] = []
        self.earlier_seconds = 0.0
        self.checkpoint = place(self.job.study) / "running" / f"{self.trial.trial_id}.pt"
        found = load_checkpoint(self.checkpoint)
        self.unheard = found is not None
        if found is not None:
            self.trainer.load_state_dict(found.trainer)
            self.epochs, self.earlier_seconds = found.epochs, found.seconds
        self.seconds = self.earlier_seconds + time.perf_counter() - started
        return True

    def step(self) -> dict[str, Any]:
        started = time.perf_counter()
        if not self.unheard:
            self.epochs.append(self.trainer.run_epoch())
        self.unheard = False
        made = self.trainer.best_validation
        predictions = [] if made is None else [made]
        if not self.trainer.done:
            seconds = self.seconds + time.perf_counter() - started
            state = Checkpoint(self.epochs, seconds, self.trainer.state_dict())
            save_checkpoint(self.checkpoint, state)
        elif self.trial.stage == "confirm" and made is not None:
            assert isinstance(self.trainer, Trainer)
            self.trainer.restore_best()
            # The one place that opens the test split, and only for a confirmed model.
            predictions.append(self.trainer.predict(self.store.split("test")))
            models = place(self.job.study) / "models" / str(self.trial.arm)
            save_model(self.trainer.model, models / f"seed-{self.trial.seed}")
        self.seconds += time.perf_counter() - started
        trained = sum(epoch.seconds for epoch in self.epochs)
        progress = Progress(
            epochs=self.epochs,
            done=self.trainer.done,
            best=self.trainer.best,
            predictions=predictions,
            seconds=self.seconds,
            earlier_seconds=self.earlier_seconds,
            images_per_second=len(self.epochs) * self.trainer.images_per_epoch / trained,
            device=_device_name(self.trainer.device),
            node=self.node,
            gpu_id=self.gpu_id,
            peak_memory_mb=_peak_memory_mb(self.trainer.device),
        )
        return {"done": progress.done, PROGRESS: progress}

    def _trainer(self, device: torch.device) -> Trainer | CrossValidator:
        of_model, of_training = split_params(self.trial.params)
        model = ModelConfig(
            variant=self.trial.arm.variant,
            backbone=self.trial.arm.backbone,
            pretrained=self.job.pretrained,
            image_size=self.job.image_size,
            **of_model,
        )
        settings = {"epochs": self.job.epochs, "batch_size": self.job.batch_size}
        training = TrainConfig(**{**settings, "seed": self.trial.seed, **of_training})
        confirms = self.trial.stage == "confirm"
        if self.cases.folds is not None and not confirms:
            images, folds = self.cases.pooled(self.store)
            return CrossValidator(model, training, images, folds, device)
        return Trainer(
            model,
            training,
            self.cases.train(self.store),
            self.store.split("validation"),
            device,
            keep_best_weights=confirms,
        )


def _store_here(job: Job) -> ImageStore:
    """The study's images on this node: the driver has compared those of its own."""
    if ray_node_id() == job.node_id:
        return ImageStore(Path(job.store))
    return open_here(job.data, job.fingerprint)


def ray_node_id() -> str | None:
    """Ray's name for this machine; None without Ray."""
    return ray.get_runtime_context().get_node_id() if ray.is_initialized() else None


def _cases_here(job: Job) -> Cases:
    """The study's choice of images, from its folder as this node sees it.

    Raises:
        InputError: this node does not see it.
    """
    study = place(job.study)
    try:
        return read_cases(study, read_spec(study))
    except InputError as error:
        raise InputError(f"node {platform.node()}: {error}; the study of a cluster lies in a "
                         "folder that all nodes share, or on s3://") from error  # fmt: skip


def _place() -> tuple[str, str | None]:
    """The machine of this worker, by its name in the cluster if it has one, and its GPU."""
    if not ray.is_initialized():
        return platform.node(), None
    context = ray.get_runtime_context()
    here = next(node for node in ray.nodes() if node["NodeID"] == context.get_node_id())
    named = here["NodeName"] != here["NodeManagerAddress"]
    gpus = context.get_accelerator_ids()["GPU"]
    return here["NodeName"] if named else platform.node(), ",".join(gpus) or None


def _hold_to_share(share: float, device: torch.device) -> None:
    """Let this process have no more of a GPU's memory than its trial's share of the GPU."""
    if share < 1:
        total = torch.cuda.get_device_properties(device).total_memory
        held = share - _CONTEXT_BYTES / total
        torch.cuda.set_per_process_memory_fraction(max(held, share / 2), device)


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} #{os.environ.get('CUDA_VISIBLE_DEVICES', 0)}"
    return "cpu"


def _peak_memory_mb(device: torch.device) -> float:
    """Of the trial on a GPU; of the worker process since its start on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
