"""Options declared once, as fields of a dataclass.

A command's options are the fields of a dataclass, made with :func:`option`. The command line,
``--help`` and the spec of a study are all derived from them.
"""

import argparse
import dataclasses
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

from masll.common.checks import check_choice
from masll.common.errors import InputError

Options = TypeVar("Options")


def option(
    default: Any,
    help: str,
    *,
    choices: Collection[str] | None = None,
    metavar: str | None = None,
    least: int | None = None,
    most: int | None = None,
) -> Any:
    """A dataclass field that is also a command-line option of the same name.

    Args:
        least, most: the smallest and the largest value that `check_fields` lets pass.
    """
    metadata = {"help": help, "choices": choices, "metavar": metavar, "least": least, "most": most}
    return dataclasses.field(default=default, metadata=metadata)


def add_options(
    parser: argparse.ArgumentParser,
    options: type,
    *,
    skip: Sequence[str] = (),
    suppress_defaults: bool = False,
) -> None:
    """Add every field of the dataclass `options` that was made by :func:`option`.

    Args:
        skip: fields to leave out.
        suppress_defaults: leave what is not given out of the parsed result.
    """
    hints = typing.get_type_hints(options)
    for field in dataclasses.fields(options):
        if "help" not in field.metadata or field.name in skip:
            continue
        hint, repeated = _plain_type(hints[field.name])
        flag = "--" + field.name.replace("_", "-")
        help_text = field.metadata["help"].replace("%", "%%")
        settings: dict[str, Any] = {"dest": field.name}
        settings["default"] = argparse.SUPPRESS if suppress_defaults else field.default
        if hint is bool:
            settings["action"] = (
                "store_true" if field.default is False else argparse.BooleanOptionalAction
            )
            settings["help"] = help_text
        else:
            settings["type"] = hint
            settings["choices"] = field.metadata["choices"]
            settings["metavar"] = field.metadata["metavar"] or (
                None if field.metadata["choices"] else {int: "N", float: "F"}.get(hint, "NAME")
            )
            settings["help"] = help_text + _shown_default(field.default)
            if repeated:
                settings["nargs"] = "+"
        parser.add_argument(flag, **settings)


def options_from(namespace: argparse.Namespace, options: type[Options]) -> Options:
    """The dataclass `options` filled from a parsed command line."""
    values = vars(namespace)
    fields = dataclasses.fields(options)  # type: ignore[arg-type]
    known = {field.name: values[field.name] for field in fields if field.name in values}
    for name, value in known.items():
        if isinstance(value, list):
            known[name] = tuple(value)
    return options(**known)


def check_fields(options: Any) -> None:
    """Raise `InputError` for an option of another type, empty, out of bounds or of its choices.

    A whole number may stand for a float, and None for what has None as its default.
    """
    hints = typing.get_type_hints(type(options))
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if "help" not in field.metadata or (value is None and field.default is None):
            continue
        name = field.name.replace("_", " ")
        kind, repeated = _plain_type(hints[field.name])
        if repeated and not isinstance(value, (list, tuple)):
            raise InputError(f"{name} must be a list, got {value!r}")
        for each in value if repeated else (value,):
            _check_value(name, each, kind, field.metadata)


def _check_value(name: str, value: Any, kind: type, metadata: Mapping[str, Any]) -> None:
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise InputError(f"{name} must be of type {kind.__name__}, got {value!r}")
    if value == "":
        raise InputError(f"{name} is empty; give a value, or leave it out")
    least, most = metadata["least"], metadata["most"]
    if (least is not None and not value >= least) or (most is not None and not value <= most):
        bounds = (
            f"from {least} to {most}"
            if None not in (least, most)
            else (f"{least} or more" if most is None else f"{most} at most")
        )
        raise InputError(f"{name} must be {bounds}, got {value}")
    if metadata["choices"]:
        check_choice(name, str(value), metadata["choices"])


def _plain_type(hint: Any) -> tuple[type, bool]:
    """(element type, repeated) of a field: ``int | None`` is int, ``tuple[str, ...]`` repeats."""
    if isinstance(hint, types.UnionType):
        hint = next(arm for arm in typing.get_args(hint) if arm is not type(None))
    if typing.get_origin(hint) is tuple:
        return typing.get_args(hint)[0], True
    return hint, False


def _shown_default(default: Any) -> str:
    if default in (None, ()):
        return ""
    shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
    return f" (default: {shown})"
