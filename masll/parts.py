"""A part of the network that a user brings in one Python file: a fusion, a localizer, or both.

The file has one or both of two classes, and a dataclass of their options if they have any:

    class Fusion(torch.nn.Module):     # in place of masll.fusion.WeightedFeatureIntegration
        def __init__(self, channels: int, options: Options): ...
        def forward(self, features, gate=None): ...  # (B, C) -> (B, any), and the gate or None

    class Localizer(torch.nn.Module):  # in place of masll.localization.localize
        def __init__(self, options: Options): ...
        def forward(self, features, scale, source_size, rule): ...  # -> Localization

Without a dataclass `Options` neither gets `options`. A part travels as its source, so that workers
on other machines have it; it runs only where a user names its file.
"""

import dataclasses
import functools
import hashlib
import importlib.util
import linecache
import re
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from masll.common.checks import suggestion
from masll.common.errors import InputError

ENTRY_POINTS = "masll.parts"  # the group in which packages offer modules of parts
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_KINDS = {"Fusion": "fusion", "Localizer": "localizer"}


@dataclass(frozen=True)
class Part:
    """A user's file, and the options that its classes are made with.

    Hashes and compares by what it does: the source and the options.
    """

    name: str
    source: str = field(repr=False)
    path: str = field(compare=False)  # where it was read, for messages and debuggers
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def sha256(self) -> str:
        """Of the source."""
        return hashlib.sha256(self.source.encode()).hexdigest()

    @property
    def replaces(self) -> tuple[str, ...]:
        """What it takes the place of: `fusion`, `localizer`, or both."""
        return tuple(kind for name, kind in _KINDS.items() if hasattr(self._module, name))

    @property
    def about(self) -> str:
        """The first line of the file's docstring, without its full stop; empty without one."""
        lines = (self._module.__doc__ or "").strip().splitlines()
        return lines[0].rstrip(".") if lines else ""

    def as_dict(self) -> dict[str, Any]:
        """As it stands in a model's config.json; its source lies beside it."""
        return {"name": self.name, "options": dict(self.options), "sha256": self.sha256}

    def with_options(self, options: Mapping[str, Any]) -> Self:
        """The same file with other options.

        Raises:
            InputError: it has no such option, or refuses the value.
        """
        part = dataclasses.replace(self, options=dict(options))
        part._options()
        return part

    def make(self, kind: str, *arguments: Any) -> Any:
        """A new object of one of its classes.

        Args:
            kind: Fusion or Localizer.
            arguments: before its options, if it has any.

        Raises:
            InputError: the class raised something; said in one line.
        """
        options = self._options()
        with self.tried(kind):
            return getattr(self._module, kind)(*arguments, *options)

    def tried(self, what: str) -> "Tried":
        """A context in which what a user's code raises becomes an `InputError` of one line."""
        return Tried(f"{self.path}: {what}")

    @property
    def _module(self) -> types.ModuleType:
        return _execute(self.name, self.path, self.source)

    def _options(self) -> tuple[Any, ...]:
        """What its classes are given after their own arguments: its options, if it has any."""
        kind = getattr(self._module, "Options", None)
        if kind is None:
            if self.options:
                raise InputError(
                    f"{self.path}: no dataclass Options, so {min(self.options)} means nothing"
                )
            return ()
        known = [each.name for each in dataclasses.fields(kind)]
        for name in self.options:
            if name not in known:
                near = suggestion(name, known)
                raise InputError(
                    f"{self.path}: Options has no {name}{near}; one of: {', '.join(known)}"
                )
        with self.tried("Options"):
            return (kind(**self.options),)


def load_part(named: str) -> Part:
    """The part that a user names.

    Args:
        named: a Python file, or the name of an entry point in the group `masll.parts`, which says
            a module. The part's name is that of the file or of the entry point, with dashes.

    Raises:
        InputError: no such file or entry point, one that cannot be run, or without a class.
    """
    path = Path(named) if named.endswith(".py") else _installed(named)
    name = (path.stem if named.endswith(".py") else named).lower().replace("_", "-")
    if not _NAME.fullmatch(name):
        raise InputError(f"--variant-from {named}: name it with letters, digits and _")
    try:
        source = path.read_text()
    except OSError as error:
        raise InputError(f"cannot read --variant-from {named}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"--variant-from {named} is no Python file: {error}") from error
    part = Part(name, source, str(path.resolve()))
    if not part.replaces:
        raise InputError(f"{path}: no class Fusion or Localizer; docs/parts.md shows one")
    options = getattr(part._module, "Options", None)
    if options is not None and not dataclasses.is_dataclass(options):
        raise InputError(f"{path}: Options must be a dataclass")
    part.with_options({})
    return part


class Tried:
    """What a user's code raises, as one line that names the place."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if isinstance(error, InputError):
            raise InputError(f"{self.what}: {error}") from error
        if isinstance(error, Exception):
            first = str(error).strip().partition("\n")[0]
            raise InputError(f"{self.what} raised {type(error).__name__}: {first}") from error


@functools.cache
def _execute(name: str, path: str, source: str) -> types.ModuleType:
    """The module of a source; run once in a process, though other machines lack its file."""
    module = types.ModuleType(f"masll_part_{name.replace('-', '_')}")
    module.__file__ = path
    sys.modules[module.__name__] = module  # dataclasses look up their module
    if not Path(path).exists():  # so that tracebacks show its lines all the same
        linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
    with Tried(path):
        exec(compile(source, path, "exec"), vars(module))
    return module


def _installed(name: str) -> Path:
    """The file of the module that an installed package offers under a name."""
    from importlib.metadata import entry_points  # a quarter of what `--help` takes

    found = entry_points(group=ENTRY_POINTS)
    if name not in found.names:
        offered = f"; installed: {', '.join(sorted(found.names))}" if found.names else ""
        raise InputError(f"--variant-from {name} is no .py file and no installed part{offered}")
    spec = importlib.util.find_spec(found[name].module)
    if spec is None or spec.origin is None:
        raise InputError(f"--variant-from {name}: cannot find module {found[name].module}")
    return Path(spec.origin)
