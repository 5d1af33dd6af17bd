"""A command: a parser whose errors are one line, and exit statuses in one place."""

import argparse
import gc
import importlib
import importlib.util
import io
import itertools
import os
import re
import shlex
import shutil
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from masll.common.checks import check_choice, suggestion
from masll.common.errors import DISK_TAKES_NO_MORE, InputError
from masll.common.escaping import for_terminal

# Of argparse, from Python 3.11 (choices quoted) on.
_CHOICE = re.compile(
    r"argument (?P<what>.+): invalid choice: '(?P<given>.*)' \(choose from (?P<known>.*)\)"
)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, with the nearest known name."""

    def __init__(self, **settings: Any) -> None:
        self._options: set[str] = set()
        self._commands: Any = None
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **settings)

    def add_argument(self, *names: Any, **settings: Any) -> argparse.Action:
        if settings.get("required"):
            settings["help"] = f"{settings['help']} (required)"
        action = super().add_argument(*names, **settings)
        self._options.update(action.option_strings)
        return action

    def add_subparsers(self, **settings: Any) -> Any:
        self._commands = super().add_subparsers(**settings)
        return self._commands

    def error(self, message: str) -> NoReturn:
        if choice := _CHOICE.fullmatch(message):
            # argparse lists the choices, and leaves it to the reader to find the one that was meant
            near = suggestion(choice["given"], re.findall(r"[\w.@-]+", choice["known"]))
            message = f"{choice['what']} '{choice['given']}'{near}; one of: {choice['known']}"
        prefix = "unrecognized arguments: "
        if message.startswith(prefix):
            unknown = message.removeprefix(prefix).split()[0]
            others = self.known_options() - {unknown}  # of another subcommand, perhaps
            message = f"unknown option {unknown}{suggestion(unknown, others)}"
        print(f"error: {message}; see '{self.prog} --help'", file=sys.stderr)
        sys.exit(2)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        given = list(sys.argv[1:] if args is None else args)
        for before, word in itertools.pairwise(["an argument", *given]):
            flag, equals, value = word.partition("=")
            if not word.strip() or (flag in self.known_options() and equals and not value):
                what = flag.strip() or (before if before.startswith("-") else "an argument")
                self.error(f"{what} is empty; give a value, or leave it out")
        return super().parse_known_args(given, namespace)

    def known_options(self) -> set[str]:
        """Every option of the command and of its subcommands."""
        commands = [] if self._commands is None else self._commands.choices.values()
        return self._options.union(*(command.known_options() for command in commands))


def need_extra(extra: str, *modules: str) -> None:
    """Where a package begins as a command (`python -m`), ask for an extra that is not installed.

    An import from elsewhere goes on: what it uses may be there.

    Args:
        extra: of pyproject.toml.
        modules: some that it brings.
    """
    # What Python puts there while it looks for the module to run, or a script of ours.
    if sys.argv[:1] != ["-m"] and not Path(sys.argv[0]).name.startswith("masll-"):
        return
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        wanted = f"pip install 'masll-lab[{extra}]'"
        print(f"error: {', '.join(missing)} not installed; {wanted} brings it", file=sys.stderr)
        sys.exit(2)


def commands(
    package: str, what: str, known: Mapping[str, str]
) -> Callable[[list[str] | None], int]:
    """The main function of a package: says which commands there are, and runs one of them.

    Args:
        package: that `python -m` runs.
        what: it is, in a line.
        known: what each command does, in a line, by its name; that of its module in the package.
    """

    def main(arguments: list[str] | None = None) -> int:
        words = sys.argv[1:] if arguments is None else arguments
        if not words or words[0] in ("-h", "--help"):
            print(f"{what}:")
            for name, does in known.items():
                print(f"  python -m {package}.{name:<{max(map(len, known))}}  {does}")
            print("\nEach has --help, with examples.")
            return 0
        check_choice("command", words[0], known)
        module = importlib.import_module(f"{package}.{words[0]}")
        if hasattr(module, "__path__"):  # a package, as masll.data is one
            module = importlib.import_module(f"{package}.{words[0]}.__main__")
        status: int = module.main(words[1:])
        return status

    return main


def command_line(module: str, *words: object) -> str:
    """What a person types to run a module of ours, quoted for a shell.

    >>> command_line("tuning.status", "my studies/paper").partition(" -m ")[2]
    "tuning.status 'my studies/paper'"
    """
    return f"{shlex.quote(python_command())} -m {module} {shlex.join(map(str, words))}"


def python_command() -> str:
    """What a person types for this interpreter: `python`, or its path where that is another one."""
    here = Path(sys.executable).absolute()
    python = shutil.which("python")
    if python and Path(python).absolute().parent == here.parent:
        return "python"
    return str(here.relative_to(Path.cwd()) if here.is_relative_to(Path.cwd()) else here)


def run(main: Callable[[list[str] | None], int]) -> NoReturn:
    """Run a command: bad input is one line and status 2, Ctrl-C is status 130."""
    # Pillow's, from 89 megapixels on: large scans are meant. It refuses those of 179 and more.
    warnings.filterwarnings("ignore", message="Image size .* exceeds limit")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that the encoding of a pipe or terminal lacks ends no command.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = main(None)
        sys.stdout.flush()
    except InputError as error:
        print(f"error: {for_terminal(str(error))}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        status = 130
    except BrokenPipeError:  # the reader of a pipe (head, less) has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except OSError as error:
        if error.errno not in DISK_TAKES_NO_MORE:
            raise
        where = error.filename or "a file"
        reason = f"cannot write {where}: {error.strerror}; make room, or name another folder"
        print(f"error: {for_terminal(reason)}", file=sys.stderr)
        status = 2
    gc.freeze()  # or Python looks through PyTorch's million objects as it ends: two seconds
    sys.exit(status)
