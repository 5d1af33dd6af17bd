"""The spec of a study from the options of its first run, and the options from the spec again."""

import dataclasses
import datetime
import importlib.metadata
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from masll.common.errors import InputError
from masll.data.store import ImageStore
from masll.data.types import SPLITS
from masll.variants import PLAIN, describe
from tuning.images import StudyImages
from tuning.ledger import Outcome
from tuning.options import SearchOptions
from tuning.selection import AS_BEFORE
from tuning.settings import SETTINGS_BEFORE
from tuning.slots import Slots
from tuning.study.arm import Arm
from tuning.study.folder import StudyFolder
from tuning.study.reader import TrialReader
from tuning.study.space import Space
from tuning.study.spec import DataRecord, Run, Spec, WeightsRecord, spent_by_arm

# Options that say where and how long to run, not what is asked; they may differ on resuming.
_NOT_ASKED = {
    *("study", "num_gpus", "gpus_per_trial", "cpus_per_trial", "address", "in_process"),
    "time_budget",
}
# Options that name files, whose content stands in the spec, or whose digest.
_READ = {"space", "arms"}
_READ_AGAIN = {"variant_from"}
# Options that name where content lies; the spec has its digest, which decides.
_BY_CONTENT = {"data", "weights"}
# Options that only name the study, and may change.
_NAMES = {"name", "note"}
# Options that may grow on resuming.
_BUDGET = {"trials", "seeds"}
_PACKAGES = ("torch", "torchvision", "timm", "ray", "optuna", "numpy", "pandas", "pyarrow")


def make_spec(
    options: SearchOptions,
    arms: Sequence[Arm],
    space: Space,
    store: ImageStore,
    images: StudyImages,
    weights: Mapping[str, WeightsRecord],
) -> Spec:
    """The spec of a new study.

    Args:
        weights: what each backbone starts from, by name.
    """
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return Spec(
        arms=tuple(arms),
        options=what_is_asked(options),
        space=space,
        data=DataRecord(
            source=store.index["source"],
            fingerprint=store.index["fingerprint"],
            images={split: len(store.listed(split)["ids"]) for split in SPLITS},
            melanoma={split: sum(store.listed(split)["labels"]) for split in SPLITS},
            leaks=images.leaks,
            left_out={name: list(ids) for name, ids in images.left_out.items()},
        ),
        weights=weights,
        parts={name: part.sha256 for name, part in options.parts.items()},
        versions={"python": platform.python_version(), **versions},
        git_commit=_git_commit(),
        primary=describe(PLAIN).lacks,
        created_at=_iso(datetime.datetime.now(datetime.UTC)),
    )


def what_is_asked(options: SearchOptions) -> dict[str, Any]:
    """The options that a spec holds, by name."""
    elsewhere = _NOT_ASKED | _READ | _READ_AGAIN
    return {k: v for k, v in dataclasses.asdict(options).items() if k not in elsewhere}


def with_run(
    spec: Spec, folder: StudyFolder, started: datetime.datetime, slots: Slots, outcome: Outcome
) -> Spec:
    """The spec with what a run of the study took, and what each arm has taken so far."""
    now = datetime.datetime.now(datetime.UTC)
    seconds = (now - started).total_seconds()
    run = Run(_iso(started), _iso(now), seconds, str(slots), outcome.busy, outcome.left_out)
    spent = spent_by_arm(TrialReader(folder, spec).rows())
    return dataclasses.replace(spec, runs=(*spec.runs, run), spent=spent)


def resumed_options(spec: Spec, chosen: Mapping[str, Any]) -> SearchOptions:
    """The options of a study that goes on, with a larger budget if one is given.

    Args:
        chosen: what the command line says beside `--resume`.

    Raises:
        InputError: an option differs from what the study was asked.
    """
    if not spec.options:
        raise InputError("spec.json names no options, so the study cannot be resumed; restore it")
    before = {"set": SETTINGS_BEFORE, **dataclasses.asdict(AS_BEFORE)}
    original = {name: _plain(value) for name, value in {**before, **spec.options}.items()}
    _check_original(original)
    for name in sorted(_READ & chosen.keys()):
        raise InputError(
            f"--{name} cannot change on resuming; leave it out, or start another study"
        )
    for name, value in chosen.items():
        if name in _NOT_ASKED | _BY_CONTENT | _NAMES or name not in original:
            continue
        was = original[name]
        flag = f"--{name.replace('_', '-')}"
        if name in _BUDGET:
            if value < was:
                raise InputError(
                    f"{flag} {value}, but the study already has {was}; a budget may only grow"
                )
        elif value != was:
            raise InputError(
                f"{flag} {_shown(value)}, but the study was asked {_shown(was)}; "
                "leave it out, or start another study"
            )
    return SearchOptions(**{**original, **chosen})


def _check_original(original: Mapping[str, Any]) -> None:
    """Raise `InputError` for options of a spec that the search itself would refuse."""
    known = {field.name for field in dataclasses.fields(SearchOptions)} - _NOT_ASKED
    try:
        for name in original.keys() - known:
            raise InputError(f"unknown option {name}")
        SearchOptions(**original)
    except (InputError, TypeError, AttributeError) as error:
        raise InputError(f"options of spec.json: {error}; restore it") from error


def _plain(value: Any) -> Any:
    """A list of JSON as the tuple that it was."""
    return tuple(value) if isinstance(value, list) else value


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _iso(time: datetime.datetime) -> str:
    return time.isoformat(timespec="seconds")


def _git_commit() -> str | None:
    """The commit of the code that runs, with -dirty where files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
