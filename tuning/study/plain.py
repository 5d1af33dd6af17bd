"""Plain values of files that anybody may have spoilt: JSON, checked by a record's type hints."""

import collections.abc
import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from masll.common.storage import AnyPath

_MOST_BYTES = 2**26  # of a spec or of an unfinished trial; they have some kilobytes
_MOST = 2**63  # whole numbers stay below, as in a column
Record = TypeVar("Record")


def read_object(path: AnyPath) -> dict[str, Any]:
    """A JSON object from its file.

    Raises:
        OSError: it cannot be read.
        ValueError: it holds something else.
    """
    content = parsed(path.read_text(most=_MOST_BYTES))
    if not isinstance(content, dict):
        raise ValueError("it must hold a JSON object")
    return content


def parsed(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is none, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def filled(record: type[Record], values: object, **known: Any) -> Record:
    """A record with the values that are its own; others come from a later version.

    Args:
        known: values that come from elsewhere.

    Raises:
        ValueError: no mapping, a value of another type, or one that is missing.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"an object is expected, got {shown(values)}")
    hints = typing.get_type_hints(record)
    own = dict(known)
    for field in dataclasses.fields(record):  # type: ignore[arg-type]
        if field.name in values and field.name not in known:
            check_type(field.name, values[field.name], hints[field.name])
            value = values[field.name]
            own[field.name] = tuple(value) if isinstance(value, list) else value
        elif field.name not in own and field.default is field.default_factory:
            raise ValueError(f"{field.name} is missing")
    return record(**own)


def check_type(name: str, value: object, hint: Any) -> None:
    """Raise `ValueError` unless a value is what its type hint says."""
    if not _fits(value, hint):
        words = hint.__name__ if isinstance(hint, type) else str(hint).rpartition("abc.")[2]
        raise ValueError(f"{name} must be of type {words}, got {shown(value)}")


def shown(value: object) -> str:
    """A value as an error quotes it, however long it is."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _fits(value: Any, hint: Any) -> bool:
    origin, of = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (types.UnionType, typing.Union):
        return any(_fits(value, each) for each in of)
    if origin in (tuple, list):
        return isinstance(value, (tuple, list)) and all(_fits(each, of[0]) for each in value)
    if origin is collections.abc.Mapping:
        return isinstance(value, Mapping) and all(
            _fits(key, of[0]) and _fits(each, of[1]) for key, each in value.items()
        )
    if hint is float:
        return type(value) in (int, float) and abs(value) < math.inf
    if hint is int:
        return type(value) is int and -_MOST <= value < _MOST
    return type(value) is hint or (hint is types.NoneType and value is None)
