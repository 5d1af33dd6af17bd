"""Every kind of timm network gives one map of features, and names what it cannot do."""

import pytest
import timm
import torch
from sklearn.datasets import load_sample_images

from masll import InputError
from masll.backbones import (
    OFFLINE_PACKAGES,
    Backbone,
    feature_layout,
    imagenet_weights,
    offline_file,
    start_of,
)

KINDS = {
    "resnet18": "NCHW",
    "resnet101": "NCHW",
    "densenet121": "NCHW",
    "efficientnet_lite0": "NCHW",
    "convnext_atto": "NCHW",
    "swin_tiny_patch4_window7_224": "NHWC",
    "vit_tiny_patch16_224": "tokens",
}


@pytest.mark.parametrize(("name", "layout"), KINDS.items())
def test_every_kind_of_network_gives_a_map_of_features(name, layout):
    backbone = Backbone(name, 64, None).eval()
    with torch.inference_mode():
        features = backbone(torch.randn(2, 3, 64, 64))
    assert backbone.layout == layout
    assert features.shape[:2] == (2, backbone.channels) and features.ndim == 4
    assert features.shape[2] == features.shape[3] > 1


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "vit_tiny_patch16_224"])
def test_the_map_keeps_places_in_place(name):
    backbone = Backbone(name, 64, None).eval()
    images = torch.zeros(1, 3, 64, 64)
    marked = images.clone()
    marked[:, :, 40:, :20] = 3  # lower left
    with torch.inference_mode():
        change = (backbone(marked) - backbone(images)).abs().mean(dim=1)[0]  # (H, W)
    row, column = divmod(int(change.argmax()), change.shape[1])
    assert row >= change.shape[0] / 2 and column < change.shape[1] / 2


@pytest.mark.parametrize("name", KINDS)
def test_images_are_normalised_as_the_network_s_own_weights_expect(name):
    settings = timm.get_pretrained_cfg(name)
    backbone = Backbone(name, 64, None)
    assert (backbone.mean, backbone.std) == (settings.mean, settings.std)


def test_weights_for_another_image_size_are_fitted():
    weights = timm.create_model("test_vit").state_dict()
    backbone = Backbone("test_vit", 96, weights)
    ours = backbone.network.state_dict()
    assert ours["pos_embed"].shape != weights["pos_embed"].shape
    assert torch.equal(ours["blocks.0.attn.qkv.weight"], weights["blocks.0.attn.qkv.weight"])


def distance_to_training(name: str, photographs: torch.Tensor) -> float:
    """How far the inputs of batch norms lie from what they were in training, in their spread.

    Mean over layers of |mean of a channel - its stored mean| / stored standard deviation.
    """
    backbone = Backbone(name, photographs.shape[-1], imagenet_weights(name)).eval()
    distances = []

    def measure(norm, inputs):
        means = inputs[0].mean(dim=(0, 2, 3))
        spread = (norm.running_var + norm.eps).sqrt()
        distances.append(((means - norm.running_mean).abs() / spread).mean())

    for module in backbone.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.register_forward_pre_hook(measure)
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (backbone.mean, backbone.std))
    with torch.inference_mode():
        backbone((photographs - mean) / std)
    return float(torch.stack(distances).mean())


@pytest.fixture(scope="module")
def photographs() -> torch.Tensor:
    """Parts of scikit-learn's two photographs, a temple and a flower, as RGB in 0 to 1."""
    images = [torch.tensor(each).permute(2, 0, 1) / 255 for each in load_sample_images().images]
    corners = [(y, x) for y in (0, 100, 200) for x in (0, 208, 416)]
    return torch.stack([image[:, y : y + 224, x : x + 224] for image in images for y, x in corners])


@pytest.mark.slow
@pytest.mark.parametrize("name", OFFLINE_PACKAGES)
def test_weights_of_packages_are_fed_as_they_were_trained_or_said_not_to_be(name, photographs):
    if offline_file(name) is None:
        pytest.skip(f"{OFFLINE_PACKAGES[name]} is not installed")
    right = start_of(name).right
    distance = distance_to_training(name, photographs)
    if right is None:
        assert distance < 0.22, "0.15 to 0.17 where they are"
    else:
        assert distance > 1.5 * distance_to_training(right, photographs)


def test_a_hub_that_does_not_answer_is_asked_once(monkeypatch):
    asked = []

    def no_connection(address, **_):
        asked.append(address)
        raise OSError

    monkeypatch.setattr("socket.create_connection", no_connection)
    monkeypatch.setattr("timm.create_model", lambda *_, **__: pytest.fail("asks again and again"))
    imagenet_weights.cache_clear()
    with pytest.raises(InputError):
        imagenet_weights("resnet18")
    assert len(asked) == 1


def test_weights_that_are_not_to_be_had_are_one_line_that_says_what_was_tried():
    with pytest.raises(InputError) as caught:
        imagenet_weights("resnet18")
    message = str(caught.value)
    assert "\n" not in message
    for word in ("resnet18", "no package carries them", "hub", "--weights", "--no-pretrained"):
        assert word in message


def test_a_network_without_a_map_is_named():
    with pytest.raises(InputError, match="efficientformer_l1 gives no map"):
        feature_layout("efficientformer_l1", 64)
    with pytest.raises(InputError, match="did you mean 'resnet18'"):
        feature_layout("resnet_18", 64)
