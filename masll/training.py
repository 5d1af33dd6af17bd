"""Training one network, epoch by epoch: it can stop after any epoch and go on exactly.

Every random draw of an epoch follows from (seed, epoch), so that what is left to remember
between epochs is the weights, the optimizer and the best epoch so far.
"""

import copy
import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from timm.optim import create_optimizer_v2
from torch import Tensor

from masll.augment import rotate_and_flip
from masll.config import ModelConfig, TrainConfig
from masll.data import Split
from masll.localization import box_area
from masll.metrics import binary_metrics
from masll.model import Masll, Output, build_model

_EVALUATION_BATCH = 50


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


class Trainer:
    """Trains one network on one device; call `run_epoch` until `done`.

    Attributes:
        epoch: epochs done so far.
        best: the result of the epoch with the highest validation AUC, the earliest of equals.
        best_validation: that epoch's predictions on the validation split.
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
        torch.manual_seed(train_config.seed)
        self.config = train_config
        self.train, self.validation = train, validation
        self.device = device
        self.keep_best_weights = keep_best_weights
        self.model: Masll = (
            build_model(model_config).to(device).to(memory_format=torch.channels_last)
        )
        settings = {"momentum": 0.9} if train_config.optimizer == "sgd" else {}
        self.optimizer = create_optimizer_v2(
            self.model,
            opt=train_config.optimizer,
            lr=train_config.lr,
            weight_decay=train_config.weight_decay,
            **settings,
        )
        self.steps_per_epoch = math.ceil(len(train) / train_config.batch_size)
        self.epoch = 0
        self.best: EpochResult | None = None
        self.best_validation: Predictions | None = None
        self.best_weights: dict[str, Tensor] | None = None

    @property
    def done(self) -> bool:
        """Whether all epochs are over, or going on is pointless as the loss is not finite."""
        return self.epoch >= self.config.epochs or self.diverged

    diverged = False

    def run_epoch(self) -> EpochResult:
        """Train for one epoch, evaluate on the validation split, remember the best."""
        started = time.perf_counter()
        train_loss, lr = self._train_one_epoch()
        self.epoch += 1
        predictions, val_loss, fallback_rate = self._evaluate(self.validation)
        self.diverged = not math.isfinite(train_loss) or bool(np.isnan(predictions.scores).any())
        result = EpochResult(
            epoch=self.epoch,
            lr=lr,
            train_loss=train_loss,
            val_loss=val_loss,
            val_auc=math.nan if self.diverged else predictions.metrics()["auc"],
            box_area=mean_box_area(predictions.boxes),
            box_fallback_rate=fallback_rate,
            seconds=time.perf_counter() - started,
        )
        if not self.diverged and (self.best is None or result.val_auc > self.best.val_auc):
            self.best, self.best_validation = result, predictions
            if self.keep_best_weights:
                self.best_weights = _copy_to_cpu(self.model)
        return result

    def predict(self, split: Split) -> Predictions:
        """The present network's predictions, in the order of the split."""
        return self._evaluate(split)[0]

    def restore_best(self) -> None:
        """Go back to the weights of the best epoch."""
        if self.best_weights is not None:
            self.model.load_state_dict(self.best_weights)

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs to go on as if training had never stopped."""
        return {
            "epoch": self.epoch,
            "diverged": self.diverged,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "best_validation": self.best_validation,
            "best_weights": self.best_weights,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict` of a trainer of the same configuration and images."""
        state = copy.deepcopy(state)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name in ("epoch", "diverged", "best", "best_validation", "best_weights"):
            setattr(self, name, state[name])

    def _train_one_epoch(self) -> tuple[float, float]:
        """Mean loss over the images, and the learning rate of the last step."""
        self.model.train()
        # Dropout and the like draw from the global generator, everything else from `draws`.
        torch.manual_seed(_mixed(self.config.seed, self.epoch))
        draws = torch.Generator().manual_seed(_mixed(self.config.seed, self.epoch))
        order = torch.randperm(len(self.train), generator=draws).numpy()
        total = torch.zeros((), device=self.device)
        lr = self.config.lr
        for step, chosen in enumerate(_batches(order, self.config.batch_size)):
            lr = self.config.lr * schedule_factor(
                self.config, self.epoch * self.steps_per_epoch + step, self.steps_per_epoch
            )
            for group in self.optimizer.param_groups:
                group["lr"] = lr
            images = rotate_and_flip(self._load(self.train, chosen), draws)
            labels = torch.from_numpy(self.train.labels[chosen]).to(self.device)
            with self._autocast():
                loss = classification_loss(self.model(images), labels)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            total += loss.detach() * len(chosen)  # stays on the device: no wait inside the step
        return float(total) / len(order), lr

    @torch.inference_mode()
    def _evaluate(self, split: Split) -> tuple[Predictions, float, float | None]:
        """Predictions, mean cross-entropy, and the share of fallback boxes (None without SLL)."""
        self.model.eval()
        logits, boxes, fallbacks = [], [], []
        for chosen in _batches(np.arange(len(split)), _EVALUATION_BATCH):
            with self._autocast():
                out = self.model(self._load(split, chosen))
            logits.append(out.logits.float())
            if out.boxes is not None and out.fallback is not None:
                boxes.append(out.boxes)
                fallbacks.append(out.fallback)
        all_logits = torch.cat(logits).cpu()  # (N, 2)
        loss = F.cross_entropy(all_logits, torch.from_numpy(split.labels))
        scores = all_logits.double().softmax(dim=1)[:, 1].numpy()
        side = split.images.shape[1]
        shares = torch.cat(boxes).cpu().double().numpy() / side if boxes else None
        fallback_rate = float(torch.cat(fallbacks).float().mean()) if fallbacks else None
        predictions = Predictions(split.name, split.ids, split.labels, scores, shares)
        return predictions, float(loss), fallback_rate

    def _load(self, split: Split, chosen: npt.NDArray[np.int64]) -> Tensor:
        """Images of a split, normalised, on the device: (B, 3, S, S) float32."""
        images = torch.from_numpy(split.images[chosen])  # (B, S, S, 3) uint8
        images = images.to(self.device).permute(0, 3, 1, 2).float()  # (B, 3, S, S)
        mean = torch.tensor(self.model.mean, device=self.device).view(3, 1, 1) * 255
        std = torch.tensor(self.model.std, device=self.device).view(3, 1, 1) * 255
        return ((images - mean) / std).contiguous()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, self.device.type == "cuda")


def classification_loss(out: Output, labels: Tensor) -> Tensor:
    """Cross-entropy, plus that of the localizer's own classifier where there is one."""
    loss = F.cross_entropy(out.logits.float(), labels)
    if out.auxiliary_logits is not None:
        loss = loss + F.cross_entropy(out.auxiliary_logits.float(), labels)
    return loss


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
    """`auto` is the first GPU, or the CPU where there is none."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def _batches(order: npt.NDArray[np.int64], size: int) -> Iterator[npt.NDArray[np.int64]]:
    """Slices of `order`; a last batch of one joins the one before, as batch norm needs two."""
    starts = list(range(0, len(order), size))
    if len(starts) > 1 and len(order) - starts[-1] == 1:
        starts.pop()
    for start, end in itertools.pairwise([*starts, len(order)]):
        yield order[start:end]


def _mixed(seed: int, epoch: int) -> int:
    """A seed for an epoch, unlike that of any other epoch and seed in practice."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 1)


def _copy_to_cpu(model: Masll) -> dict[str, Tensor]:
    return {key: w.detach().to("cpu", copy=True) for key, w in model.state_dict().items()}
