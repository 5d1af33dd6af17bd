"""Options that a study fixes for all its trials: `--set optimizer=adamw weight_decay=0.01`."""

import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from masll.common.checks import suggestion
from masll.common.errors import InputError
from masll.config import BEFORE, ModelConfig, TrainConfig

# What has an option of its own in `tuning.search`, or is decided by the study.
DECIDED = frozenset(
    ("variant", "fusion", "localizer", "backbone", "pretrained", "weights", "image_size")
) | {"epochs", "batch_size", "seed"}
_TYPES = typing.get_type_hints(ModelConfig) | typing.get_type_hints(TrainConfig)
_TRUTH = {"true": True, "false": False}


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Values by the names of fields of `ModelConfig` and `TrainConfig`.

    >>> parse_settings(["optimizer=adamw", "weight_decay=0.01", "shared_backbone=true"])
    {'optimizer': 'adamw', 'weight_decay': 0.01, 'shared_backbone': True}

    Args:
        settings: each as NAME=VALUE.

    Raises:
        InputError: another form, an unknown name, or a value that the library refuses.
    """
    values: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise InputError(f"--set {setting} is no setting; write it as NAME=VALUE")
        check_name(f"--set {setting}", name)
        if name in values:
            raise InputError(f"--set names {name} twice; name it once")
        values[name] = _value(setting, _TYPES[name], text)
    check_values(values)
    return values


def check_name(where: str, name: str, decided: Collection[str] = DECIDED) -> None:
    """Raise `InputError` unless a name is that of an option that can be fixed.

    Args:
        where: it was said, for the message.
        decided: options that cannot, as the study decides them.
    """
    known = sorted(set(_TYPES) - set(decided))
    if name in decided:
        raise InputError(f"{where}: the study decides it; see --help for its option")
    if name not in known:
        near = suggestion(name, known)
        raise InputError(f"{where}: unknown option{near}; one of: {', '.join(known)}")


def typed(where: str, name: str, value: Any) -> Any:
    """A value of a TOML file as its option has it: a whole number may stand for a float.

    Raises:
        InputError: it is of another type.
    """
    kind = _TYPES[name]
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise InputError(f"{where}: {value!r} must be of type {kind.__name__}")
    return value


def check_values(values: Mapping[str, Any]) -> None:
    """Raise `InputError` for values that the library refuses."""
    for config in (ModelConfig, TrainConfig):
        fields = typing.get_type_hints(config)
        config(**{name: value for name, value in values.items() if name in fields})


def as_settings(values: Mapping[str, Any]) -> tuple[str, ...]:
    """What `parse_settings` reads: NAME=VALUE of each."""
    return tuple(f"{name}={str(value).lower()}" for name, value in values.items())


# A study of an earlier version goes on as it began.
SETTINGS_BEFORE = as_settings(BEFORE)


def _value(setting: str, kind: type, text: str) -> Any:
    if kind is bool:
        if text not in _TRUTH:
            raise InputError(f"--set {setting}: give true or false")
        return _TRUTH[text]
    try:
        return kind(text)
    except ValueError as error:
        raise InputError(f"--set {setting}: '{text}' is no {kind.__name__}") from error
