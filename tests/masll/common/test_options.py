"""Types and bounds of options are checked wherever the values come from."""

import pytest

from masll.common.errors import InputError
from masll.config import ModelConfig, TrainConfig
from masll.data.options import DataOptions
from tuning.options import SearchOptions, parse_time, resolve


@pytest.mark.parametrize(
    ("config", "name", "value"),
    [
        (TrainConfig, "seed", 2**63),
        (TrainConfig, "seed", 1.0),
        (TrainConfig, "seed", -1),
        (TrainConfig, "epochs", 10**20),
        (TrainConfig, "batch_size", "8"),
        (TrainConfig, "epochs", True),
        (TrainConfig, "lr", "x"),
        (ModelConfig, "image_size", "64"),
        (ModelConfig, "image_size", 10**6),
        (ModelConfig, "backbone", ""),
        (ModelConfig, "backbone", 5),
        (ModelConfig, "backbone", None),
        (ModelConfig, "weights", ""),
        (ModelConfig, "largest_component", "no"),
        (ModelConfig, "box_padding", "x"),
        (ModelConfig, "box_padding", 1e308),
        (ModelConfig, "min_box_side", float("nan")),
        (ModelConfig, "map_size", 3_000_000),
        (ModelConfig, "box", "left"),
        (DataOptions, "source_size", 0),
        (DataOptions, "source_size", 10**9),
        (DataOptions, "fit", "../../x"),
        (DataOptions, "data", ""),
    ],
)
def test_a_value_of_another_type_empty_or_too_large_is_refused_by_name(config, name, value):
    with pytest.raises(InputError, match=name.replace("_", " ")):
        config(**{name: value})


def test_the_largest_seed_and_whole_numbers_for_shares_are_taken():
    assert TrainConfig(seed=2**63 - 1, lr=1).seed == 2**63 - 1
    assert ModelConfig(threshold_scale=1, weights=None).weights is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trials", 10**20),
        ("seeds", 0),
        ("seed", 2**63 - 1),
        ("finalists", -1),
        ("source_size", 0),
        ("cpus_per_trial", 10**6),
        ("num_gpus", -1),
        ("study", ""),
        ("space", ""),
        ("sampler", "dice"),
        ("variants", "baseline"),
        ("backbones", ("",)),
    ],
)
def test_a_search_refuses_the_same_before_it_looks_at_anything(name, value):
    with pytest.raises(InputError, match=name.replace("_", " ").rstrip("s")):
        resolve({name: value})


def test_a_study_may_have_any_seed_from_which_its_confirm_trials_can_count_up():
    assert isinstance(resolve({"seed": 2**62}), SearchOptions)


@pytest.mark.parametrize("text", ["0", "0.0000001s", "9" * 400 + "d", "nan", "inf", "-1h", "1w"])
def test_a_duration_is_a_second_at_least_and_ten_years_at_most(text):
    with pytest.raises(InputError, match="--time-budget"):
        parse_time(text)
    assert (parse_time("1s"), parse_time("3650d")) == (1, 3650 * 86400)
