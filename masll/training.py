"""Training one network, epoch by epoch: it can stop after any epoch and go on exactly.

Every random draw of an epoch follows from (seed, epoch), so that what is left to remember
between epochs is the weights, the optimizer and the best epoch so far.
"""

import copy
import ctypes
import dataclasses
import functools
import math
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from timm.optim import create_optimizer_v2
from torch import Tensor

from masll.config import ModelConfig, TrainConfig
from masll.data import Split
from masll.errors import InputError
from masll.loading import Loader, batches
from masll.localization import box_area
from masll.metrics import binary_metrics
from masll.model import Masll, Output, build_model
from masll.variants import PARTS

_EVALUATION_BATCH = 50
_CHECKED_EVERY = 16  # steps; looking at the loss makes a GPU wait


@dataclass(frozen=True)
class EpochResult:
    """One row of STUDY/epochs, without the trial's name."""

    epoch: int  # from 1
    lr: float  # at the epoch's last step
    train_loss: float
    val_loss: float
    val_auc: float  # nan once training has diverged
    box_area: float | None  # mean share of the validation images inside the box; None without SLL
    box_fallback_rate: float | None
    # Mean and standard deviation of the gate mu^ over the validation images and a branch's
    # channels; None without WFI or without that branch.
    gate_global_mean: float | None
    gate_global_sd: float | None
    gate_local_mean: float | None
    gate_local_sd: float | None
    seconds: float


@dataclass(frozen=True)
class Predictions:
    """What a network says of the images of a split."""

    split: str
    ids: tuple[str, ...]
    labels: npt.NDArray[np.int64]  # (N,)
    scores: npt.NDArray[np.float64]  # (N,) probability of melanoma
    boxes: npt.NDArray[np.float64] | None  # (N, 4) x0, y0, x1, y1 as shares of the image

    def metrics(self) -> dict[str, float]:
        """See `masll.metrics.binary_metrics`."""
        return binary_metrics(self.labels, self.scores)

    def state_dict(self) -> dict[str, Tensor | None]:
        """What the split itself does not say."""
        boxes = None if self.boxes is None else torch.from_numpy(self.boxes)
        return {"scores": torch.from_numpy(self.scores), "boxes": boxes}

    @classmethod
    def of_state(cls, split: Split, state: dict[str, Any]) -> "Predictions":
        """Predictions on a split from their `state_dict`."""
        boxes = None if state["boxes"] is None else state["boxes"].numpy()
        return cls(split.name, split.ids, split.labels, state["scores"].numpy(), boxes)


class _Evaluation(NamedTuple):
    predictions: Predictions
    loss: float  # mean cross-entropy
    fallback_rate: float | None  # share of fallback boxes; None without SLL
    gate: dict[str, float | None]  # the gate_* fields of an EpochResult


