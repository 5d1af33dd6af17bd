"""What a network says of a split: probabilities, loss, boxes, and how its gate stands."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from masll.config import BOXES
from masll.data.split import Split
from masll.data.types import UNKNOWN
from masll.loading import Loader, batches, lesion_boxes
from masll.localization import box_area, resize
from masll.model import Masll, Output
from masll.results import ModelCost, Predictions
from masll.variants import Variant, describe

_BATCH = 50
_GATE_FIGURES: dict[str, Callable[[Tensor], Tensor]] = {  # of mu^ of (N, C)
    "mean": torch.mean,
    "sd": torch.std,
    "image_sd": lambda gate: gate.std(dim=0).mean(),
}


class Evaluation(NamedTuple):
    """A network on the images of a split."""

    predictions: Predictions
    loss: float  # mean cross-entropy over labelled images; nan without any
    fallback_rate: float | None  # share of fallback boxes; None without SLL
    gate: dict[str, float | None]  # the gate_* fields of an EpochResult


@torch.inference_mode()
def evaluate(
    network: Callable[[Tensor, Tensor | None], Output],
    variant: Variant,
    loader: Loader,
    split: Split,
) -> Evaluation:
    """Run a network over a split, in the order of its images.

    Args:
        network: in evaluation mode, on the loader's device.
        variant: of the network.
    """
    logits, boxes, fallbacks, gates = [], [], [], []
    for rows in batches(np.arange(len(split)), _BATCH):
        with autocast(loader.device):
            out = network(loader.images(split, rows), loader.lesions(split, rows))
        logits.append(out.logits.float())
        if out.gate is not None:
            gates.append(out.gate.float())
        if out.boxes is not None and out.fallback is not None:
            boxes.append(out.boxes)
            fallbacks.append(out.fallback)
    all_logits = torch.cat(logits).cpu()  # (N, 2)
    labels = torch.from_numpy(split.labels)
    loss = F.cross_entropy(all_logits, labels, ignore_index=UNKNOWN)
    scores = _melanoma(all_logits)
    side = split.images.shape[-1]
    shares = torch.cat(boxes).cpu().double().numpy() / side if boxes else None
    fallback_rate = float(torch.cat(fallbacks).float().mean()) if fallbacks else None
    predictions = Predictions(split.name, split.ids, split.labels, scores, shares)
    gate = _gate_figures(torch.cat(gates) if gates else None, variant)
    return Evaluation(predictions, float(loss), fallback_rate, gate)


@torch.inference_mode()
def frozen_gate_scores(
    model: Masll, loader: Loader, reference: Split, split: Split
) -> npt.NDArray[np.float64] | None:
    """Probabilities with the gate frozen at its channel means: what it does beyond a constant.

    A gate that is the same for every image changes no function that the network can be, as the
    classifier absorbs it.

    Args:
        model: in evaluation mode, on the loader's device.
        reference: images that the means are of.
        split: images to predict.

    Returns:
        (N,) in the order of the split; None for a network without a gate.
    """
    if model.fusion is None:
        return None

    def outputs(of: Split) -> Iterator[Output]:
        for rows in batches(np.arange(len(of)), _BATCH):
            with autocast(loader.device):
                out: Output = model(loader.images(of, rows), loader.lesions(of, rows))
            yield out

    gates = [out.gate.float() for out in outputs(reference) if out.gate is not None]
    if not gates:  # a user's fusion without one
        return None
    means = torch.cat(gates).mean(dim=0)  # (C,)
    features = torch.cat([out.features for out in outputs(split) if out.features is not None])
    logits, _ = model.classify(features, means)
    return _melanoma(logits)


@torch.inference_mode()
def scores_elsewhere(
    model: Masll, loader: Loader, split: Split
) -> Mapping[str, npt.NDArray[np.float64]]:
    """Probabilities with the local branch's box from elsewhere: what the place adds, untrained.

    Args:
        model: in evaluation mode, on the loader's device.
        split: images to predict.

    Returns:
        (N,) in the order of the split, for each of BOXES that is not the network's own; that of
        the mask only where every image has one. Nothing for a network without a local branch.
    """
    own = model.config.box
    if not describe(model.config.variant).localizes:
        return {}
    masked = split.masked is not None and bool(split.masked.all())
    others = [box for box in BOXES if box != own and (box != "mask" or masked)]
    logits: dict[str, list[Tensor]] = {box: [] for box in others}
    for rows in batches(np.arange(len(split)), _BATCH):
        with autocast(loader.device):
            images = loader.images(split, rows)
            g_map = model.global_branch(resize(images, model.config.image_size))
            found = model.locate(g_map, images.shape[-1])
            for box in others:
                lesions = lesion_boxes(split)(rows).to(loader.device) if box == "mask" else None
                location = model.look(found, box, images, lesions)
                fused = model.fuse(g_map.mean(dim=(2, 3)), images, location.boxes)
                logits[box].append(model.classify(fused)[0])
    return {box: _melanoma(torch.cat(of_box)) for box, of_box in logits.items()}


@torch.no_grad()
def model_cost(model: Masll, milliseconds: float) -> ModelCost:
    """Parameters and multiply-adds of a network.

    Args:
        model: in evaluation mode.
        milliseconds: that it takes for an image, as was measured.
    """
    side = model.inputs.source_size
    parameter = next(model.parameters())
    image = torch.zeros(1, 3, side, side, device=parameter.device, dtype=parameter.dtype)
    lesion = torch.tensor([[0, 0, side, side]], device=parameter.device)
    with FlopCounterMode(display=False) as counter:
        model(image, lesion)
    parameters = sum(each.numel() for each in model.parameters())
    return ModelCost(parameters, counter.get_total_flops() // 2, milliseconds)


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 on GPUs, where it is twice as fast; nothing on the CPU."""
    return torch.autocast(device.type, torch.bfloat16, device.type == "cuda")


def _melanoma(logits: Tensor) -> npt.NDArray[np.float64]:
    """Probability of melanoma: (N, 2) -> (N,)."""
    return np.asarray(logits.cpu().double().softmax(dim=1)[:, 1].numpy())


def mean_box_area(boxes: npt.NDArray[np.float64] | None) -> float | None:
    """Mean share of the image inside the box, from boxes as shares: (N, 4) -> a number."""
    return None if boxes is None else float(box_area(torch.from_numpy(boxes), 1).mean())


def _gate_figures(gate: Tensor | None, variant: Variant) -> dict[str, float | None]:
    """Mean and spread of the gate by branch, from mu^ of (N, C)."""
    branches: list[Tensor | None] = [None, None]
    if gate is not None and variant.fuses_global and variant.localizes:
        branches = list(gate.chunk(2, dim=1))  # concat(g, l) of eq. 3
    elif gate is not None:
        branches[0 if variant.fuses_global else 1] = gate
    return {
        f"gate_{name}_{figure}": None if of_branch is None else float(value(of_branch))
        for name, of_branch in zip(("global", "local"), branches, strict=True)
        for figure, value in _GATE_FIGURES.items()
    }
