"""Cross-validation as one training: a network for each fold, advanced together epoch by epoch.

After each epoch the mean over folds is known, so that a trial can be stopped early by it, and the
epoch with the highest mean is chosen.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from masll.config import ModelConfig, TrainConfig
from masll.data.split import Split
from masll.results import EpochResult, Predictions
from masll.training import BestEpoch, OnStep, Trainer, TrainingRun, ignore


class CrossValidator(TrainingRun):
    """Trains a network for each fold on the images of the others; used like a `Trainer`.

    Attributes:
        epoch: epochs done so far.
        diverged: whether a fold's loss or score was not finite, which ends the training.
        best_epoch: means over folds in the epoch with the highest mean AUC; each image is predicted
            by the network of its fold.
    """

    def __init__(
        self,
        model_config: ModelConfig,
        train_config: TrainConfig,
        images: Split,
        folds: npt.NDArray[np.int64],
        device: torch.device,
    ) -> None:
        """`folds` says which fold each image belongs to: (N,), 0 to the number of folds - 1."""
        self.config = train_config
        self.device = device
        self.epoch = 0
        self.diverged = False
        self.best_epoch = BestEpoch()
        self._images = images
        self._rows = [np.flatnonzero(folds == fold) for fold in range(int(folds.max()) + 1)]
        self._trainers = [
            Trainer(
                model_config,
                train_config,
                images.select(np.flatnonzero(folds != fold)),
                images.select(rows),
                device,
                keep_best_weights=False,
            )
            for fold, rows in enumerate(self._rows)
        ]

    @property
    def images_per_epoch(self) -> int:
        """Training images of all folds together."""
        return sum(trainer.images_per_epoch for trainer in self._trainers)

    def run_epoch(self, on_step: OnStep = ignore) -> EpochResult:
        """Train every fold for one epoch; means over folds, and seconds of all together."""
        results = []
        for fold, trainer in enumerate(self._trainers):
            results.append(trainer.run_epoch(functools.partial(self._tell, on_step, fold)))
        self.epoch += 1
        self.diverged = any(trainer.diverged for trainer in self._trainers)
        result = mean_result(results)
        if not self.diverged and self.best_epoch.beaten_by(result):
            self.best_epoch = BestEpoch(result, self._out_of_fold())
        return result

    def _tell(self, on_step: OnStep, fold: int, share: float) -> None:
        on_step((fold + share) / len(self._trainers))

    def state_dict(self) -> dict[str, Any]:
        """See `TrainingRun.state_dict`."""
        return {
            "epoch": self.epoch,
            "diverged": self.diverged,
            "folds": [trainer.state_dict() for trainer in self._trainers],
            **self.best_epoch.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `TrainingRun.load_state_dict`."""
        for trainer, of_fold in zip(self._trainers, state["folds"], strict=True):
            trainer.load_state_dict(of_fold)
        self.epoch, self.diverged = state["epoch"], state["diverged"]
        self.best_epoch = BestEpoch.of_state(state, self._images)

    def _out_of_fold(self) -> Predictions:
        """Each image as the network sees it that has not learned from its fold."""
        by_fold = [t.last_validation for t in self._trainers if t.last_validation is not None]
        order = np.argsort(np.concatenate(self._rows))
        boxes = [of_fold.boxes for of_fold in by_fold if of_fold.boxes is not None]
        return Predictions(
            self._images.name,
            self._images.ids,
            self._images.labels,
            np.concatenate([of_fold.scores for of_fold in by_fold])[order],
            np.concatenate(boxes)[order] if boxes else None,
        )


def mean_result(results: Sequence[EpochResult]) -> EpochResult:
    """Means over folds; the seconds are the sum, and what a network has not got stays None."""
    first = results[0]
    means: dict[str, Any] = {}
    for field in dataclasses.fields(EpochResult):
        values = [getattr(result, field.name) for result in results]
        means[field.name] = None if values[0] is None else math.fsum(values) / len(values)
    seconds = math.fsum(result.seconds for result in results)
    return EpochResult(**means | {"epoch": first.epoch, "lr": first.lr, "seconds": seconds})
