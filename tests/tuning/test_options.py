"""Presets, and what the command line says beside them."""

import pytest

from masll.common.errors import InputError
from tuning.options import resolve
from tuning.space import load_space
from tuning.study.arm import Arm


def test_the_demo_brings_its_lesions_recipe_and_space_which_other_images_do_without():
    demo = resolve({})
    assert demo.data == "synthetic-fine"
    assert demo.fixed == {"optimizer": "adamw", "weight_average": 0.95}
    (lr,) = [p for p in load_space(demo.space, demo.fixed) if p.name == "lr"]
    assert lr.default == 0.002
    other = resolve({"data": "lesions.csv"})
    assert (other.data, other.fixed, other.space) == ("lesions.csv", {}, None)
    assert other.trials == demo.trials


def test_settings_of_the_command_line_join_and_overrule_those_of_a_preset():
    laptop = resolve({"preset": "laptop", "set": ("weight_average=0.9", "box_padding=0.1")})
    assert laptop.fixed == {
        "optimizer": "adamw",
        "weight_decay": 0.01,
        "weight_average": 0.9,
        "box_padding": 0.1,
    }
    assert (laptop.validation, laptop.confirm_default) == ("fold", True)
    assert resolve({"preset": "laptop", "confirm_default": False}).confirm_default is False


def test_the_paper_preset_is_the_paper():
    paper = resolve({"preset": "paper"})
    assert paper.fixed == {} and paper.validation == "official"
    model, training = paper.recipe.configs(Arm("gated-fusion", "resnet101"))
    assert (training.optimizer, training.epochs, training.batch_size) == ("sgd", 100, 15)
    assert training.weight_average == 0 and model.image_size == 256
    assert paper.backbones == ("resnet101", "densenet121")


def test_weights_are_written_as_backbone_and_file():
    assert resolve({"backbones": ("a",), "weights": ("a=f=1",)}).weight_files == {"a": "f=1"}
    with pytest.raises(InputError, match="write it as BACKBONE=FILE"):
        resolve({"weights": ("file",)})
