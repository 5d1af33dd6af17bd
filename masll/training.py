"""Training one network, epoch by epoch: it can stop after any epoch and go on exactly.

Every random draw of an epoch follows from (seed, epoch), so that what is left to remember
between epochs is the weights, the optimizer and the best epoch so far.
"""

import copy
import dataclasses
import functools
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from timm.utils import ModelEmaV3
from torch import Tensor

from masll.config import ModelConfig, TrainConfig
from masll.data.split import Split, check_masked
from masll.devices import lay_out
from masll.evaluation import (
    Evaluation,
    autocast,
    evaluate,
    frozen_gate_scores,
    mean_box_area,
    scores_elsewhere,
)
from masll.loading import Batch, Loader, batches
from masll.model import Masll, Output, build_model
from masll.optimization import (
    balanced_weights,
    classification_loss,
    make_optimizer,
    schedule_factor,
)
from masll.results import EpochResult, Predictions
from masll.stepping import CudaGraphs, PlainStep, RecordedStep, Step
from masll.variants import describe

_CHECKED_EVERY = 16  # steps; looking at the loss makes a GPU wait


OnStep = Callable[[float], None]


def ignore(share: float) -> None:
    """Nobody wants to know how far an epoch is."""


class TrainingRun(Protocol):
    """Training that advances epoch by epoch: of one network, or of one for each fold.

    Attributes:
        epoch: epochs done so far.
        diverged: whether a loss or score was not finite, which ends the training.
        best_epoch: the epoch with the highest validation AUC.
    """

    config: TrainConfig
    device: torch.device
    epoch: int
    diverged: bool
    best_epoch: "BestEpoch"

    @property
    def done(self) -> bool:
        """Whether all epochs are over, or going on is pointless as a loss is not finite."""
        return self.epoch >= self.config.epochs or self.diverged

    @property
    def best(self) -> EpochResult | None:
        """The result of the best epoch; None while there is none."""
        return self.best_epoch.result

    @property
    def best_validation(self) -> Predictions | None:
        """Its predictions on the validation images."""
        return self.best_epoch.validation

    @property
    def images_per_epoch(self) -> int:
        """Training images, of all networks together."""

    def run_epoch(self, on_step: OnStep = ignore) -> EpochResult:
        """Train for one epoch, evaluate on the validation images, remember the best.

        Args:
            on_step: called after each training step with the share of them that is done, 0 to 1.
        """

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs to go on as if training had never stopped.

        Tensors and plain values only: `torch.load(..., weights_only=True)` reads it.
        """

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict` of a run of the same configuration and images."""


