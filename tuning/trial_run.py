"""One trial in one process, epoch by epoch: what it trains, what it reports, what it leaves behind.

Knows nothing of Ray: `trainable` runs it in Ray's workers, `in_process` where a debugger is.
"""

import contextlib
import dataclasses
import os
import time

import torch

from masll.common.machine import peak_memory
from masll.cross_validation import CrossValidator
from masll.data.store import ImageStore
from masll.devices import find_gpu
from masll.evaluation import model_cost
from masll.model import save_model
from masll.results import EpochResult, ModelCost, Predictions
from masll.thresholds import save_validation
from masll.training import Trainer, TrainingRun
from tuning.checkpoints import Checkpoint, CheckpointWriter, load_checkpoint
from tuning.images import StudyImages
from tuning.job import Job
from tuning.study.trial import Stage, Trial
from tuning.trial_report import Node, Pace, TrialReport, write_place

_PACE_EVERY = 10.0  # seconds between two words on how far an epoch is
_CONTEXT_BYTES = 500 * 2**20  # of a GPU's memory, that CUDA takes for a process beside tensors


class TrialRun:
    """Trains one trial, an epoch a step.

    A trial that was interrupted goes on after its last checkpoint; what that epoch gave is reported
    again, as nobody may have received it.

    Args:
        gpu_share: the share of a GPU that the trial has; 0 on a CPU.
    """

    def __init__(
        self,
        job: Job,
        trial: Trial,
        store: ImageStore,
        images: StudyImages,
        node: Node,
        gpu_share: float,
    ) -> None:
        started = time.perf_counter()
        self.job, self.trial, self.node = job, trial, node
        self.store, self.images = store, images
        # First: the driver asks for it if this ends the process.
        write_place(job.folder, trial.trial_id, node)
        # Ray does not hide GPUs from workers without one: no share means the CPU.
        device = find_gpu() if gpu_share else torch.device("cpu")
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            _hold_to_share(gpu_share, device)
        self.training = self._training_run(device)
        self.epochs: list[EpochResult] = []
        self.earlier_seconds = 0.0
        self.checkpoints = CheckpointWriter(job.folder, trial.trial_id)
        saved = load_checkpoint(job.folder, trial.trial_id)
        self._cost: ModelCost | None = None
        self._unreported = saved is not None
        if saved is not None:
            self.training.load_state_dict(saved.trainer)
            self.epochs, self.earlier_seconds = saved.epochs, saved.seconds
        self.seconds = self.earlier_seconds + time.perf_counter() - started

    def step(self) -> TrialReport:
        """Train an epoch; after the last one of a confirm trial open the test set."""
        started = self._epoch_began = self._pace_left = time.perf_counter()
        if not self._unreported:
            self.epochs.append(self.training.run_epoch(self._leave_pace))
        self._unreported = False
        best = self.training.best_validation
        predictions = [] if best is None else [best]
        if not self.training.done:
            seconds = self.seconds + time.perf_counter() - started
            self.checkpoints.offer(
                lambda: Checkpoint(self.epochs, seconds, self.training.state_dict())
            )
        elif self.trial.stage == Stage.CONFIRM and best is not None:
            predictions.append(self._open_test_set())
        if self.training.done:
            self.checkpoints.close()
        self.seconds += time.perf_counter() - started
        trained = sum(epoch.seconds for epoch in self.epochs)
        return TrialReport(
            epochs=self.epochs,
            done=self.training.done,
            best=self.training.best,
            diverged=self.training.diverged,
            predictions=predictions,
            seconds=self.seconds,
            earlier_seconds=self.earlier_seconds,
            images_per_second=len(self.epochs) * self.training.images_per_epoch / trained,
            device=_device_name(self.training.device),
            node=self.node,
            peak_memory_mb=_peak_memory_mb(self.training.device),
            cost=self._cost,
        )

    def _leave_pace(self, share: float) -> None:
        """Say how far a long epoch is; a short one says nothing."""
        now = time.perf_counter()
        if now >= self._pace_left + _PACE_EVERY:
            self._pace_left = now
            pace = Pace(share, now - self._epoch_began, self.training.epoch + 1)
            with contextlib.suppress(OSError):  # no reason to end a trial
                write_place(self.job.folder, self.trial.trial_id, self.node, pace)

    def close(self) -> None:
        """Leave nothing behind that is still being written."""
        self.checkpoints.close()

    def _open_test_set(self) -> Predictions:
        """The one place that opens the test split, for a confirmed model, which it keeps."""
        assert isinstance(self.training, Trainer)
        self.training.restore_best()
        test = self.store.split("test")
        started = time.perf_counter()
        predictions = self.training.predict(test)
        milliseconds = 1000 * (time.perf_counter() - started) / len(test)
        self._cost = model_cost(self.training.model, milliseconds)
        predictions = dataclasses.replace(
            predictions,
            frozen=self.training.predict_frozen(test),
            elsewhere=self.training.predict_elsewhere(test),
        )
        trial = self.trial
        folder = self.job.folder.model(trial.arm, trial.seed, trial.confirmation)
        save_model(self.training.model, folder)
        if self.training.best_validation is not None:
            save_validation(self.training.best_validation, folder)
        return predictions

    def _training_run(self, device: torch.device) -> TrainingRun:
        model, training = self.job.recipe.configs(
            self.trial.arm, self.trial.params, self.trial.seed
        )
        confirms = self.trial.stage == Stage.CONFIRM
        if self.images.cross_validated and not confirms:
            images, folds = self.images.pooled(self.store)
            return CrossValidator(model, training, images, folds, device)
        train, validation = self.images.train_and_validation(self.store)
        return Trainer(model, training, train, validation, device, keep_best_weights=confirms)


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
    return peak_memory() / 2**20
