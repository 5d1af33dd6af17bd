"""The loss, the optimizer and the learning rate's schedule of a configuration."""

import math

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from timm.optim import create_optimizer_v2
from torch import Tensor

from masll.config import TrainConfig
from masll.model import Output


def make_optimizer(model: torch.nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimizer of a configuration; weight decay spares biases and norms."""
    settings = {"momentum": 0.9} if config.optimizer == "sgd" else {}  # timm's is Nesterov's
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
