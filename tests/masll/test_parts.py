"""A fusion and a localizer of a user's own, in a file: what they replace, and what is refused."""

import re
import sys
from importlib.metadata import EntryPoint, EntryPoints

import pytest
import torch

from masll import ModelConfig, build_model, load_model
from masll.common.errors import InputError
from masll.data.options import DataOptions
from masll.data.prepare import prepare
from masll.localization import activation_map
from masll.localizer_audit import global_maps
from masll.model import save_model
from masll.parts import load_part
from tests.support import ROOT, TINY_BACKBONE, assert_one_line_error, run_masll

FUSION = """
'''A sum.'''
import torch

class Fusion(torch.nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(channels // 2))

    def forward(self, features, gate=None):
        g, l = features.chunk(2, dim=1)
        return (g + l) * self.scale, None
"""
LOCALIZER = """
import dataclasses
import torch
from masll.localization import Localization, activation_map

@dataclasses.dataclass(frozen=True)
class Options:
    side: float = 0.5

    def __post_init__(self):
        if not 0 < self.side <= 1:
            raise ValueError(f"side must be from 0 to 1, got {self.side}")

class Localizer(torch.nn.Module):
    def __init__(self, options):
        super().__init__()
        self.side = options.side

    def forward(self, features, scale, source_size, rule):
        boxes = torch.tensor([[0, 0, 1, 1]]) * int(self.side * source_size)
        none = torch.zeros(len(features), dtype=torch.bool)
        return Localization(boxes.expand(len(features), 4), activation_map(features), none)
"""


def write(folder, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def network(**options):
    torch.manual_seed(0)
    config = ModelConfig(backbone=TINY_BACKBONE, pretrained=False, image_size=32, **options)
    return build_model(config).eval()


def code_of_the_guide() -> dict[str, str]:
    """The files of docs/parts.md by name."""
    text = (ROOT / "docs" / "parts.md").read_text()
    blocks = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", text, re.DOTALL)
    return dict(blocks)


def test_a_fusion_hands_the_classifier_as_many_features_as_it_likes(tmp_path):
    part = load_part(write(tmp_path, "a_sum.py", FUSION))
    assert (part.name, part.replaces, part.about) == ("a-sum", ("fusion",), "A sum")
    model = network(fusion=part)
    images = torch.randn(3, 3, 64, 64)
    out = model(images)
    assert model.classifier.in_features * 2 == out.features.shape[1]
    g, l = out.features.chunk(2, dim=1)  # noqa: E741
    assert torch.allclose(out.logits, model.classifier(g + l), atol=1e-6)
    assert out.gate is None


def test_a_localizer_says_where_the_local_branch_looks(tmp_path):
    part = load_part(write(tmp_path, "corner.py", LOCALIZER)).with_options({"side": 0.25})
    model = network(localizer=part)
    out = model(torch.randn(3, 3, 64, 64))
    assert out.boxes.tolist() == [[0, 0, 16, 16]] * 3
    for control, box in (("whole", [0, 0, 64, 64]), ("shuffled", [0, 0, 16, 16])):
        model = network(localizer=part, box=control)
        assert model(torch.randn(3, 3, 64, 64)).boxes.tolist() == [box] * 3


def test_a_model_runs_its_part_only_where_that_is_named_again(tmp_path):
    fusion = load_part(write(tmp_path, "a_sum.py", FUSION))
    corner = load_part(write(tmp_path, "corner.py", LOCALIZER))
    model = network(fusion=fusion, localizer=corner.with_options({"side": 0.75}))
    save_model(model, tmp_path / "model")
    assert (tmp_path / "model" / "fusion.py").read_text() == FUSION
    again = load_model(tmp_path / "model", [corner, fusion])
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(again(images).logits, model(images).logits)
    assert again.config.as_dict() == model.config.as_dict() | {"pretrained": False}
    with pytest.raises(InputError, match=r"a fusion of its own, a-sum; .*--variant-from a-sum.py"):
        load_model(tmp_path / "model", [corner])
    changed = load_part(write(tmp_path, "a_sum.py", FUSION.replace("g + l", "g - l")))
    with pytest.raises(InputError, match="a fusion of its own"):
        load_model(tmp_path / "model", [corner, changed])
    assert changed != fusion and len({changed, fusion}) == 2


def test_a_model_without_parts_is_saved_as_ever(tmp_path):
    save_model(network(), tmp_path)
    text = (tmp_path / "config.json").read_text()
    assert '"fusion"' not in text and '"localizer"' not in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\n", "no class Fusion or Localizer"),
        ("import nothing_of_that_name\n", "raised ModuleNotFoundError"),
        ("class Fusion:\n", "raised IndentationError"),
        ("class Fusion: pass\nclass Options: pass\n", "Options must be a dataclass"),
    ],
)
def test_a_file_that_is_no_part_is_one_line(tmp_path, text, words):
    with pytest.raises(InputError, match=words) as error:
        load_part(write(tmp_path, "mine.py", text))
    assert "\n" not in str(error.value) and "mine.py" in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("return (g + l) * self.scale, None", "return g + l", r"must return .*gave \(2, 96\)"),
        ("return (g + l) * self.scale, None", "return g, l", "must return"),
        ("return (g + l) * self.scale, None", "return g[0], None", "must return"),
        ("self.scale, None", "self.scal, None", "Fusion.forward raised AttributeError"),
        ("def __init__(self, channels)", "def __init__(self)", "Fusion raised TypeError"),
        ("torch.nn.Module", "object", "Fusion raised|must be a torch.nn.Module"),
    ],
)
def test_a_fusion_without_the_interface_is_one_line(tmp_path, old, new, words):
    part = load_part(write(tmp_path, "mine.py", FUSION.replace(old, new)))
    with pytest.raises(InputError, match=words) as error:
        network(fusion=part)
    assert "\n" not in str(error.value) and "mine.py" in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("return Localization(", "return (", "must return a Localization"),
        ("[[0, 0, 1, 1]])", "[[0, 0, 1, 1]]).float()", "must return a Localization"),
        ("[[0, 0, 1, 1]]", "[[0, 0, 1, 0]]", "x0 < x1"),
        ("[[0, 0, 1, 1]]", "[[0, 0, 1, 9]]", "within 0 and the source size"),
        ("none = ", "none = 1 / 0 # ", "Localizer.forward raised ZeroDivisionError"),
    ],
)
def test_a_localizer_without_the_interface_is_one_line(tmp_path, old, new, words):
    part = load_part(write(tmp_path, "mine.py", LOCALIZER.replace(old, new)))
    with pytest.raises(InputError, match=words) as error:
        network(localizer=part)
    assert "\n" not in str(error.value) and "mine.py" in str(error.value)