@dataclass
class BestEpoch:
    """The epoch with the highest validation AUC so far, the earliest of equals."""

    result: EpochResult | None = None
    validation: Predictions | None = None  # its predictions on the validation images

    def beaten_by(self, result: EpochResult) -> bool:
        """Whether a result is better; one whose AUC is undefined never is."""
        return result.val_auc > (-math.inf if self.result is None else self.result.val_auc)

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors, see `TrainingRun.state_dict`."""
        return {
            "best": None if self.result is None else dataclasses.asdict(self.result),
            "best_validation": None if self.validation is None else _as_state(self.validation),
        }

    @classmethod
    def of_state(cls, state: dict[str, Any], validation: Split) -> "BestEpoch":
        """From a `state_dict`."""
        if state["best"] is None:
            return cls()
        predictions = _of_state(validation, state["best_validation"])
        return cls(EpochResult(**state["best"]), predictions)


class Trainer(TrainingRun):
    """Trains one network on one device; call `run_epoch` until `done`.

    Attributes:
        epoch: epochs done so far.
        diverged: whether a loss or score was not finite, which ends the training.
        best_epoch: the one with the highest validation AUC.
        last_validation: the last epoch's predictions on the validation split; not kept in a state.
        best_weights: that epoch's weights, on the CPU; None if `keep_best_weights` is off.

    Args:
        record_steps: on a GPU, run each step as one CUDA graph (see `masll.stepping`); a network
            that torch.compile compiles is left alone.
    """

    def __init__(
        self,
        model_config: ModelConfig,
        train_config: TrainConfig,
        train: Split,
        validation: Split,
        device: torch.device,
        *,
        keep_best_weights: bool = True,
        record_steps: bool = True,
    ) -> None:
        torch.manual_seed(train_config.seed)
        self.config = train_config
        self.train, self.validation = train, validation
        self.device = device
        self.keep_best_weights = keep_best_weights
        self.model: Masll = lay_out(build_model(model_config), device)
        self.model.inputs = dataclasses.replace(
            self.model.inputs, source_size=train.images.shape[-1], fit=train.fit
        )
        if model_config.box == "mask":
            check_masked(train)
            check_masked(validation)
        self.loader = Loader(self.model.inputs, device, model_config.box, keep=True)
        self.optimizer = make_optimizer(self.model, train_config)
        # Its decay begins low, so that it soon forgets the weights that nothing was learned in.
        self._average: ModelEmaV3 | None = None
        if train_config.weight_average:
            decay = train_config.weight_average
            self._average = ModelEmaV3(self.model, decay, use_warmup=True, warmup_power=3 / 4)
        self._run = torch.compile(self.model) if train_config.compile else self.model
        weights = balanced_weights(train.labels).to(device) if train_config.class_weights else None
        # Not a method: a trainer that its own step refers to would outlive its trial.
        loss = functools.partial(
            _batch_loss, self._run, self.loader, weights, train_config.label_smoothing
        )
        plain = PlainStep(loss, self.optimizer)
        recorded = record_steps and device.type == "cuda" and not train_config.compile
        self._step: Step = RecordedStep(plain, device, CudaGraphs(device)) if recorded else plain
        self.steps_per_epoch = len([*batches(np.arange(len(train)), train_config.batch_size)])
        self.epoch = 0
        self.diverged = False
        self.best_epoch = BestEpoch()
        self.last_validation: Predictions | None = None
        self.best_weights: dict[str, Tensor] | None = None

    @property
    def images_per_epoch(self) -> int:
        """Training images."""
        return len(self.train)

    def run_epoch(self, on_step: OnStep = ignore) -> EpochResult:
        """See `TrainingRun.run_epoch`."""
        started = time.perf_counter()
        train_loss, lr = self._train_one_epoch(on_step)
        self.epoch += 1
        evaluation = self._evaluate(self.validation)
        self.last_validation = predictions = evaluation.predictions
        self.diverged = not math.isfinite(train_loss) or bool(np.isnan(predictions.scores).any())
        result = EpochResult(
            epoch=self.epoch,
            lr=lr,
            train_loss=train_loss,
            val_loss=evaluation.loss,
            val_auc=math.nan if self.diverged else predictions.metrics()["auc"],
            box_area=mean_box_area(predictions.boxes),
            box_fallback_rate=evaluation.fallback_rate,
            **evaluation.gate,
            seconds=time.perf_counter() - started,
        )
        if not self.diverged and self.best_epoch.beaten_by(result):
            self.best_epoch = BestEpoch(result, predictions)
            if self.keep_best_weights:
                self.best_weights = _copy_to_cpu(self._judged)
        return result

    def predict(self, split: Split) -> Predictions:
        """The present network's predictions, in the order of the split."""
        return self._evaluate(split).predictions

    def predict_frozen(self, split: Split) -> npt.NDArray[np.float64] | None:
        """Likewise with the gate frozen at its means over validation images: (N,) scores."""
        return frozen_gate_scores(self._judged.eval(), self.loader, self.validation, split)

    def predict_elsewhere(self, split: Split) -> Mapping[str, npt.NDArray[np.float64]]:
        """Likewise with the local branch's box from elsewhere: see `scores_elsewhere`."""
        return scores_elsewhere(self._judged.eval(), self.loader, split)

    def restore_best(self) -> None:
        """Go back to the weights of the best epoch, for evaluation."""
        if self.best_weights is not None:
            self.model.load_state_dict(self.best_weights)
            self._judged.load_state_dict(self.best_weights)
        # Where an average is judged, nothing else ends the training of the network itself: whoever
        # ran it once more would change the statistics of its batch norm.
        self.model.eval()

    def state_dict(self) -> dict[str, Any]:
        """See `TrainingRun.state_dict`."""
        return {
            "epoch": self.epoch,
            "diverged": self.diverged,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self._average is None else self._average.module.state_dict(),
            "best_weights": self.best_weights,
            **self.best_epoch.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `TrainingRun.load_state_dict`."""
        state = copy.deepcopy(state)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self._average is not None:
            self._average.module.load_state_dict(state["average"])
        self.epoch, self.diverged = state["epoch"], state["diverged"]
        self.best_weights = state["best_weights"]
        self.best_epoch = BestEpoch.of_state(state, self.validation)

    def _train_one_epoch(self, on_step: OnStep) -> tuple[float, float]:
        """Mean loss over the images, and the learning rate of the last step."""
        self.model.train()
        # Dropout and the like draw from the global generator, everything else from `draws`.
        torch.manual_seed(_mixed(self.config.seed, self.epoch))
        draws = torch.Generator().manual_seed(_mixed(self.config.seed, self.epoch))
        total = torch.zeros((), device=self.device)
        lr = self.config.lr
        loaded = self.loader.training_batches(self.train, self.config.batch_size, draws)
        for step, batch in enumerate(loaded):
            steps = self.epoch * self.steps_per_epoch + step
            lr = self.config.lr * schedule_factor(self.config, steps, self.steps_per_epoch)
            loss = self._step(batch, lr)
            if self._average is not None:
                self._average.update(self.model, steps + 1)
            total += loss * len(batch.labels)  # stays on the device: no wait inside the step
            on_step((step + 1) / self.steps_per_epoch)
            if step % _CHECKED_EVERY == 0 and not bool(total.isfinite()):
                break  # diverged: the rest of the epoch would be wasted
        return float(total) / len(self.train), lr

    @property
    def _judged(self) -> Masll:
        """The network that is evaluated and kept: the present one, or the average of its steps."""
        return self.model if self._average is None else cast(Masll, self._average.module)

    def _evaluate(self, split: Split) -> Evaluation:
        self._judged.eval()
        variant = describe(self.model.config.variant)
        network = self._run if self._average is None else self._judged
        return evaluate(network, variant, self.loader, split)


def _batch_loss(
    network: Callable[[Tensor, Tensor | None], Output],
    loader: Loader,
    class_weights: Tensor | None,
    label_smoothing: float,
    batch: Batch,
) -> Tensor:
    images = loader.augmented(batch)
    with autocast(loader.device):
        out = network(images, batch.lesions)
        return classification_loss(out, batch.labels, class_weights, label_smoothing)


def _mixed(seed: int, epoch: int) -> int:
    """A seed for an epoch, unlike that of any other epoch and seed in practice."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 1)


def _copy_to_cpu(model: Masll) -> dict[str, Tensor]:
    return {key: w.detach().to("cpu", copy=True) for key, w in model.state_dict().items()}


def _as_state(predictions: Predictions) -> dict[str, Tensor | None]:
    """What the split itself does not say."""
    boxes = None if predictions.boxes is None else torch.from_numpy(predictions.boxes)
    return {"scores": torch.from_numpy(predictions.scores), "boxes": boxes}


def _of_state(split: Split, state: dict[str, Any]) -> Predictions:
    boxes = None if state["boxes"] is None else state["boxes"].numpy()
    return Predictions(split.name, split.ids, split.labels, state["scores"].numpy(), boxes)
