"""One network or several asked about image files: the mean of their probabilities."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from masll.data.turns import TURNS, turned
from masll.inputs import InputSpec
from masll.model import Masll
from masll.pictures import as_input


class Answer(NamedTuple):
    """What networks say of an image."""

    probability: float  # of melanoma, the mean over networks and turns
    box: list[float] | None  # as shares of the square; of one network with SLL
    activation: npt.NDArray[np.float32] | None  # (H, W), likewise


@torch.inference_mode()
def ask(
    models: Sequence[Masll], images: Sequence[Image.Image], *, tta: bool = False
) -> list[Answer]:
    """What networks say of some images.

    Args:
        models: in evaluation mode, on one device.
        images: of any size.
        tta: whether each image is also shown turned by quarters and mirrored, in all eight ways
            (test-time augmentation). Box and map are those of the image as it is.
    """
    total = np.zeros(len(images))
    ways = TURNS if tta else TURNS[:1]
    out = None
    for model, batch in _inputs(models, images):
        for turn in reversed(range(len(ways))):  # the image as it is comes last
            out = model(turned(batch, turn))
            total += out.logits.double().softmax(dim=1)[:, 1].cpu().numpy()
    means = total / (len(models) * len(ways))
    if out is None or len(models) > 1 or out.boxes is None or out.activation_map is None:
        return [Answer(float(mean), None, None) for mean in means]
    boxes = (out.boxes.double() / models[0].inputs.source_size).tolist()
    maps = out.activation_map.float().cpu().numpy()
    return [Answer(*each) for each in zip(means.tolist(), boxes, maps, strict=True)]


def _inputs(
    models: Sequence[Masll], images: Sequence[Image.Image]
) -> Iterator[tuple[Masll, Tensor]]:
    """Each network with the images as it expects them, made once for networks that expect alike."""
    made: dict[InputSpec, Tensor] = {}
    for model in models:
        if model.inputs not in made:
            device = next(model.parameters()).device
            made[model.inputs] = as_input(images, model.inputs).to(device)
        yield model, made[model.inputs]
