"""Cross-validation as one training: a network for each fold, advanced together epoch by epoch.

After each epoch the mean over folds is known, so that a trial can be stopped early by it, and the
epoch with the highest mean is chosen.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from masll.config import ModelConfig, TrainConfig
from masll.data import Split
from masll.training import EpochResult, Predictions, Trainer


class CrossValidator:
    """Trains a network for each fold on the images of the others; used like a `Trainer`.

    Attributes:
        epoch: epochs done so far.
        diverged: whether a fold's loss or score was not finite, which ends the training.
        best: means over folds in the epoch with the highest mean AUC, the earliest of equals.
        best_validation: predictions of that epoch, of each image by the network of its fold.
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
        self.best: EpochResult | None = None
        self.best_validation: Predictions | None = None
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
    def done(self) -> bool:
        """Whether all epochs are over, or going on is pointless as a loss is not finite."""
        return self.epoch >= self.config.epochs or self.diverged

    @property
    def images_per_epoch(self) -> int:
        """Training images of all folds together."""
        return sum(trainer.images_per_epoch for trainer in self._trainers)

    def run_epoch(self) -> EpochResult:
        """Train every fold for one epoch; means over folds, and seconds of all together."""
        results = [trainer.run_epoch() for trainer in self._trainers]
        self.epoch += 1
        self.diverged = any(trainer.diverged for trainer in self._trainers)
        result = mean_result(results)
        if not self.diverged and (self.best is None or result.val_auc > self.best.val_auc):
            self.best = result
            self.best_validation = self._out_of_fold()
        return result

    def state_dict(self) -> dict[str, Any]:
        """As `Trainer.state_dict`."""
        made = self.best_validation
        return {
            "epoch": self.epoch,
            "diverged": self.diverged,
            "folds": [trainer.state_dict() for trainer in self._trainers],
            "best": None if self.best is None else dataclasses.asdict(self.best),
            "best_validation": None if made is None else made.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict` of a validator of the same configuration, images and folds."""
        for trainer, of_fold in zip(self._trainers, state["folds"], strict=True):
            trainer.load_state_dict(of_fold)
        self.epoch, self.diverged = state["epoch"], state["diverged"]
        self.best, self.best_validation = None, None
        if state["best"] is not None:
            self.best = EpochResult(**state["best"])
            self.best_validation = Predictions.of_state(self._images, state["best_validation"])

    def _out_of_fold(self) -> Predictions:
        made = [trainer.last_validation for trainer in self._trainers]
        order = np.argsort(np.concatenate(self._rows))
        boxes = [one.boxes for one in made if one is not None and one.boxes is not None]
        return Predictions(
            self._images.name,
            self._images.ids,
            self._images.labels,
            np.concatenate([one.scores for one in made if one is not None])[order],
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