class Trainer:
    """Trains one network on one device; call `run_epoch` until `done`.

    Attributes:
        epoch: epochs done so far.
        diverged: whether a loss or score was not finite, which ends the training.
        best: the result of the epoch with the highest validation AUC, the earliest of equals.
        best_validation: that epoch's predictions on the validation split.
        last_validation: the last epoch's predictions on the validation split; not kept in a state.
        best_weights: that epoch's weights, on the CPU; None if `keep_best_weights` is off.
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
    ) -> None:
        if device.type == "cpu":
            keep_freed_memory()
        torch.manual_seed(train_config.seed)
        self.config = train_config
        self.train, self.validation = train, validation
        self.device = device
        self.keep_best_weights = keep_best_weights
        self.model: Masll = (
            build_model(model_config).to(device).to(memory_format=torch.channels_last)
        )
        self.model.source_size, self.model.fit = train.images.shape[-1], train.fit
        self.loader = Loader(self.model.mean, self.model.std, device)
        self.optimizer = make_optimizer(self.model, train_config)
        self._run = torch.compile(self.model) if train_config.compile else self.model
        weights = balanced_weights(train.labels).to(device) if train_config.class_weights else None
        self._loss = functools.partial(
            classification_loss,
            class_weights=weights,
            label_smoothing=train_config.label_smoothing,
        )
        self.steps_per_epoch = len([*batches(np.arange(len(train)), train_config.batch_size)])
        self.epoch = 0
        self.diverged = False
        self.best: EpochResult | None = None
        self.best_validation: Predictions | None = None
        self.last_validation: Predictions | None = None
        self.best_weights: dict[str, Tensor] | None = None

    @property
    def done(self) -> bool:
        """Whether all epochs are over, or going on is pointless as the loss is not finite."""
        return self.epoch >= self.config.epochs or self.diverged

    @property
    def images_per_epoch(self) -> int:
        """Training images."""
        return len(self.train)

    def run_epoch(self) -> EpochResult:
        """Train for one epoch, evaluate on the validation split, remember the best."""
        started = time.perf_counter()
        train_loss, lr = self._train_one_epoch()
        self.epoch += 1
        seen = self._evaluate(self.validation)
        self.last_validation = predictions = seen.predictions
        self.diverged = not math.isfinite(train_loss) or bool(np.isnan(predictions.scores).any())
        result = EpochResult(
            epoch=self.epoch,
            lr=lr,
            train_loss=train_loss,
            val_loss=seen.loss,
            val_auc=math.nan if self.diverged else predictions.metrics()["auc"],
            box_area=mean_box_area(predictions.boxes),
            box_fallback_rate=seen.fallback_rate,
            **seen.gate,
            seconds=time.perf_counter() - started,
        )
        if not self.diverged and (self.best is None or result.val_auc > self.best.val_auc):
            self.best, self.best_validation = result, predictions
            if self.keep_best_weights:
                self.best_weights = _copy_to_cpu(self.model)
        return result

    def predict(self, split: Split) -> Predictions:
        """The present network's predictions, in the order of the split."""
        return self._evaluate(split).predictions

    def restore_best(self) -> None:
        """Go back to the weights of the best epoch."""
        if self.best_weights is not None:
            self.model.load_state_dict(self.best_weights)

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs to go on as if training had never stopped.

        Tensors and plain values only: `torch.load(..., weights_only=True)` reads it.
        """
        made = self.best_validation
        return {
            "epoch": self.epoch,
            "diverged": self.diverged,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": None if self.best is None else dataclasses.asdict(self.best),
            "best_validation": None if made is None else made.state_dict(),
            "best_weights": self.best_weights,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict` of a trainer of the same configuration and images."""
        state = copy.deepcopy(state)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.diverged = state["epoch"], state["diverged"]
        self.best_weights = state["best_weights"]
        self.best, self.best_validation = None, None
        if state["best"] is not None:
            self.best = EpochResult(**state["best"])
            self.best_validation = Predictions.of_state(self.validation, state["best_validation"])

    def _train_one_epoch(self) -> tuple[float, float]:
        """Mean loss over the images, and the learning rate of the last step."""
        self.model.train()
        # Dropout and the like draw from the global generator, everything else from `draws`.
        torch.manual_seed(_mixed(self.config.seed, self.epoch))
        draws = torch.Generator().manual_seed(_mixed(self.config.seed, self.epoch))
        total = torch.zeros((), device=self.device)
        lr = self.config.lr
        dealt = self.loader.training_batches(self.train, self.config.batch_size, draws)
        for step, (images, labels) in enumerate(dealt):
            lr = self.config.lr * schedule_factor(
                self.config, self.epoch * self.steps_per_epoch + step, self.steps_per_epoch
            )
            for group in self.optimizer.param_groups:
                group["lr"] = lr
            with self._autocast():
                loss = self._loss(self._run(images), labels)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            total += loss.detach() * len(labels)  # stays on the device: no wait inside the step
            if step % _CHECKED_EVERY == 0 and not bool(total.isfinite()):
                break  # diverged: the rest of the epoch would be wasted
        return float(total) / len(self.train), lr

    @torch.inference_mode()
    def _evaluate(self, split: Split) -> _Evaluation:
        self.model.eval()
        logits, boxes, fallbacks, gates = [], [], [], []
        for chosen in batches(np.arange(len(split)), _EVALUATION_BATCH):
            with self._autocast():
                out = self._run(self.loader.images(split, chosen))
            logits.append(out.logits.float())
            if out.gate is not None:
                gates.append(out.gate.float())
            if out.boxes is not None and out.fallback is not None:
                boxes.append(out.boxes)
                fallbacks.append(out.fallback)
        all_logits = torch.cat(logits).cpu()  # (N, 2)
        loss = F.cross_entropy(all_logits, torch.from_numpy(split.labels))
        scores = all_logits.double().softmax(dim=1)[:, 1].numpy()
        side = split.images.shape[-1]
        shares = torch.cat(boxes).cpu().double().numpy() / side if boxes else None
        fallback_rate = float(torch.cat(fallbacks).float().mean()) if fallbacks else None
        predictions = Predictions(split.name, split.ids, split.labels, scores, shares)
        gate = self._gate_figures(torch.cat(gates) if gates else None)
        return _Evaluation(predictions, float(loss), fallback_rate, gate)

    def _gate_figures(self, gate: Tensor | None) -> dict[str, float | None]:
        """Mean and spread of the gate by branch, from mu^ of (N, C)."""
        parts = PARTS[self.model.config.variant]
        branches: list[Tensor | None] = [None, None]
        if gate is not None and parts.fuses_global and parts.localizes:
            branches = list(gate.chunk(2, dim=1))  # concat(g, l) of eq. 3
        elif gate is not None:
            branches[0 if parts.fuses_global else 1] = gate
        return {
            f"gate_{name}_{figure}": None if of_branch is None else float(value(of_branch))
            for name, of_branch in zip(("global", "local"), branches, strict=True)
            for figure, value in (("mean", torch.mean), ("sd", torch.std))
        }

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, self.device.type == "cuda")


