"""The search space: which hyperparameters are searched, over what range, in which variants.

Names are the field names of `ModelConfig` and `TrainConfig`, whose defaults are the paper's
setting (threshold scale 1, the default learning rate), so that the first trial of an arm needs
nothing but the space.
"""

import dataclasses
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from masll.cli import suggestion
from masll.config import ModelConfig, TrainConfig
from masll.errors import InputError
from masll.variants import PARTS, VARIANTS

# What the study itself decides is not up for search.
_FIXED = {
    *("variant", "backbone", "pretrained", "weights", "image_size", "epochs", "seed", "compile"),
}
_FIELDS = {
    field.name: field
    for config in (ModelConfig, TrainConfig)
    for field in dataclasses.fields(config)
    if field.name not in _FIXED
}
_MODEL_FIELDS = {field.name for field in dataclasses.fields(ModelConfig)}


@dataclass(frozen=True)
class Parameter:
    """One searched hyperparameter."""

    name: str
    type: str  # float, int or choice
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[Any, ...] = ()
    default: Any = None  # the first trial's value; the library's default unless given
    variants: tuple[str, ...] = VARIANTS  # where it is searched

    @property
    def distribution(self) -> BaseDistribution:
        """The range in Optuna's terms; raises ValueError or TypeError where it makes no sense."""
        if self.type == "choice":
            return CategoricalDistribution(self.choices)
        if self.low is None or self.high is None:
            raise ValueError("a range needs 'low' and 'high'")
        if self.type == "int":
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)

    def shown(self) -> str:
        """Name and range, as a person would write them."""
        if self.type == "choice":
            return f"{self.name} in {{{', '.join(map(str, self.choices))}}}"
        return f"{self.name} {self.low:g} to {self.high:g}{' log' * self.log}"

    def as_dict(self) -> dict[str, Any]:
        """As it stands in the spec of a study and could stand in a TOML file."""
        return {key: value for key, value in dataclasses.asdict(self).items() if value is not None}


Space = tuple[Parameter, ...]

_SLL_ONLY = {
    *("threshold_scale", "map_size", "largest_component", "box_padding", "min_box_side"),
    *("square_box", "shared_backbone"),
}
_LOCALIZING = tuple(variant for variant in VARIANTS if PARTS[variant].localizes)
DEFAULT_SPACE: Space = (
    Parameter("lr", "float", 1e-4, 1e-1, log=True, default=_FIELDS["lr"].default),
    Parameter("threshold_scale", "float", 0.5, 2.0, default=1.0, variants=_LOCALIZING),
)


def load_space(path: str | None) -> Space:
    """The default space, with the tables of a TOML file added or put in its place.

    Each table is named after a parameter and has `type` (float, int or choice), `low`, `high`
    and `log`, or `choices`; `default` and `variants` if the library's default and all variants
    are not meant.

    Raises:
        InputError: unreadable file, unknown parameter, or a range that makes no sense.
    """
    if path is None:
        return DEFAULT_SPACE
    try:
        tables = tomllib.loads(Path(path).read_text())
    except OSError as error:
        raise InputError(f"cannot read --space {path}: {error.strerror}") from error
    except ValueError as error:  # no TOML, or no UTF-8
        raise InputError(f"--space {path} is no TOML file: {error}") from error
    space = {parameter.name: parameter for parameter in DEFAULT_SPACE}
    for name, table in tables.items():
        space[name] = _parameter(path, name, table, space.get(name))
    return tuple(space.values())


def _parameter(path: str, name: str, table: Any, known: Parameter | None) -> Parameter:
    where = f"{path}, [{name}]"
    if name not in _FIELDS:
        known_names = ", ".join(sorted(_FIELDS))
        raise InputError(f"{where}: unknown parameter{suggestion(name, _FIELDS)}; "
                         f"searchable are {known_names}")  # fmt: skip
    if not isinstance(table, dict):
        raise InputError(f"{path}: '{name}' must be a table, [{name}]")
    fields = {field.name for field in dataclasses.fields(Parameter)} - {"name"}
    for key in table:
        if key not in fields:
            raise InputError(f"{where}: unknown key '{key}'{suggestion(key, fields)}")
    values: dict[str, Any] = {
        key: tuple(v) if isinstance(v, list) else v for key, v in table.items()
    }
    base = known or Parameter(name, "float", default=_FIELDS[name].default,
                              variants=_LOCALIZING if name in _SLL_ONLY else VARIANTS)  # fmt: skip
    parameter = dataclasses.replace(base, **values)
    if not isinstance(parameter.variants, tuple):
        raise InputError(f"{where}: variants must be a list, got '{parameter.variants}'")
    for variant in parameter.variants:
        if variant not in VARIANTS:
            raise InputError(f"{where}: unknown variant '{variant}'{suggestion(variant, VARIANTS)}")
    if parameter.type not in ("float", "int", "choice"):
        raise InputError(f"{where}: type must be float, int or choice, got '{parameter.type}'")
    _check_values(where, parameter)
    try:
        distribution = parameter.distribution
        inside = distribution._contains(distribution.to_internal_repr(parameter.default))
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: {error}") from error
    if not inside:
        raise InputError(
            f"{where}: the first trial's value {parameter.default!r} is outside; give a 'default'"
        )
    return parameter


def _check_values(where: str, parameter: Parameter) -> None:
    """Raise `InputError` for a bound or choice that the library itself would refuse in a trial."""
    config: Any = ModelConfig if parameter.name in _MODEL_FIELDS else TrainConfig
    kind = typing.get_type_hints(config)[parameter.name]
    if parameter.type == "float" and kind is not float:
        raise InputError(f"{where}: type must be {'int' if kind is int else 'choice'}, got 'float'")
    for value in parameter.choices or (parameter.low, parameter.high):
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


def of_variant(space: Space, variant: str) -> Space:
    """The parameters that are searched for a variant."""
    return tuple(parameter for parameter in space if variant in parameter.variants)


def split_params(params: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Hyperparameters as keyword arguments of `ModelConfig` and of `TrainConfig`."""
    model = {key: value for key, value in params.items() if key in _MODEL_FIELDS}
    return model, {key: value for key, value in params.items() if key not in _MODEL_FIELDS}
