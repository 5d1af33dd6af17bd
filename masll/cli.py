"""What every command shares: options declared once as dataclass fields, errors in one line.

A command's options are the fields of a dataclass, made with :func:`option`. The command line,
``--help`` and the spec of a study are all derived from them.
"""

import argparse
import dataclasses
import difflib
import os
import shutil
import sys
import types
import typing
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from masll.errors import InputError

Options = TypeVar("Options")


def option(
    default: Any, help: str, *, choices: Collection[str] | None = None, metavar: str | None = None
) -> Any:
    """A dataclass field that is also a command-line option of the same name."""
    metadata = {"help": help, "choices": choices, "metavar": metavar}
    return dataclasses.field(default=default, metadata=metadata)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, with the nearest known name."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        prefix = "unrecognized arguments: "
        if message.startswith(prefix):
            unknown = message.removeprefix(prefix).split()[0]
            message = f"unknown option {unknown}{suggestion(unknown, self._known_options())}"
        print(f"error: {message}; see '{self.prog} --help'", file=sys.stderr)
        sys.exit(2)

    def _known_options(self) -> set[str]:
        known = set(self._option_string_actions)
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                for command in action.choices.values():
                    known |= command._known_options()
        return known


def suggestion(name: str, known: Collection[str]) -> str:
    """`` (did you mean 'x'?)`` with the nearest known name, or nothing when none is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""


def check_choice(thing: str, value: str, choices: Collection[str]) -> None:
    """Raise `InputError` unless `value` is one of `choices`."""
    if value not in choices:
        known = ", ".join(choices)
        raise InputError(f"unknown {thing} '{value}'{suggestion(value, choices)}; one of: {known}")


def check_writable(flag: str, folder: Path) -> None:
    """Raise `InputError` unless a folder can be written to, or made; changes nothing."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        why = "cannot be written to" if there.is_dir() else "is no folder"
        raise InputError(f"{flag} {folder}: {there} {why}; name another folder")


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
            settings["action"] = argparse.BooleanOptionalAction if field.default else "store_true"
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
    given = {field.name: values[field.name] for field in fields if field.name in values}
    for name, value in given.items():
        if isinstance(value, list):
            given[name] = tuple(value)
    return options(**given)


def python_command() -> str:
    """What a person types for this interpreter: `python`, or its path where that is another one."""
    here = Path(sys.executable).absolute()
    found = shutil.which("python")
    if found and Path(found).absolute().parent == here.parent:
        return "python"
    return str(here.relative_to(Path.cwd()) if here.is_relative_to(Path.cwd()) else here)


def run(main: Callable[[list[str] | None], int]) -> NoReturn:
    """Run a command: bad input is one line and status 2, Ctrl-C is status 130."""
    try:
        status = main(None)
        sys.stdout.flush()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        status = 130
    except BrokenPipeError:  # the reader of a pipe (head, less) has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    sys.exit(status)


def _plain_type(hint: Any) -> tuple[type, bool]:
    """(element type, repeated) of a field: ``int | None`` is int, ``tuple[str, ...]`` repeats."""
    if isinstance(hint, types.UnionType):
        hint = next(arm for arm in typing.get_args(hint) if arm is not type(None))
    if typing.get_origin(hint) is tuple:
        return typing.get_args(hint)[0], True
    return hint, False


def _shown_default(default: Any) -> str:
    if default is None:
        return ""
    shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
    return f" (default: {shown})"
