"""Options that a study fixes for all its trials: `--set optimizer=adamw weight_decay=0.01`."""

import typing
from collections.abc import Mapping, Sequence
from typing import Any

from masll.common.checks import suggestion
from masll.common.errors import InputError
from masll.config import BEFORE, ModelConfig, TrainConfig

# What has an option of its own in `tuning.search`, or is decided by the study.
DECIDED = frozenset(
    ("variant", "backbone", "pretrained", "weights", "image_size", "epochs", "batch_size", "seed")
)
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
    known = sorted(set(_TYPES) - DECIDED)
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise InputError(f"--set {setting} is no setting; write it as NAME=VALUE")
        if name in DECIDED:
            raise InputError(f"--set {setting}: the study decides it; see --help for its option")
        if name not in known:
            near = suggestion(name, known)
            raise InputError(f"--set {setting}: unknown option{near}; one of: {', '.join(known)}")
        if name in values:
            raise InputError(f"--set names {name} twice; name it once")
        values[name] = _value(setting, _TYPES[name], text)
    for config in (ModelConfig, TrainConfig):
        fields = typing.get_type_hints(config)
        config(**{name: value for name, value in values.items() if name in fields})
    return values


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
