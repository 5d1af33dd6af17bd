"""Types and bounds of options are checked wherever the values come from."""

import pytest

from masll.common.errors import InputError
from masll.config import ModelConfig, TrainConfig


@pytest.mark.parametrize(
    ("config", "name", "value"),
    [
        (TrainConfig, "seed", 2**63),
        (TrainConfig, "seed", 1.0),
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
    ],
)
def test_a_value_of_another_type_empty_or_too_large_is_refused_by_name(config, name, value):
    with pytest.raises(InputError, match=name.replace("_", " ")):
        config(**{name: value})


def test_the_largest_seed_and_whole_numbers_for_shares_are_taken():
    assert TrainConfig(seed=2**63 - 1, lr=1).seed == 2**63 - 1
    assert ModelConfig(threshold_scale=1, weights=None).weights is None
