"""Going on with a study: what may be asked again, and what may not."""

import dataclasses

import pytest

from masll import InputError
from tuning.options import resolve
from tuning.space import DEFAULT_SPACE
from tuning.study import resumed_options


@pytest.fixture
def spec() -> dict:
    asked = dataclasses.asdict(resolve({"backbones": ("resnet18",), "trials": 7}))
    return {"options": asked | {"space": [parameter.as_dict() for parameter in DEFAULT_SPACE]}}


def test_a_study_goes_on_as_it_was_asked_with_a_larger_budget(spec):
    options, space = resumed_options(spec, {"trials": 9, "preset": "demo", "num_gpus": 0})
    assert space == DEFAULT_SPACE
    assert options == dataclasses.replace(
        resolve({"backbones": ("resnet18",), "trials": 9}), num_gpus=0
    )


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
