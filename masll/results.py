"""What training gives: a result for each epoch, and predictions on a split. Needs no PyTorch."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from masll.metrics import binary_metrics

UNDEFINED = (
    "the validation AUC is undefined in every epoch, as the validation images are not of both "
    "classes; take others"
)


@dataclass(frozen=True)
class EpochResult:
    """One row of STUDY/epochs, without the trial's name."""

    epoch: int  # from 1
    lr: float  # at the epoch's last step
    train_loss: float
    val_loss: float
    val_auc: float  # nan once training has diverged, and where a class is missing
    box_area: float | None  # mean share of the validation images inside the box; None without SLL
    box_fallback_rate: float | None
    # Mean and standard deviation of the gate mu^ over the validation images and a branch's
    # channels; None without WFI or without that branch.
    gate_global_mean: float | None
    gate_global_sd: float | None
    gate_local_mean: float | None
    gate_local_sd: float | None
    seconds: float
    # Mean over a branch's channels of the gate's standard deviation over the validation images:
    # 0 for a gate that treats every image alike, whatever it does to channels.
    gate_global_image_sd: float | None = None
    gate_local_image_sd: float | None = None


@dataclass(frozen=True)
class ModelCost:
    """What a network takes to use."""

    parameters: int
    multiply_adds: int  # of one image: of convolutions and matrix products
    milliseconds: float  # an image, in batches as evaluation has them, on the device it trained on


@dataclass(frozen=True)
class Predictions:
    """What a network says of the images of a split."""

    split: str
    ids: tuple[str, ...]
    labels: npt.NDArray[np.int64]  # (N,)
    scores: npt.NDArray[np.float64]  # (N,) probability of melanoma
    boxes: npt.NDArray[np.float64] | None  # (N, 4) x0, y0, x1, y1 as shares of the image
    frozen: npt.NDArray[np.float64] | None = None  # (N,) scores with a gate that ignores the image
    elsewhere: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    """Scores of (N,) with the local branch's box from elsewhere, by one of BOXES."""

    def metrics(self) -> dict[str, float]:
        """See `masll.metrics.binary_metrics`."""
        return binary_metrics(self.labels, self.scores)