def test_options_that_a_part_has_not_or_refuses_are_one_line(tmp_path):
    corner = load_part(write(tmp_path, "corner.py", LOCALIZER))
    with pytest.raises(InputError, match="Options has no sid"):
        corner.with_options({"sid": 1.0})
    with pytest.raises(InputError, match="side must be from 0 to 1, got 2"):
        corner.with_options({"side": 2})
    plain = load_part(write(tmp_path, "a_sum.py", FUSION))
    with pytest.raises(InputError, match="no dataclass Options, so side means nothing"):
        plain.with_options({"side": 2})


def test_a_variant_without_the_part_cannot_have_it_replaced(tmp_path):
    fusion = load_part(write(tmp_path, "a_sum.py", FUSION))
    corner = load_part(write(tmp_path, "corner.py", LOCALIZER))
    with pytest.raises(InputError, match="concat-fusion has no gate"):
        ModelConfig(variant="concat-fusion", fusion=fusion)
    with pytest.raises(InputError, match="global-only has no localizer"):
        ModelConfig(variant="global-only", localizer=corner)


def test_an_installed_package_offers_a_part_by_name(tmp_path, monkeypatch):
    write(tmp_path, "a_package_of_sums.py", FUSION)
    monkeypatch.syspath_prepend(str(tmp_path))
    offered = EntryPoints([EntryPoint("a-sum", "a_package_of_sums", "masll.parts")])
    monkeypatch.setattr(
        "importlib.metadata.entry_points", lambda group: offered.select(group=group)
    )
    assert load_part("a-sum").name == "a-sum"
    assert load_part("a-sum").source == FUSION
    assert "a_package_of_sums" not in sys.modules, "it runs once, as a part"
    with pytest.raises(InputError, match=r"b-sum is no \.py file and no installed part.* a-sum"):
        load_part("b-sum")
    for named in (tmp_path / "none.py", tmp_path / "not a name.py"):
        with pytest.raises(InputError):
            load_part(str(named))


@pytest.mark.slow
def test_the_code_of_the_guide_trains_predicts_and_is_audited(tmp_path, isic_master, cache):
    files = {name: write(tmp_path, name, code) for name, code in code_of_the_guide().items()}
    assert list(files) == ["branch_weights.py", "peak_box.py"]
    few = ["--data", isic_master, "--partial"]
    made = ["--backbone", TINY_BACKBONE, "--no-pretrained", "--image-size", 32, "--epochs", 1]
    image = isic_master / "ISIC-2017_Test_v2_Data" / "ISIC_0000036.jpg"
    for file in files.values():
        out = tmp_path / f"model-of-{load_part(file).name}"
        named = ["--variant-from", file]
        trained = run_masll("masll.train", *few, *made, *named, "--out", out, cache=cache)
        assert trained.returncode == 0, trained.stderr
        refused = run_masll("masll.predict", "--model", out, image, cache=cache)
        assert_one_line_error(refused, "of its own", "--variant-from")
        predicted = run_masll("masll.predict", "--model", out, *named, image, cache=cache)
        assert predicted.returncode == 0, predicted.stderr
        assert re.search(r"^ *0\.\d+ ", predicted.stdout, re.MULTILINE)
    scales = ["--scales", 1.0]
    audited = run_masll("masll.audit", "--model", out, *named, *few, *scales, cache=cache)
    assert audited.returncode == 0, audited.stderr
    assert re.search(r"scale 1 .* 0\.25 +0\.000", audited.stdout), "half the side, of its own"


def test_an_audit_gives_a_users_localizer_the_features_that_training_gives_it(
    tmp_path, isic_master, cache, monkeypatch
):
    monkeypatch.setenv("MASLL_CACHE", str(cache))
    model = network(localizer=load_part(write(tmp_path, "corner.py", LOCALIZER)))
    split = prepare(DataOptions(str(isic_master), partial=True), 64).split("validation")
    maps, own = global_maps(model, split, [1.0, 2.0])
    assert set(own) == {1.0, 2.0} and own[1.0].boxes.tolist() == [[0, 0, 32, 32]] * len(split)
    assert torch.allclose(activation_map(maps), own[1.0].activation_map)
