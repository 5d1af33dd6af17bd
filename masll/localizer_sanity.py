"""Does the localizer's map show what was learned, and does it look at the image at all?

J. Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018: a map that stays the same when
the weights are drawn anew shows edges or darkness, not what was learned. Layers are drawn anew from
the top down to all of them (cascading randomization). Beside it each map is held against those of
other images: where they are alike, the map is a place, such as the centre. A map that does change
was not therefore learned: those of drawn weights change, too.
"""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from masll.common.errors import InputError
from masll.data.split import Split
from masll.devices import lay_out
from masll.localizer_audit import box_iou, features_of, lesioned
from masll.model import Masll

SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)  # of the layers that are drawn anew, the topmost first
_OTHERS = 5  # other images that each is held against
_DRAWS = 2000  # of images, for an interval


@dataclass(frozen=True)
class SanityRow:
    """The model's own maps and boxes beside others; means over images, 95 % intervals."""

    compared_with: str  # "top 20 % of layers drawn anew", "another image", ...
    share: float | None  # of layers drawn anew, 0 to 1; None for other images
    correlation: float  # of the maps, Spearman's, -1 to 1; nan where every map is constant
    correlation_low: float
    correlation_high: float
    iou: float  # of the boxes, 0 to 1
    iou_low: float
    iou_high: float
    images: int
    others: int  # drawn networks, or other images, that each image was held against


class _View(NamedTuple):
    """What a localizer makes of images, on the CPU."""

    maps: Tensor  # (N, M) float, cell by cell
    boxes: Tensor  # (N, 4) int64, source pixels


def compared(split: Split) -> Split:
    """The images of a split that `masll.audit` compares: those whose lesion mask is not empty.

    Raises:
        InputError: fewer than two have one.
    """
    found = split.select(lesioned(split))
    _check_several(found)
    return found


def _check_several(split: Split) -> None:
    if len(split) < 2:
        raise InputError(
            f"--sanity compares {split.name} images whose lesion mask is not empty, and there is "
            f"{len(split)}; choose another --split"
        )


def sanity(model: Masll, split: Split, seeds: int = 3) -> list[SanityRow]:
    """The model's maps beside those of drawn weights, for each of SHARES, and of other images.

    The model is left as it is: layers are drawn anew in copies.

    Args:
        seeds: networks that are drawn for each share, with seeds 1, 2, ...; an image's figures are
            means over them.

    Raises:
        InputError: fewer than two images.
    """
    _check_several(split)
    own = _look(copy.deepcopy(model), split)
    rows = []
    for share in SHARES:
        views = [_look(drawn_anew(model, share, split, 1 + seed), split) for seed in range(seeds)]
        name = f"top {share:.0%} of layers drawn anew" if share < 1 else "all layers drawn anew"
        rows.append(_row(name, share, own, views))
    steps = {max(1, len(split) * k // (_OTHERS + 1)) for k in range(1, _OTHERS + 1)}
    # Some way off in the split's order, as neighbours may be alike.
    others = [_View(*(each.roll(step, 0) for each in own)) for step in sorted(steps)]
    return [*rows, _row("another image", None, own, others)]


def drawn_anew(model: Masll, share: float, split: Split, seed: int) -> Masll:
    """A copy of a model whose topmost layers are drawn anew, in evaluation mode.

    A layer is drawn by its own `reset_parameters`; where it has none, as position embeddings, its
    values change places at random. The statistics of batch norms that are drawn anew become those
    of the images: reset to 0 and 1, a deep network of drawn weights would let every map fade to 0.

    Args:
        share: of the layers, above 0 to 1. Their order is that in which the network defines them;
            a localizer of a user's own stands above the global branch.
        split: the images of those statistics.
        seed: the same layers are drawn with a larger share, and on another device.
    """
    device = next(model.parameters()).device
    twin = copy.deepcopy(model).cpu().eval()
    layers = list(_layers(twin))
    top = layers[len(layers) - math.ceil(share * len(layers)) :]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for layer in reversed(top):
            _draw_anew(layer)
    lay_out(twin, device)
    _take_statistics(twin, [layer for layer in top if isinstance(layer, _BatchNorm)], split)
    return twin


def _layers(model: Masll) -> Iterator[nn.Module]:
    """What has parameters of its own and a part in the map, from the pixels upwards.

    Local branch, gate and classifier have none in it.
    """
    for part in (model.global_branch, model.localizer):
        for layer in part.modules() if part is not None else ():
            if next(layer.parameters(recurse=False), None) is not None:
                yield layer


def _draw_anew(layer: nn.Module) -> None:
    reset = getattr(layer, "reset_parameters", None)
    if reset is not None:
        reset()
        return
    for values in layer.parameters(recurse=False):
        mixed = values.flatten()[torch.randperm(values.numel())]
        values.copy_(mixed.view_as(values))


def _take_statistics(model: Masll, norms: list[_BatchNorm], split: Split) -> None:
    """Means and variances of batch norms over a split, instead of what they have."""
    if not norms:
        return
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over batches
        norm.train()
    for _ in features_of(model, split):
        pass
    for norm in norms:
        norm.eval()


@torch.inference_mode()
def _look(model: Masll, split: Split) -> _View:
    """Maps and boxes by the model's own rule and threshold scale."""
    found = [model.locate(*batch) for batch in features_of(model.eval(), split)]
    return _View(
        torch.cat([each.activation_map.float().flatten(1).cpu() for each in found]),
        torch.cat([each.boxes.cpu() for each in found]),
    )


def _row(name: str, share: float | None, own: _View, others: list[_View]) -> SanityRow:
    """A model's view beside some others of as many images, each image's mean over these."""
    correlations = torch.stack([rank_correlation(own.maps, other.maps) for other in others])
    ious = torch.stack([box_iou(own.boxes, other.boxes) for other in others])  # (others, N)
    return SanityRow(
        name,
        share,
        *_mean_over_images(correlations.nanmean(dim=0)),
        *_mean_over_images(ious.mean(dim=0)),
        images=len(own.maps),
        others=len(others),
    )


def rank_correlation(a: Tensor, b: Tensor) -> Tensor:
    """Spearman's correlation row by row: two (N, M) -> (N,) float64; nan where a row is constant.

    >>> rank_correlation(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[0.1, 0.9, 0.2]]))
    tensor([0.5000], dtype=torch.float64)
    """
    ranks_a, ranks_b = _ranks(a), _ranks(b)
    norms = ranks_a.norm(dim=1) * ranks_b.norm(dim=1)
    return (ranks_a * ranks_b).sum(dim=1) / norms


def _ranks(values: Tensor) -> Tensor:
    """Twice the ranks within each row, about their mean; ties share one: (N, M) -> float64."""
    ordered, values = values.sort(dim=1).values, values.contiguous()
    below = torch.searchsorted(ordered, values)
    up_to = torch.searchsorted(ordered, values, right=True)
    ranks = (below + up_to).double()
    return ranks - ranks.mean(dim=1, keepdim=True)


def _mean_over_images(values: Tensor) -> tuple[float, float, float]:
    """The mean of (N,) with its 95 % interval, images drawn again; nan where nothing is known."""
    known = values[~values.isnan()].numpy()
    if not len(known):
        return math.nan, math.nan, math.nan
    draws = np.random.default_rng(0)
    means = [known[draws.integers(len(known), size=len(known))].mean() for _ in range(_DRAWS)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(known.mean()), float(low), float(high)
