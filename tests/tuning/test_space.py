"""Search spaces from TOML: what they may say, and how mistakes are named."""

import pytest

from masll import InputError, ModelConfig
from masll.config import TrainConfig
from tuning.recipe import Recipe
from tuning.space import DEFAULT_SPACE, load_space
from tuning.study.arm import Arm
from tuning.study.space import of_arm

PAPER = Recipe(epochs=100, batch_size=15, image_size=256, source_size=512, pretrained=True)


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "space.toml"
        path.write_text(text)
        return str(path)

    return write


def test_the_default_space_is_the_design_s():
    space = {p.name: p for p in load_space(None)}
    assert (space["lr"].low, space["lr"].high, space["lr"].log) == (1e-4, 1e-1, True)
    scale = space["threshold_scale"]
    assert (scale.low, scale.high, scale.log, scale.default) == (0.5, 2.0, False, 1.0)
    assert scale.variants == ("local-only", "concat-fusion", "gated-fusion")


def test_a_file_changes_and_adds_parameters(write):
    space = load_space(
        write("""
        [lr]
        low = 0.001
        [optimizer]
        type = "choice"
        choices = ["sgd", "adamw"]
        [warmup]
        low = 0.0
        high = 0.5
        variants = ["baseline"]
        [batch_size]
        type = "int"
        low = 8
        high = 32
    """)
    )
    names = {p.name: p for p in space}
    assert list(names) == ["lr", "threshold_scale", "optimizer", "warmup", "batch_size"]
    assert (names["lr"].low, names["lr"].high, names["lr"].log) == (0.001, 0.1, True)
    assert [p.name for p in of_arm(space, Arm("gated-fusion", "resnet18"))] == [
        "lr",
        "threshold_scale",
        "optimizer",
        "batch_size",
    ]
    assert [p.name for p in of_arm(space, Arm("baseline", "resnet18"))] == [
        "lr",
        "optimizer",
        "warmup",
        "batch_size",
    ]


def test_every_option_beyond_the_paper_can_be_searched(write):
    space = load_space(
        write("""
        [shared_backbone]
        type = "choice"
        choices = [false, true]
        [largest_component]
        type = "choice"
        choices = [false, true]
        [square_box]
        type = "choice"
        choices = [false, true]
        [map_size]
        type = "choice"
        choices = [0, 16, 32]
        [box_padding]
        low = 0.0
        high = 0.3
        [min_box_side]
        low = 0.0
        high = 0.5
        [label_smoothing]
        low = 0.0
        high = 0.2
        [class_weights]
        type = "choice"
        choices = [false, true]
    """)
    )
    for_gated = {p.name: p.default for p in of_arm(space, Arm("gated-fusion", "resnet18"))}
    assert len(for_gated) == 10
    model, training = PAPER.configs(Arm("gated-fusion", "resnet18"), for_gated)
    assert model == ModelConfig(backbone="resnet18") and training == TrainConfig()
    for_baseline = [p.name for p in of_arm(space, Arm("baseline", "resnet18"))]
    assert for_baseline == ["lr", "label_smoothing", "class_weights"]


def test_parameters_go_to_the_model_or_to_the_training():
    params = {"lr": 0.1, "threshold_scale": 1.5, "optimizer": "adamw", "batch_size": 8}
    model, training = PAPER.configs(Arm("baseline", "resnet18"), params, seed=3)
    assert model == ModelConfig("baseline", "resnet18", threshold_scale=1.5)
    assert training == TrainConfig(lr=0.1, optimizer="adamw", batch_size=8, seed=3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[weight_decoy]\nlow = 0.0", r"\[weight_decoy\].*did you mean 'weight_decay'"),
        ("[epochs]\nlow = 1", r"\[epochs\].*unknown parameter"),
        ("[lr]\nlow = 1.0\nhigh = 0.1", r"\[lr\]"),
        ("[lr]\nlow = 0.01", r"\[lr\].*0.005 is outside"),
        ("[lr]\nmin = 0.01", r"\[lr\].*unknown key 'min'"),
        ("[lr]\ntype = 'real'", r"float, int or choice, got 'real'"),
        ("[lr]\nvariants = ['base-line']", r"did you mean 'baseline'"),
        ("[warmup]\ntype = 'float'", r"\[warmup\]"),
        ("lr = 3", r"must be a table"),
        ("[lr", "space.toml is no TOML file"),
        ("[lr]\nvariants = 'baseline'", r"\[lr\].*must be a list"),
        ("[lr]\nlow = true", r"\[lr\].*True must be of type float"),
        ("[lr]\nhigh = 'much'", r"\[lr\].*'much' must be of type float"),
        ("[threshold_scale]\nlow = -1.0", r"\[threshold_scale\].*must be positive, got -1"),
        ("[batch_size]\nlow = 8\nhigh = 32", r"\[batch_size\].*type must be int"),
        ("[batch_size]\ntype = 'int'\nlow = 8.5\nhigh = 32", r"8.5 must be of type int"),
        ("[square_box]\nlow = 0\nhigh = 1", r"\[square_box\].*type must be choice"),
        ("[optimizer]\ntype = 'choice'\nchoices = ['sgd', 'adam']", r"'adam'.*'adamw'"),
        ("[largest_component]\ntype = 'choice'\nchoices = [0, 1]", r"0 must be of type bool"),
    ],
)
def test_mistakes_are_named_before_anything_starts(write, text, words):
    with pytest.raises(InputError, match=words):
        load_space(write(text))


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "space.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"space\.toml is no TOML"):
        load_space(str(tmp_path / "space.toml"))


def test_a_missing_file_is_named():
    with pytest.raises(InputError, match=r"nowhere\.toml"):
        load_space("nowhere.toml")


def test_every_default_is_inside_its_range():
    for parameter in DEFAULT_SPACE:
        assert parameter.low <= parameter.default <= parameter.high
