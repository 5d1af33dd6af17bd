"""MASLL: a global branch, a lesion localizer, a local branch on its crop, and a gated fusion.

X. Wang, W. Huang, Z. Lu, S. Huang, "Multi-level Attentive Skin Lesion Learning for Melanoma
Classification". Five variants leave one part out each (see `masll.variants`).
"""

import dataclasses
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from masll.backbones import Backbone, feature_layout, file_weights, imagenet_weights
from masll.config import ModelConfig
from masll.errors import InputError
from masll.fusion import WeightedFeatureIntegration
from masll.localization import BoxRule, Localization, crop_and_resize, localize, resize
from masll.places import Place, S3Path, local_copy, place, upload
from masll.variants import PARTS

CLASSES = 2  # column 1 is melanoma


@dataclass(frozen=True)
class Output:
    """What the network says of a batch. Fields of parts that a variant lacks are None."""

    logits: Tensor  # (B, 2), column 1 = melanoma
    boxes: Tensor | None = None  # (B, 4) int64: x0, y0, x1, y1 in source pixels, half open
    activation_map: Tensor | None = None  # (B, H, W)
    fallback: Tensor | None = None  # (B,) bool: the box is the whole image for want of a mask
    auxiliary_logits: Tensor | None = None  # (B, 2), the localizer's own in local-only
    gate: Tensor | None = None  # (B, C) in (0, 1): mu^ of eq. 5, the global branch's channels first


class Masll(nn.Module):
    """The network of one variant; build it with `build_model`.

    Attributes:
        source_size: side of the images that it was trained on, in pixels.
        fit: how those became squares: squash, pad or crop.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.source_size = 2 * config.image_size
        self.fit = "squash"
        parts = PARTS[config.variant]
        weights = find_weights(config)
        self.global_branch = Backbone(config.backbone, config.image_size, weights)
        self.local_branch: Backbone | None = None
        if parts.localizes and not config.shared_backbone:
            self.local_branch = Backbone(config.backbone, config.image_size, weights)
        branch_channels = self.global_branch.channels
        channels = branch_channels * (parts.fuses_global + parts.localizes)
        self.fusion = WeightedFeatureIntegration(channels) if parts.gates else None
        self.classifier = nn.Linear(channels, CLASSES)
        # The crop passes no gradient, so a localizer whose features are not fused would never
        # learn: it gets a classifier and a loss of its own.
        self.localizer_classifier = (
            None if parts.fuses_global else nn.Linear(branch_channels, CLASSES)
        )

    def forward(self, images: Tensor) -> Output:
        """Classify a batch.

        Args:
            images: (B, 3, S, S) float, normalised with `mean` and `std`; S >= image_size. The
                global branch sees them resized, the local branch crops from all S x S pixels.

        Raises:
            ValueError: the batch has another shape.
        """
        size = self.config.image_size
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3]:
            raise ValueError(f"images must be (B, 3, S, S), got {tuple(images.shape)}")
        if images.shape[3] < size:
            raise ValueError(f"images of side {images.shape[3]} are smaller than the input, {size}")
        g_map = self.global_branch(resize(images, size))  # (B, K, H, W)
        g = g_map.mean(dim=(2, 3))  # (B, K)
        if not PARTS[self.config.variant].localizes:
            logits, gate = self.classify(g)
            return Output(logits, gate=gate)
        found = self.locate(g_map, images.shape[3])
        crops = crop_and_resize(images, found.boxes, size)  # (B, 3, size, size)
        local_branch = self.local_branch or self.global_branch
        l = local_branch(crops).mean(dim=(2, 3))  # (B, K)  # noqa: E741 (the paper's name)
        if self.localizer_classifier is None:
            fused, auxiliary = torch.cat([g, l], dim=1), None  # (B, 2K), eq. 3
        else:
            fused, auxiliary = l, self.localizer_classifier(g)
        logits, gate = self.classify(fused)
        return Output(logits, found.boxes, found.activation_map, found.fallback, auxiliary, gate)

    def classify(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Gate the fused features, where the variant does, and classify: (B, C) -> (B, 2), gate."""
        gate = None
        if self.fusion is not None:
            features, gate = self.fusion(features)
        return self.classifier(features), gate

    def locate(self, features: Tensor, source_size: int) -> Localization:
        """SLL on the global branch's features: (B, K, H, W) -> boxes in source pixels."""
        rule = box_rule(self.config)
        return localize(features, self.config.threshold_scale, source_size, rule)

    @property
    def mean(self) -> tuple[float, ...]:
        """What to subtract from an image in [0, 1], per channel."""
        return self.global_branch.mean

    @property
    def std(self) -> tuple[float, ...]:
        """What to divide an image by after that, per channel."""
        return self.global_branch.std


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
        return file_weights(config.weights)
    return imagenet_weights(config.backbone) if config.pretrained else None


def save_model(model: Masll, folder: Place) -> None:
    """Write model.safetensors and config.json into `folder`; config.json comes last."""
    if isinstance(folder, S3Path):
        with tempfile.TemporaryDirectory(prefix="masll-model-") as here:
            save_model(model, Path(here))
            upload(Path(here), folder, ("model.safetensors", "config.json"))
        return
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {key: weight.contiguous() for key, weight in model.state_dict().items()}
    partial = folder / "model.safetensors.partial"
    safetensors.torch.save_file(tensors, partial)
    partial.replace(folder / "model.safetensors")
    partial = folder / "config.json.partial"
    of_images = {"source_size": model.source_size, "fit": model.fit}
    config = dataclasses.asdict(model.config) | of_images
    partial.write_text(json.dumps(config, indent=2) + "\n")
    partial.replace(folder / "config.json")


def load_model(folder: str | Place) -> Masll:
    """The network that `save_model` wrote, in evaluation mode, on the CPU.

    Args:
        folder: may lie on S3: `s3://bucket/study/models/...`.

    Raises:
        InputError: the folder holds no model.
    """
    folder = place(folder)
    try:
        with local_copy(folder) as here:
            config = json.loads((here / "config.json").read_text())
            weights = safetensors.torch.load_file(here / "model.safetensors")
        source_size, fit = config.pop("source_size"), config.pop("fit", "squash")
        config = ModelConfig(**{**config, "pretrained": False, "weights": None})
    except (OSError, KeyError, TypeError, ValueError, safetensors.SafetensorError) as error:
        raise InputError(
            f"{folder} holds no readable model: {error}; name a models/ folder"
        ) from error
    model = build_model(config)
    model.source_size, model.fit = source_size, fit
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(
            f"{folder}: model.safetensors does not fit config.json; name another folder"
        ) from error
    return model.eval()
