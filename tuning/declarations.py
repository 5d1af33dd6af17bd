"""The arms of a study: every variant, and those that options and a TOML file declare beside them.

A declared arm is a variant with some options fixed, under a name of its own. It has a budget, rows
and models as any arm, and a reference that it is compared with.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from masll.common.checks import suggestion
from masll.common.errors import InputError
from masll.config import ModelConfig
from masll.parts import Part
from masll.variants import REFERENCE, VARIANTS, describe
from tuning.options import CONTROLS, SearchOptions
from tuning.recipe import PART_KINDS
from tuning.settings import DECIDED, check_name, check_values, typed
from tuning.space import GATE_ONLY, SLL_ONLY
from tuning.study.arm import DEFAULT, Arm, Declaration
from tuning.study.space import Space, default_setting, of_arm
from tuning.tables import read_tables

# Gated-fusion with its box from elsewhere: what else could explain a gain of localization. `about`
# says what the arm has more than its reference, `lacks` what it has less.
_CONTROLS: Mapping[str, Declaration] = {
    each.name: each
    for each in (
        Declaration(
            "whole",
            {"box": "whole"},
            "a second network with finer pixels, its box being the whole image",
            compare="global-only",
        ),
        Declaration(
            "centre",
            {"box": "centre"},
            "a zoom that looks at nothing, its box being the centred half",
            compare="whole",
        ),
        Declaration(
            "shuffled",
            {"box": "shuffled"},
            "its box is that of another image, of the same sizes and bias for the centre",
            lacks="localization itself",
        ),
        Declaration(
            "darkness",
            {"box": "darkness"},
            "its box surrounds the largest dark region by Otsu's threshold",
            lacks="learned instead of classical localization",
        ),
        Declaration(
            "mask",
            {"box": "mask"},
            "perfect localization, its box being that of the lesion mask",
        ),
    )
}
assert tuple(_CONTROLS) == CONTROLS

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]*")
_WORDS = {"variant", "about", "compare", "lacks"}  # keys of a table that are no options
_DECIDED = (DECIDED - {"batch_size", "pretrained"}) | {"compile"}


def declared_arms(options: SearchOptions, space: Space) -> tuple[Arm, ...]:
    """All arms of a new study, backbone by backbone: variants, controls, those of a file, defaults.

    Raises:
        InputError: the file cannot be read, an arm fixes what it cannot, or has no reference.
    """
    of_file = {} if options.arms is None else read_tables("--arms", options.arms)
    parts = options.parts
    designs: list[tuple[str, Declaration | None]] = [(name, None) for name in options.variants]
    designs += [(REFERENCE, _CONTROLS[name]) for name in options.controls]
    designs += [(REFERENCE, _with_part(part)) for part in parts.values()]
    designs += [_declaration(options.arms or "", n, table, parts) for n, table in of_file.items()]
    _check_names(options, designs)
    arms = [Arm(variant, b, declared) for b in options.backbones for variant, declared in designs]
    if options.confirm_default:
        arms += [_as_published(arm, space) for arm in arms if of_arm(space, arm)]
        arms.sort(key=lambda arm: options.backbones.index(arm.backbone))
    return tuple(arms)


def _as_published(arm: Arm, space: Space) -> Arm:
    """An arm with nothing left to search: every parameter at its default."""
    setting = default_setting(of_arm(space, arm))
    declared = Declaration(
        f"{arm.name}{DEFAULT}",
        {**arm.fixed, **setting},
        f"{arm.name} with its default setting, as published",
        compare=arm.name,
        lacks=f"tuning {arm.name}",
    )
    return Arm(arm.variant, arm.backbone, declared)


def _with_part(part: Part) -> Declaration:
    """Gated-fusion with a user's own part, its options as they come."""
    return Declaration(part.name, dict.fromkeys(part.replaces, part.name), part.about)


