"""Options that a study fixes: what `--set` may say, what becomes of the space, and mistakes."""

import pytest

from masll import InputError
from masll.config import BEFORE
from tuning.options import resolve
from tuning.settings import as_settings, parse_settings
from tuning.space import load_space
from tuning.study.arm import Arm


def test_a_fixed_option_reaches_every_trial_and_a_searched_one_comes_before_it():
    options = resolve({"set": ("optimizer=adamw", "weight_decay=0.01", "shared_backbone=true")})
    model, training = options.recipe.configs(Arm("baseline", "resnet18"), {"lr": 0.1})
    assert model.shared_backbone is True
    assert (training.optimizer, training.weight_decay, training.lr) == ("adamw", 0.01, 0.1)


def test_what_is_fixed_is_not_searched_and_the_rate_follows_the_optimizer():
    assert [p.name for p in load_space(None, {"threshold_scale": 1.0})] == ["lr"]
    rate = load_space(None, {"optimizer": "adamw"})[0]
    assert (rate.name, rate.low, rate.high, rate.default) == ("lr", 1e-5, 1e-2, 5e-4)
    assert load_space(None, {"optimizer": "sgd"}) == load_space(None)


def test_values_are_read_back_as_they_were_written():
    assert parse_settings(as_settings(BEFORE)) == dict(BEFORE)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["optimizer"], "write it as NAME=VALUE"),
        (["optimiser=adamw"], "did you mean 'optimizer'"),
        (["optimizer=adam"], "unknown optimizer 'adam'"),
        (["weight_decay=much"], "'much' is no float"),
        (["weight_decay=-1"], "got -1.0"),
        (["square_box=yes"], "give true or false"),
        (["epochs=3"], "the study decides it"),
        (["warmup=0", "warmup=0.1"], "names warmup twice"),
    ],
)
def test_mistakes_are_one_line(settings, words):
    with pytest.raises(InputError, match=words) as error:
        parse_settings(settings)
    assert "\n" not in str(error.value)


def test_an_option_cannot_be_both_fixed_and_searched(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text("[weight_decay]\nlow = 1e-6\nhigh = 1e-2\n")
    with pytest.raises(InputError, match=r"\[weight_decay\]: --set fixes it"):
        load_space(str(path), {"weight_decay": 0.01})
