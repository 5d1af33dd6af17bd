"""What makes a network, and how it is trained: two dataclasses, and every option there is.

Needs no PyTorch, so that a command line can be checked at once.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self

from masll.common.errors import InputError
from masll.common.options import check_fields, option
from masll.parts import Part
from masll.variants import VARIANTS, describe

# What a model or a study said by not naming an option, before that option was there.
BEFORE: Mapping[str, Any] = MappingProxyType({"gate_bias": -3.0, "gate_scaled": False})

# Where the local branch's crop comes from: SLL, or a control that takes its place (see
# `masll.boxes`).
BOXES = ("sll", "whole", "centre", "shuffled", "darkness", "mask")
OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("cosine", "constant")
LEAST_PIXELS = 32  # side of an image: below, a backbone has no map left
MOST_PIXELS = 2**14  # far above what a network or the memory takes
MOST_COUNT = 10**6
MOST_SHARE = 10**6  # of what is over 1 as a rule, and has no end: products of it stay finite
MOST_THREADS = 2**10
MOST_LR = 1e38  # that of a weight
MOST_SEED = 2**63 - 1


@dataclass(frozen=True)
class ModelConfig:
    """What makes a network. Every field is also an option of `python -m masll.train`."""

    variant: str = option("gated-fusion", "which parts the network has", choices=VARIANTS)
    backbone: str = option("efficientnet_lite0", "timm network of each branch")
    pretrained: bool = option(True, "start the branches from ImageNet weights")
    weights: str | None = option(
        None, "file with a backbone's weights, to start from instead", metavar="FILE"
    )
    shared_backbone: bool = option(False, "one set of weights for both branches")
    image_size: int = option(
        256, "side of each branch's square input in pixels", least=LEAST_PIXELS, most=MOST_PIXELS
    )
    threshold_scale: float = option(
        1.0, "threshold of eq. 2 over the map's mean; the paper has 1", most=MOST_SHARE
    )
    map_size: int = option(
        0,
        "side to bring the activation map to before eq. 2; 0 leaves it",
        least=0,
        most=MOST_PIXELS,
    )
    largest_component: bool = option(False, "box the largest connected part of the mask only")
    box_padding: float = option(
        0.0, "widen the box on each side by this share of its side", least=0, most=MOST_SHARE
    )
    min_box_side: float = option(
        0.0, "least side of the box, as a share of the image", least=0, most=1
    )
    square_box: bool = option(False, "make the box square, so that the crop is not stretched")
    box: str = option(
        "sll",
        "where the local branch looks: sll, or a control: the whole image, its centred half, SLL's "
        "box of another image (shuffled), darkness without a network, or the lesion mask",
        choices=BOXES,
    )
    gate_bias: float = option(
        0.0, "bias of WFI's gate at the start; its sigmoid is how far open", least=-30, most=30
    )
    gate_scaled: bool = option(
        True, "start the gate with its full slope, and divide by what it multiplies features by"
    )
    fusion: Part | None = None  # a user's own, in place of WFI
    localizer: Part | None = None  # a user's own, in place of SLL

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.threshold_scale > 0:
            raise InputError(f"threshold scale must be positive, got {self.threshold_scale}")
        variant = describe(self.variant)
        for kind, part, has, ours in (
            ("fusion", self.fusion, variant.gates, "gate"),
            ("localizer", self.localizer, variant.localizes, "localizer"),
        ):
            if part is not None and not has:
                raise InputError(
                    f"{part.name} is a {kind}, and {self.variant} has no {ours} that it could "
                    "replace; take another variant, such as gated-fusion"
                )

    def with_part(self, kind: str, part: Part) -> Self:
        """The same with a user's own part as its fusion or localizer.

        Raises:
            InputError: the variant has no such part that it could replace.
        """
        own: dict[str, Any] = {kind: part}
        return dataclasses.replace(self, **own)

    @property
    def boxed_by_sll(self) -> bool:
        """Whether the local branch looks where SLL's mask lies; no control, no user's part."""
        return describe(self.variant).localizes and self.box == "sll" and self.localizer is None

    @property
    def parts(self) -> dict[str, Part]:
        """Users' own parts, by what they take the place of."""
        own = {"fusion": self.fusion, "localizer": self.localizer}
        return {kind: part for kind, part in own.items() if part is not None}

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it; of a user's own part the name, its options and a digest."""
        fields = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        for kind in ("fusion", "localizer"):  # not named where there is none, as before 0.3
            part = fields.pop(kind)
            if part is not None:
                fields[kind] = part.as_dict()
        return fields


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained. Every field is also an option of `python -m masll.train`."""

    epochs: int = option(100, "passes over the training images", least=1, most=MOST_COUNT)
    batch_size: int = option(15, "images in a step", least=1, most=MOST_COUNT)
    lr: float = option(0.005, "learning rate at its highest")
    optimizer: str = option("sgd", "sgd (Nesterov momentum 0.9) or adamw", choices=OPTIMIZERS)
    weight_decay: float = option(1e-4, "L2 penalty on weights, not on biases or norms")
    schedule: str = option("cosine", "of the learning rate after warm-up", choices=SCHEDULES)
    warmup: float = option(0.1, "share of all steps in which the learning rate rises from 0")
    weight_average: float = option(
        0.0,
        "decay a step of an exponential average of the weights, which is judged and kept instead "
        "of the last ones, such as 0.99; 0 is none",
    )
    label_smoothing: float = option(0.0, "share of the target spread over both classes")
    class_weights: bool = option(False, "weigh classes by the inverse of their frequency")
    compile: bool = option(
        False, "compile the network with torch.compile, whose steps are then not CUDA graphs"
    )
    seed: int = option(
        0, "of new layers, order of images and augmentation", least=0, most=MOST_SEED
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if not 0 < self.lr <= MOST_LR:
            raise InputError(f"lr must be positive and at most {MOST_LR:g}, got {self.lr}")
        if not 0 <= self.weight_decay < math.inf:
            raise InputError(f"weight decay must be 0 or more, got {self.weight_decay}")
        if not 0 <= self.warmup < 1:
            raise InputError(f"warmup must be a share from 0 to below 1, got {self.warmup}")
        if not 0 <= self.weight_average < 1:
            raise InputError(f"weight average is a decay below 1, got {self.weight_average}")
        if not 0 <= self.label_smoothing < 1:
            raise InputError(f"label smoothing is a share below 1, got {self.label_smoothing}")


def default_source_size(image_size: int) -> int:
    """Side of the stored images that crops are cut from, where none is named: twice the input."""
    return 2 * image_size