def make_optimizer(model: torch.nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimizer of a configuration; weight decay spares biases and norms."""
    settings = {"momentum": 0.9} if config.optimizer == "sgd" else {}
    return create_optimizer_v2(
        model,
        opt=config.optimizer,
        lr=config.lr,
        weight_decay=config.weight_decay,
        fused=True,  # one pass over the weights: a third of the time, on the CPU too
        **settings,
    )


def classification_loss(
    out: Output, labels: Tensor, class_weights: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """Cross-entropy, plus that of the localizer's own classifier where there is one.

    Args:
        labels: (B,) int64.
        class_weights: (2,) or None for equal ones.
        label_smoothing: share of the target spread over both classes, 0 to 1.
    """
    loss = torch.zeros((), device=labels.device)
    for logits in (out.logits, out.auxiliary_logits):
        if logits is not None:
            loss = loss + F.cross_entropy(
                logits.float(), labels, class_weights, label_smoothing=label_smoothing
            )
    return loss


def balanced_weights(labels: npt.NDArray[np.int64]) -> Tensor:
    """Weights that make both classes count alike: (N,) of 0 and 1 -> (2,), mean 1."""
    counts = np.bincount(labels, minlength=2)
    return torch.tensor(len(labels) / (2 * counts), dtype=torch.float32)


def schedule_factor(config: TrainConfig, step: int, steps_per_epoch: int) -> float:
    """Learning rate at a step (from 0) over the highest one: linear warm-up, then the schedule."""
    total = config.epochs * steps_per_epoch
    warmup = round(config.warmup * total)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if config.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


def mean_box_area(boxes: npt.NDArray[np.float64] | None) -> float | None:
    """Mean share of the image inside the box, from boxes as shares: (N, 4) -> a number."""
    return None if boxes is None else float(box_area(torch.from_numpy(boxes), 1).mean())


def find_device(name: str = "auto") -> torch.device:
    """`auto` is the first GPU, or the CPU where there is none.

    Raises:
        InputError: PyTorch has no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError) as error:
        raise InputError(f"no device '{name}' here; use auto or cpu") from error
    return device


def keep_freed_memory() -> None:
    """Let the C library keep what a training step frees for the next one, for the whole process.

    By default glibc hands large tensors back to the system and asks for them again, page by page:
    a quarter of a step's time on the CPU. Elsewhere than on glibc this does nothing.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return
    for parameter, value in (
        (-4, 0),  # M_MMAP_MAX: no mappings of their own for large blocks
        (-1, 2**31 - 1),  # M_TRIM_THRESHOLD: do not shrink the heap
        (-2, 64 * 2**20),  # M_TOP_PAD: grow it in large steps
    ):
        libc.mallopt(parameter, value)


def _mixed(seed: int, epoch: int) -> int:
    """A seed for an epoch, unlike that of any other epoch and seed in practice."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 1)


def _copy_to_cpu(model: Masll) -> dict[str, Tensor]:
    return {key: w.detach().to("cpu", copy=True) for key, w in model.state_dict().items()}
