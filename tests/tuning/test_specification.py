"""Going on with a study: what may be asked again, and what may not."""

import dataclasses
import json

import pytest

from masll import InputError
from masll.config import BEFORE
from tuning.options import resolve
from tuning.space import DEFAULT_SPACE
from tuning.specification import _NOT_ASKED, resumed_options
from tuning.study.spec import Spec


@pytest.fixture
def spec() -> Spec:
    asked = dataclasses.asdict(
        resolve({"backbones": ("resnet18",), "trials": 7, "data": "synthetic"})
    )
    space = [parameter.as_dict() for parameter in DEFAULT_SPACE]
    asked = {name: value for name, value in asked.items() if name not in _NOT_ASKED}
    return Spec.from_json(json.loads(json.dumps({"options": asked | {"space": space}})))


def test_a_study_goes_on_as_it_was_asked_with_a_larger_budget(spec):
    options = resumed_options(spec, {"trials": 9, "preset": "demo", "num_gpus": 0})
    assert spec.space == DEFAULT_SPACE
    assert options == dataclasses.replace(
        resolve({"backbones": ("resnet18",), "trials": 9, "data": "synthetic"}), num_gpus=0
    )


def test_a_study_of_an_earlier_version_goes_on_with_the_gate_that_it_began_with(spec):
    options = {name: value for name, value in spec.options.items() if name != "set"}
    earlier = dataclasses.replace(spec, options=options)
    assert resumed_options(earlier, {}).fixed == dict(BEFORE)
    with pytest.raises(InputError, match="--set gate_bias=0, but the study was asked gate_bias=-3"):
        resumed_options(earlier, {"set": ("gate_bias=0",)})
    assert resumed_options(spec, {}).fixed == {}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"preset": "paper"}, "--preset paper, but the study was asked demo"),
        ({"backbones": ("resnet34",)}, "--backbones resnet34, .* asked resnet18"),
        ({"trials": 6}, "--trials 6, .* already has 7"),
        ({"space": "space.toml"}, "--space cannot change"),
        ({"drop_leaks": True}, "--drop-leaks True"),
    ],
)
def test_another_question_is_refused(spec, given, words):
    with pytest.raises(InputError, match=words):
        resumed_options(spec, given)