def _declaration(
    path: str, name: str, table: Any, known: Mapping[str, Part]
) -> tuple[str, Declaration]:
    """The variant of a declared arm, and what is declared."""
    where = f"{path}, [{name}]"
    if not isinstance(table, dict):
        raise InputError(f"{path}: '{name}' must be a table, [{name}]")
    if not _NAME.fullmatch(name) or name.endswith(DEFAULT):
        raise InputError(
            f"{where}: an arm's name has letters, digits, - and _, and does not end in {DEFAULT}"
        )
    table = dict(table)
    parts = _parts(where, table, known)
    words = {key: table.get(key, "") for key in _WORDS}
    for key, value in words.items():
        if not isinstance(value, str):
            raise InputError(f"{where}: {key} must be a text, got {value!r}")
    variant = words["variant"] or REFERENCE
    if variant not in VARIANTS:
        raise InputError(
            f"{where}: unknown variant '{variant}'{suggestion(variant, VARIANTS)}; one of: "
            + ", ".join(VARIANTS)
        )
    fixed: dict[str, Any] = {}
    for key, value in table.items():
        if key not in _WORDS:
            check_name(f"{where}, {key}", key, _DECIDED)
            fixed[key] = typed(f"{where}, {key}", key, value)
    try:
        check_values(fixed)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    design = describe(variant)
    foreign = [
        *(sorted(fixed.keys() & SLL_ONLY) if not design.localizes else ()),
        *(sorted(fixed.keys() & GATE_ONLY) if not design.gates or "fusion" in parts else ()),
    ]
    if foreign:
        raise InputError(f"{where}: {variant} has no {foreign[0]}; leave it out")
    try:
        for kind in PART_KINDS & parts.keys():
            ModelConfig(variant).with_part(kind, known[parts[kind]])
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    fixed |= parts
    compare, lacks = words["compare"] or REFERENCE, words["lacks"] or None
    return variant, Declaration(name, fixed, words["about"], compare, lacks)


def _parts(where: str, table: dict[str, Any], known: Mapping[str, Part]) -> dict[str, Any]:
    """What a table says of users' own parts, taken out of it: names, and options if there are any.

    Raises:
        InputError: no such part, or one that is no such kind or has no such options.
    """
    fixed: dict[str, Any] = {}
    for kind in sorted(PART_KINDS & table.keys()):
        name, options = table.pop(kind), table.pop(f"{kind}_options", {})
        if name not in known:
            near = suggestion(str(name), known)
            raise InputError(
                f"{where}: no part {name!r}{near}; name its file, too: --variant-from FILE.py"
            )
        if kind not in known[name].replaces:
            raise InputError(f"{where}: {name} has no {kind}; it is a {known[name].replaces[0]}")
        if not isinstance(options, dict):
            raise InputError(f"{where}: {kind}_options must be a table, {{ name = value }}")
        try:
            known[name].with_options(options)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        fixed[kind] = name
        if options:
            fixed[f"{kind}_options"] = options
    return fixed


def _check_names(options: SearchOptions, designs: Sequence[tuple[str, Declaration | None]]) -> None:
    """Raise `InputError` where a name comes twice, or an arm's reference not at all."""
    names = [variant if declared is None else declared.name for variant, declared in designs]
    for _, declared in designs:
        if declared is None:
            continue
        where = f"--arms {options.arms}, [{declared.name}]"
        if declared.name in options.controls and declared is _CONTROLS[declared.name]:
            where = f"--controls {declared.name}"
        elif declared.name in declared.fixed.values():
            where = f"--variant-from, {declared.name}"
        if names.count(declared.name) > 1 or declared.name in VARIANTS:
            raise InputError(f"{where}: another arm has that name; choose another")
        if declared.compare == declared.name:
            raise InputError(f"{where}: it cannot be compared with itself; name another arm")
        if declared.compare not in names:
            near = suggestion(declared.compare, names)
            raise InputError(
                f"{where} is compared with {declared.compare}, which the study has not got{near}; "
                "add that arm, or name another to compare"
            )
