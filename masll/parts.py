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
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from masll.common.checks import suggestion
from masll.common.errors import InputError

if TYPE_CHECKING:
    from torch import nn

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
    def replaces(self) -> frozenset[str]:
        """What it takes the place of: `fusion`, `localizer`, or both."""
        return frozenset(kind for name, kind in _KINDS.items() if hasattr(self._module, name))

    @property
    def about(self) -> str:
        """The first line of the file's docstring, without its full stop; empty without one."""
        lines = (self._module.__doc__ or "").strip().splitlines()
        return lines[0].rstrip(".") if lines else ""

    def as_dict(self) -> dict[str, Any]:
        """As it stands in a model's config.json, beside which its source lies."""
        return {"name": self.name, "options": dict(self.options), "sha256": self.sha256}

    def with_options(self, options: Mapping[str, Any]) -> Self:
        """The same file with other options.

        Raises:
            InputError: it has no such option, or refuses the value.
        """
        part = dataclasses.replace(self, options=dict(options))
        part._options()
        return part

    def fusion(self, channels: int) -> "tuple[nn.Module, int]":
        """A new fusion, and how many features it hands to the classifier.

        Args:
            channels: C, the length of F = concat(g, l) (eq. 3), or of g or l alone.

        Raises:
            InputError: it cannot be made, or has another interface; said in one line.
        """
        import torch

        made: nn.Module = self._make("Fusion", channels)
        with self._tried("Fusion.forward"), torch.no_grad():
            training, _ = made.training, made.eval()
            result = made(torch.zeros(2, channels))
            made.train(training)
        fits = isinstance(result, tuple) and len(result) == 2
        if fits:
            features, gate = result
            fits = _is_table(features) and (gate is None or gate.shape == (2, channels))
        if not fits:
            raise InputError(
                f"{self.path}: Fusion.forward must return (features, gate): features of (B, any), "
                f"and a gate of (B, C) or None; got {_shape(result)} for (2, {channels})"
            )
        return made, features.shape[1]

    def localizer(self, channels: int) -> "nn.Module":
        """A new localizer.

        Args:
            channels: K of the features that it will see.

        Raises:
            InputError: it cannot be made, or has another interface; said in one line.
        """
        import torch

        from masll.localization import PAPER, Localization

        made: nn.Module = self._make("Localizer")
        with self._tried("Localizer.forward"), torch.no_grad():
            found = made(torch.zeros(2, channels, 3, 3), 1.0, 96, PAPER)
        if not (
            isinstance(found, Localization)
            and found.boxes.shape == (2, 4)
            and found.boxes.dtype == torch.int64
            and found.activation_map.ndim == 3
            and found.fallback.shape == (2,)
        ):
            raise InputError(
                f"{self.path}: Localizer.forward must return a masll.localization.Localization: "
                "boxes of (B, 4) int64, activation_map of (B, H, W), fallback of (B,); got "
                f"{_shape(found)}"
            )
        return made

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
        with self._tried("Options"):
            return (kind(**self.options),)

    def _make(self, kind: str, *arguments: Any) -> Any:
        options = self._options()
        with self._tried(kind):
            return getattr(self._module, kind)(*arguments, *options)

    def _tried(self, what: str) -> "_Tried":
        return _Tried(f"{self.path}: {what}")


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


class _Tried:
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
    with _Tried(path):
        exec(compile(source, path, "exec"), vars(module))
    return module


def _installed(name: str) -> Path:
    """The file of the module that an installed package offers under a name."""
    found = entry_points(group=ENTRY_POINTS)
    if name not in found.names:
        offered = f"; installed: {', '.join(sorted(found.names))}" if found.names else ""
        raise InputError(f"--variant-from {name} is no .py file and no installed part{offered}")
    spec = importlib.util.find_spec(found[name].module)
    if spec is None or spec.origin is None:
        raise InputError(f"--variant-from {name}: cannot find module {found[name].module}")
    return Path(spec.origin)


def _is_table(features: Any) -> bool:
    return getattr(features, "ndim", 0) == 2 and len(features) == 2


def _shape(result: Any) -> str:
    """What something is, for a message: shapes of tensors, types of everything else."""
    if isinstance(result, tuple):
        return f"({', '.join(map(_shape, result))})"
    shape = getattr(result, "shape", None)
    return type(result).__name__ if shape is None else str(tuple(shape))
