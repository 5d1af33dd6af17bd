"""MASLL: a global branch, a lesion localizer, a local branch on its crop, and a gated fusion.

X. Wang, W. Huang, Z. Lu, S. Huang, "Multi-level Attentive Skin Lesion Learning for Melanoma
Classification". Five variants leave one part out each (see `masll.variants`).
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from masll import fusion
from masll.backbones import Backbone, feature_layout, imagenet_weights, weights_from
from masll.boxes import replace_boxes
from masll.common.errors import InputError
from masll.common.storage import AnyPath, any_path
from masll.config import BEFORE, ModelConfig, default_source_size
from masll.data.options import DataOptions
from masll.devices import without_autocast
from masll.fitting import own_fusion, own_localizer
from masll.inputs import InputSpec
from masll.localization import BoxRule, Localization, crop_and_resize, localize, resize
from masll.parts import Part
from masll.variants import describe

CLASSES = 2  # column 1 is melanoma
_MOST_OF_CONFIG = 2**20  # bytes of config.json, which has some hundreds


@dataclass(frozen=True)
class Output:
    """What the network says of a batch. Fields of parts that a variant lacks are None."""

    logits: Tensor  # (B, 2), column 1 = melanoma
    boxes: Tensor | None = None  # (B, 4) int64: x0, y0, x1, y1 in source pixels, half open
    activation_map: Tensor | None = None  # (B, H, W)
    fallback: Tensor | None = None  # (B,) bool: the box is the whole image for want of a mask
    auxiliary_logits: Tensor | None = None  # (B, 2), the localizer's own in local-only
    gate: Tensor | None = None  # (B, C) in (0, 1): mu^ of eq. 5, the global branch's channels first
    features: Tensor | None = None  # (B, C), pooled and fused, before the gate: F of eq. 3


class Masll(nn.Module):
    """The network of one variant; build it with `build_model`.

    Attributes:
        inputs: what the images that it was trained on look like.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        parts = describe(config.variant)
        weights = find_weights(config)
        self.global_branch = Backbone(config.backbone, config.image_size, weights)
        self.local_branch: Backbone | None = None
        if parts.localizes and not config.shared_backbone:
            self.local_branch = Backbone(config.backbone, config.image_size, weights)
        self.inputs = InputSpec(
            source_size=default_source_size(config.image_size),
            fit="squash",
            mean=self.global_branch.mean,
            std=self.global_branch.std,
        )
        branch_channels = self.global_branch.channels
        channels = branch_channels * (parts.fuses_global + parts.localizes)
        self.fusion: nn.Module | None = None
        if config.fusion is not None:
            self.fusion, channels = own_fusion(config.fusion, channels)
        elif parts.fusion is not None:
            kind = getattr(fusion, parts.fusion)
            self.fusion = kind(channels, bias=config.gate_bias, scaled=config.gate_scaled)
        self.localizer: nn.Module | None = None  # a user's own; None for SLL
        if config.localizer is not None:
            self.localizer = own_localizer(config.localizer, branch_channels)
        self.classifier = nn.Linear(channels, CLASSES)
        # The crop passes no gradient, so a localizer whose features are not fused would never
        # learn: it gets a classifier and a loss of its own.
        self.localizer_classifier = (
            None if parts.fuses_global else nn.Linear(branch_channels, CLASSES)
        )

    def forward(self, images: Tensor, lesions: Tensor | None = None) -> Output:
        """Classify a batch.

        Args:
            images: (B, 3, S, S) float, normalised as `inputs` says; S >= image_size. The
                global branch sees them resized, the local branch crops from all S x S pixels.
            lesions: (B, 4) int64, rectangles of lesion masks in source pixels; only a network
                whose box is that of the mask needs them.

        Raises:
            ValueError: the batch has another shape, or lesions are missing.
        """
        size = self.config.image_size
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3]:
            raise ValueError(f"images must be (B, 3, S, S), got {tuple(images.shape)}")
        if images.shape[3] < size:
            raise ValueError(f"images of side {images.shape[3]} are smaller than the input, {size}")
        g_map = self.global_branch(resize(images, size))  # (B, K, H, W)
        g = g_map.mean(dim=(2, 3))  # (B, K)
        if not describe(self.config.variant).localizes:
            logits, gate = self.classify(g)
            return Output(logits, gate=gate, features=g)
        location = self.locate(g_map, images.shape[3])
        location = self.look(location, self.config.box, images, lesions)
        fused = self.fuse(g, images, location.boxes)
        auxiliary = None
        if self.localizer_classifier is not None:
            auxiliary = _in_full(self.localizer_classifier, g)
        logits, gate = self.classify(fused)
        return Output(
            logits,
            location.boxes,
            location.activation_map,
            location.fallback,
            auxiliary,
            gate,
            fused,
        )

    def look(
        self, location: Localization, box: str, images: Tensor, lesions: Tensor | None
    ) -> Localization:
        """Where the local branch looks instead of SLL's box: see `masll.boxes.replace_boxes`."""
        return replace_boxes(location, box, images, box_rule(self.config), lesions)

    def fuse(self, g: Tensor, images: Tensor, boxes: Tensor) -> Tensor:
        """F of eq. 3, or the local features alone where the global ones are not fused.

        Args:
            g: (B, K), the global branch's pooled features.
            images: (B, 3, S, S), which boxes, (B, 4) in their pixels, are cropped from.
        """
        crops = crop_and_resize(images, boxes, self.config.image_size)  # (B, 3, size, size)
        local_branch = self.local_branch or self.global_branch
        l = local_branch(crops).mean(dim=(2, 3))  # (B, K)  # noqa: E741 (the paper's name)
        return l if self.localizer_classifier is not None else torch.cat([g, l], dim=1)

    def classify(
        self, features: Tensor, gate: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Gate the fused features, where the variant does, and classify them.

        Args:
            features: (B, C), as `Output.features`.
            gate: (C,) to use for every image in place of the network's own.

        Returns:
            Logits of (B, 2), and the gate; None for a network without one.
        """
        if self.fusion is not None:
            features, gate = self.fusion(features, gate)
        return _in_full(self.classifier, features), gate

    def locate(self, features: Tensor, source_size: int) -> Localization:
        """SLL, or a user's own, on the global branch's features: (B, K, H, W) -> boxes."""
        rule, scale = box_rule(self.config), self.config.threshold_scale
        if self.localizer is None:
            return localize(features, scale, source_size, rule)
        found: Localization = self.localizer(features, scale, source_size, rule)
        return found


def _in_full(classifier: nn.Module, features: Tensor) -> Tensor:
    """A classifier in float32, whatever autocast says: its sums decide, and cost nothing."""
    with without_autocast(features.device):
        logits: Tensor = classifier(features.float())
    return logits


def build_model(config: ModelConfig) -> Masll:
    """A network ready to train, on the CPU.

    New layers are drawn from PyTorch's global generator: `torch.manual_seed` fixes them.

    Raises:
        InputError: timm has no such backbone, it gives no spatial map at this image size, or
            its weights are not to be had.
    """
    feature_layout(config.backbone, config.image_size)  # an unknown name comes before its weights
    return Masll(config)


def box_rule(config: ModelConfig) -> BoxRule:
    """The localization options of a configuration."""
    return BoxRule(
        map_size=config.map_size,
        largest_component=config.largest_component,
        padding=config.box_padding,
        min_side=config.min_box_side,
        square=config.square_box,
    )


def find_weights(config: ModelConfig) -> Mapping[str, Tensor] | None:
    """What the branches start from: the file that was named, ImageNet weights, or nothing.

    Raises:
        InputError: they are wanted but not to be had.
    """
    if config.weights is not None:
        return weights_from(config.backbone, config.weights)
    return imagenet_weights(config.backbone) if config.pretrained else None


def save_model(model: Masll, folder: str | Path | AnyPath) -> None:
    """Write model.safetensors, a user's own parts and, last, config.json into `folder`."""
    folder = any_path(folder)
    tensors = {key: weight.contiguous() for key, weight in model.state_dict().items()}
    (folder / "model.safetensors").write_whole(safetensors.torch.save(tensors))
    of_images = {"source_size": model.inputs.source_size, "fit": model.inputs.fit}
    config = model.config.as_dict() | of_images
    for kind, part in model.config.parts.items():
        (folder / f"{kind}.py").write_whole(part.source)
    (folder / "config.json").write_whole(json.dumps(config, indent=2) + "\n")


def load_model(
    folder: str | Path | AnyPath, parts: Iterable[Part] = (), used: Masll | None = None
) -> Masll:
    """The network that `save_model` wrote, in evaluation mode, on the CPU.

    Args:
        folder: may lie on S3: `s3://bucket/study/models/...`.
        parts: users' own that may be run. A model's own copy never is: whoever sends a model would
            send code.
        used: a network that is needed no longer; one of the same configuration gets the weights,
            as building another takes longer than reading them.

    Raises:
        InputError: the folder holds no model, or one with a part that is not among `parts`.
    """
    folder = any_path(folder)
    reading = folder / "config.json"
    try:
        config = json.loads(reading.read_text(most=_MOST_OF_CONFIG))
        reading = folder / "model.safetensors"
        weights = safetensors.torch.load(reading.read_bytes())
        reading = folder / "config.json"
        images = {"source_size": config.pop("source_size"), "fit": config.pop("fit", "squash")}
        for kind in config.keys() & {"fusion", "localizer"}:
            config[kind] = _named_again(folder / f"{kind}.py", config[kind], parts)
        config = ModelConfig(**{**BEFORE, **config, "pretrained": False, "weights": None})
        model = used if used is not None and used.config == config else build_model(config)
        data = DataOptions(**images)
        if data.source_size is None or data.source_size < config.image_size:
            raise ValueError(f"source size {data.source_size} is below the image size")
    except _UnknownPart:
        raise
    except (
        *(OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError),
        safetensors.SafetensorError,
    ) as error:
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(
            f"{folder} holds no readable model: {reading.name}: {text}; name a models/ folder"
        ) from error
    model.inputs = dataclasses.replace(model.inputs, **images)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(
            f"{folder}: model.safetensors does not fit config.json; name another folder"
        ) from error
    return model.eval()


class _UnknownPart(InputError):
    """A model has a part of a user's that was not named again."""


def _named_again(copy: AnyPath, saved: Mapping[str, Any], parts: Iterable[Part]) -> Part:
    """The part among `parts` that a model was saved with, of which `copy` is the source."""
    for part in parts:
        if part.name == saved["name"] and part.sha256 == saved["sha256"]:
            return part.with_options(saved["options"])
    raise _UnknownPart(
        f"the model has a {copy.stem} of its own, {saved['name']}; if you trust {copy}, "
        f"save it as {saved['name']}.py and name it: --variant-from {saved['name']}.py"
    )
