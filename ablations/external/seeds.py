"""Whether two models differ in their seed only, by what their folders say of them."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from masll.common.errors import InputError
from masll.common.storage import AnyPath
from masll.config import BEFORE, ModelConfig

# What a config.json of an earlier version need not say.
_UNSAID = {**{each.name: each.default for each in fields(ModelConfig)}, "fit": "squash", **BEFORE}


def check_seeds(
    first: AnyPath, expected: Mapping[str, Any], other: AnyPath, config: Mapping[str, Any]
) -> None:
    """Raise `InputError` unless two models have one configuration, as seeds of one arm have.

    Args:
        first, other: their folders.
        expected, config: what config.json says in either; it says nothing of the seed.
    """
    one, two = ({**_UNSAID, **each} for each in (expected, config))
    for name in sorted(one.keys() | two.keys()):
        if one.get(name) != two.get(name):
            raise InputError(
                f"{other} is no other seed of {first}: {name} is {two.get(name)}, not "
                f"{one.get(name)}; evaluate models that differ in more than the seed apart, each "
                "with its own --out"
            )
