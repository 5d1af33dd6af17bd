"""Reading a search space from a TOML file, and its ranges in Optuna's terms.

Names are the field names of `ModelConfig` and `TrainConfig`, whose defaults are the paper's
setting (threshold scale 1, the default learning rate), so that the first trial of an arm needs
nothing but the space.
"""

import dataclasses
import typing
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from masll.common.checks import suggestion
from masll.common.errors import InputError
from masll.config import ModelConfig, TrainConfig
from masll.variants import VARIANTS, describe
from tuning.recipe import MODEL_OPTIONS
from tuning.settings import DECIDED
from tuning.study.space import LEARNING_RATES, Parameter, Space
from tuning.tables import read_tables

# What the study itself decides is not up for search; a batch size is.
_FIXED = (DECIDED - {"batch_size"}) | {"compile", "box"}
_FIELDS = {
    field.name: field
    for config in (ModelConfig, TrainConfig)
    for field in dataclasses.fields(config)
    if field.name not in _FIXED
}
_NOTHING: Mapping[str, Any] = MappingProxyType({})
SLL_ONLY = {
    *("threshold_scale", "map_size", "largest_component", "box_padding", "min_box_side"),
    *("square_box", "shared_backbone", "box"),
}
GATE_ONLY = {"gate_bias", "gate_scaled"}
_LOCALIZING = tuple(variant for variant in VARIANTS if describe(variant).localizes)
_GATING = tuple(variant for variant in VARIANTS if describe(variant).gates)
DEFAULT_SPACE: Space = (
    LEARNING_RATES["sgd"],
    Parameter("threshold_scale", "float", 0.5, 2.0, default=1.0, variants=_LOCALIZING),
)


def distribution(parameter: Parameter) -> BaseDistribution:
    """The range of a parameter in Optuna's terms.

    Raises:
        ValueError, TypeError: a range that makes no sense.
    """
    if parameter.type == "choice":
        return CategoricalDistribution(parameter.choices)
    if parameter.low is None or parameter.high is None:
        raise ValueError("a range needs 'low' and 'high'")
    if parameter.type == "int":
        return IntDistribution(int(parameter.low), int(parameter.high), log=parameter.log)
    return FloatDistribution(parameter.low, parameter.high, log=parameter.log)


def load_space(path: str | None, fixed: Mapping[str, Any] = _NOTHING) -> Space:
    """The default space, with the tables of a TOML file added or put in its place.

    Each table is named after a parameter and has `type` (float, int or choice), `low`, `high`
    and `log`, or `choices`; `default` and `variants` if the library's default and all variants
    are not meant.

    Args:
        fixed: values of options that are not searched. With the optimizer fixed to AdamW the
            learning rate has its range and default.

    Raises:
        InputError: unreadable file, unknown parameter, one that is fixed, or a range that makes no
            sense.
    """
    space = {parameter.name: parameter for parameter in DEFAULT_SPACE}
    space["lr"] = LEARNING_RATES[fixed.get("optimizer", TrainConfig.optimizer)]
    tables = {} if path is None else read_tables("--space", path)
    for name, table in tables.items():
        if name in fixed:
            raise InputError(f"{path}, [{name}]: --set fixes it; search it, or fix it")
        space[name] = _parameter(str(path), name, table, space.get(name))
    return tuple(parameter for name, parameter in space.items() if name not in fixed)


def _parameter(path: str, name: str, table: Any, known: Parameter | None) -> Parameter:
    where = f"{path}, [{name}]"
    if name not in _FIELDS:
        known_names = ", ".join(sorted(_FIELDS))
        raise InputError(
            f"{where}: unknown parameter{suggestion(name, _FIELDS)}; searchable are {known_names}"
        )
    if not isinstance(table, dict):
        raise InputError(f"{path}: '{name}' must be a table, [{name}]")
    fields = {field.name for field in dataclasses.fields(Parameter)} - {"name"}
    for key in table:
        if key not in fields:
            raise InputError(f"{where}: unknown key '{key}'{suggestion(key, fields)}")
    values: dict[str, Any] = {
        key: tuple(v) if isinstance(v, list) else v for key, v in table.items()
    }
    having = _LOCALIZING if name in SLL_ONLY else _GATING if name in GATE_ONLY else VARIANTS
    base = known or Parameter(name, "float", default=_FIELDS[name].default, variants=having)
    parameter = dataclasses.replace(base, **values)
    if not isinstance(parameter.variants, tuple):
        raise InputError(f"{where}: variants must be a list, got '{parameter.variants}'")
    for variant in parameter.variants:
        if variant not in VARIANTS:
            raise InputError(f"{where}: unknown variant '{variant}'{suggestion(variant, VARIANTS)}")
        if variant not in having:
            raise InputError(f"{where}: {variant} has no such part; leave it out of 'variants'")
    if parameter.type not in ("float", "int", "choice"):
        raise InputError(f"{where}: type must be float, int or choice, got '{parameter.type}'")
    _check_values(where, parameter)
    try:
        distribution(parameter)
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: {error}") from error
    if parameter.default not in parameter:
        raise InputError(
            f"{where}: the first trial's value {parameter.default!r} is outside; give a 'default'"
        )
    return parameter


def _check_values(where: str, parameter: Parameter) -> None:
    """Raise `InputError` for a bound or choice that the library itself would refuse in a trial."""
    config: Any = ModelConfig if parameter.name in MODEL_OPTIONS else TrainConfig
    kind = typing.get_type_hints(config)[parameter.name]
    if parameter.type == "float" and kind is not float:
        raise InputError(f"{where}: type must be {'int' if kind is int else 'choice'}, got 'float'")
    if type(parameter.log) is not bool:
        raise InputError(f"{where}: log must be true or false, got {parameter.log!r}")
    if len(set(parameter.choices)) < len(parameter.choices):
        raise InputError(f"{where}: one of the choices stands twice; name each once")
    for value in (*(parameter.choices or (parameter.low, parameter.high)), parameter.default):
        if value is None:  # a bound that is missing, which the distribution says
            continue
        fits = type(value) is kind or (kind is float and type(value) is int)
        if not fits or (parameter.type == "int" and type(value) is not int):
            wanted = "int" if parameter.type == "int" else kind.__name__
            raise InputError(f"{where}: {value!r} must be of type {wanted}")
        try:
            config(**{parameter.name: value})
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
