"""Files that say what a study is asked: TOML of options, of a space, of arms; or another's spec.

A file of `--config` may hold all three, the space as tables [space.NAME], arms as [arms.NAME]. The
spec.json of a study holds them, too, so that it can be asked again with other words beside it.
"""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from masll.common.errors import InputError
from masll.common.storage import any_path
from masll.common.storage.regular import read_regular
from tuning.study.arm import DEFAULT
from tuning.study.folder import StudyFolder
from tuning.study.spec import Spec, read_spec

_SPEC = "spec.json"
_PARTS = ("space", "arms")  # options that name such a file, too


def read_config(path: str, *, with_parts: bool = False) -> dict[str, Any]:
    """Options by name, of a TOML file, or of the study that a spec.json belongs to.

    Where the file itself holds the space or arms, the option of that name is the file's path.

    Args:
        with_parts: whether users' own parts are named elsewhere.

    Raises:
        InputError: it cannot be read, or is no TOML; or a study has parts of its own, which run
            only where they are named.
    """
    content = _read("--config", path)
    parts = _spec(path).parts if _is_spec(path) else ()
    if parts and not with_parts:
        raise InputError(
            f"{path}: the study has a part of its own, {next(iter(parts))}; name its file, too: "
            "--variant-from FILE.py"
        )
    return {
        **{name.replace("-", "_"): _tuple(value) for name, value in content.items()},
        **{name: path for name in _PARTS if isinstance(content.get(name), dict)},
    }


def read_tables(option: str, path: str) -> dict[str, Any]:
    """The tables of a file that `--space` or `--arms` names: of its own, or of one of `--config`.

    Raises:
        InputError: it cannot be read, or is no TOML.
    """
    content = _read(option, path)
    inner = content.get(option.removeprefix("--"))
    if isinstance(inner, dict) and all(isinstance(each, dict) for each in inner.values()):
        return inner
    return content


def config_of(spec: Spec) -> dict[str, Any]:
    """What a study was asked, in the form of a file of `--config`."""
    own = {*(spec.options.get("controls") or ()), *spec.parts}
    arms = {
        arm.name: {"variant": arm.variant, **_without_none(_words(arm.declared.as_dict()))}
        for arm in spec.arms
        if arm.declared is not None and arm.name not in own and not arm.name.endswith(DEFAULT)
    }
    space = {
        parameter.name: {k: v for k, v in parameter.as_dict().items() if k != "name" and v != ()}
        for parameter in spec.space
    }
    tables = {"space": space, "arms": arms}
    return _without_none(spec.options) | {name: each for name, each in tables.items() if each}


def as_toml(content: Mapping[str, Any]) -> str:
    """Options and tables as TOML, which `read_config` reads."""
    lines = [f"{k} = {_value(v)}" for k, v in content.items() if not isinstance(v, Mapping)]
    for name, tables in content.items():
        if isinstance(tables, Mapping):
            for key, table in tables.items():
                lines += ["", f"[{name}.{key}]"]
                lines += [f"{k} = {_value(v)}" for k, v in table.items()]
    return "\n".join(lines) + "\n"


def _read(option: str, path: str) -> dict[str, Any]:
    if _is_spec(path):
        return config_of(_spec(path))
    try:
        return tomllib.loads(read_regular(Path(path)).decode())
    except OSError as error:
        raise InputError(f"cannot read {option} {path}: {error.strerror}") from error
    except ValueError as error:  # no TOML, or no UTF-8
        raise InputError(f"{option} {path} is no TOML file: {error}") from error


def _is_spec(path: str) -> bool:
    return Path(path).name == _SPEC


def _spec(path: str) -> Spec:
    return read_spec(StudyFolder(any_path(Path(path).parent)))


def _words(declared: Mapping[str, Any]) -> dict[str, Any]:
    """A declaration as its table in a file: what it fixes beside its words."""
    words = {key: value for key, value in declared.items() if key != "fixed"}
    return {**declared["fixed"], **words}


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _value(value: Any) -> str:
    """As TOML writes it; its strings are those of JSON."""
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{k} = {_value(v)}' for k, v in value.items())} }}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, float) and value.is_integer():
        return f"{value:.1f}"
    return json.dumps(value, ensure_ascii=False)
