"""The study folder's spec: what was asked, of which data, with which versions. Fixed for life."""

import dataclasses
import datetime
import importlib.metadata
import json
import platform
import subprocess
from pathlib import Path
from typing import Any

from masll.data.store import SPLITS, ImageStore
from masll.errors import InputError
from masll.places import Place, append_line, write_whole
from tuning.cases import Cases
from tuning.options import SearchOptions
from tuning.plan import Arm, ArmPlan, StudyPlan, Trial
from tuning.rows import StudyRows
from tuning.slots import Slots
from tuning.space import Parameter, Space
from tuning.unfinished import Unfinished

SCHEMA_VERSION = 1

# Options that say where and how long to run, not what is asked; they may differ on resuming.
_NOT_ASKED = {"study", "num_gpus", "gpus_per_trial", "cpus_per_trial", "address", "time_budget"}
# Options that may grow on resuming.
_BUDGET = {"trials", "seeds"}
_PACKAGES = ("torch", "torchvision", "timm", "ray", "optuna", "numpy", "pandas", "pyarrow")


def arms_of(options: SearchOptions) -> list[Arm]:
    """Every variant on every backbone."""
    return [Arm(v, backbone) for backbone in options.backbones for v in options.variants]


def make_spec(
    options: SearchOptions, space: Space, store: ImageStore, cases: Cases
) -> dict[str, Any]:
    """The spec of a new study."""
    asked = {k: v for k, v in dataclasses.asdict(options).items() if k not in _NOT_ASKED}
    index = store.index
    return {
        "schema_version": SCHEMA_VERSION,
        "created_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "arms": [str(arm) for arm in arms_of(options)],
        "options": asked | {"space": [parameter.as_dict() for parameter in space]},
        "data": {
            "source": index["source"],
            "fingerprint": index["fingerprint"],
            "images": {split: len(store.listed(split)["ids"]) for split in SPLITS},
            "melanoma": {split: sum(store.listed(split)["labels"]) for split in SPLITS},
            "left_out": cases.left_out,  # ids with the later images that show the same lesion
        },
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in _PACKAGES},
        "git_commit": _git_commit(),
    }


def load_plan(
    folder: Place,
    options: SearchOptions,
    space: Space,
    *,
    confirm_again: bool = False,
    rows: StudyRows | None = None,
) -> StudyPlan:
    """The plan of a study, with what earlier runs have finished or begun taken in.

    Args:
        confirm_again: allow each arm one confirmation more than it has had.
        rows: those of the study, where they were read before.
    """
    plan = StudyPlan(
        ArmPlan(
            arm,
            space,
            trials=options.trials,
            epochs=options.epochs,
            seeds=options.seeds,
            seed=options.seed,
            sampler=options.sampler,
            scheduler=options.scheduler,
        )
        for arm in arms_of(options)
    )
    finished = (rows or StudyRows(folder, space)).finished()
    for ended in finished:
        plan.arms[ended.arm].replay(ended)
    there = {(f.arm, f.stage, f.confirmation, f.number) for f in finished}
    for begun in Unfinished(folder).all():
        trial = begun.trial
        # A killed run may have written a trial's rows and not come to forget it.
        if (trial.arm, trial.stage, trial.confirmation, trial.number) not in there:
            plan.arms[trial.arm].resume(trial)
    for of_arm in plan.arms.values():
        of_arm.confirmations = max(1, of_arm.opened + confirm_again)
    return plan


def forget_ended(folder: Place, plan: StudyPlan) -> None:
    """Remove what a killed run has left of trials whose rows it had written."""
    unfinished = Unfinished(folder)
    waiting = plan.waiting
    for begun in unfinished.all():
        if begun.trial.trial_id not in waiting:
            unfinished.remove(begun.trial.trial_id)


def record_run(
    spec: dict[str, Any],
    folder: Place,
    started: datetime.datetime,
    slots: Slots,
    busy: float,
) -> dict[str, Any]:
    """The spec with what a run of the study took, and what each arm has taken so far."""
    ended = datetime.datetime.now(datetime.UTC)
    seconds = (ended - started).total_seconds()
    run = {
        "started_at": started.isoformat(timespec="seconds"),
        "ended_at": ended.isoformat(timespec="seconds"),
        "seconds": seconds,
        "slots": str(slots),
        "busy": busy,  # share of the slots' time
    }
    return spec | {
        "runs": [*spec.get("runs", ()), run],
        "spent": spent_by_arm(StudyRows(folder, ())),
    }


def spent_by_arm(rows: StudyRows) -> dict[str, dict[str, float]]:
    """Trials, epochs, hours of a slot and of a GPU that each arm has taken, by its rows."""
    spent: dict[str, dict[str, float]] = {}
    for row in rows.spent():
        of_arm = spent.setdefault(
            row["arm"], {"trials": 0, "epochs": 0, "slot_hours": 0.0, "gpu_hours": 0.0}
        )
        of_arm["trials"] += 1
        of_arm["epochs"] += row["epochs"]
        of_arm["slot_hours"] += row["seconds"] / 3600
        of_arm["gpu_hours"] += row["seconds"] / 3600 * (row["gpus"] or 0)
    return spent


def write_spec(folder: Place, spec: dict[str, Any]) -> None:
    """Write STUDY/spec.json, whole or not at all.

    Raises:
        InputError: the folder cannot be made or written to.
    """
    try:
        write_whole(folder / "spec.json", json.dumps(spec, indent=2) + "\n")
    except OSError as error:
        raise InputError(
            f"cannot write the study {folder}: {error.strerror}; name another folder"
        ) from error


def read_spec(folder: Place) -> dict[str, Any]:
    """Read STUDY/spec.json.

    Raises:
        InputError: there is no study in the folder, or one of another schema.
    """
    path = folder / "spec.json"
    try:
        spec = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"no study in '{folder}': {path.name}: {reason}") from error
    if spec.get("schema_version") != SCHEMA_VERSION:
        raise InputError(
            f"{path} has schema_version {spec.get('schema_version')}, this program reads "
            f"{SCHEMA_VERSION}; use the version of the program that made the study"
        )
    return spec


def resumed_options(spec: dict[str, Any], given: dict[str, Any]) -> tuple[SearchOptions, Space]:
    """The options and space of a study that goes on, with a larger budget if one is given.

    Args:
        given: what the command line says beside `--resume`.

    Raises:
        InputError: an option differs from what the study was asked.
    """
    asked = spec["options"]
    for name, value in given.items():
        if name in _NOT_ASKED or name == "space":
            continue
        was = tuple(asked[name]) if isinstance(asked[name], list) else asked[name]
        flag = f"--{name.replace('_', '-')}"
        if name in _BUDGET:
            if value < was:
                raise InputError(f"{flag} {value}, but the study already has {was}; "
                                 "a budget may only grow")  # fmt: skip
        elif value != was:
            raise InputError(f"{flag} {_shown(value)}, but the study was asked {_shown(was)}; "
                             "leave it out, or start another study")  # fmt: skip
    if "space" in given:
        raise InputError("--space cannot change on resuming; leave it out, or start another study")
    space = tuple(_parameter(stored) for stored in asked["space"])
    kept = {k: tuple(v) if isinstance(v, list) else v for k, v in asked.items() if k != "space"}
    return SearchOptions(**{**kept, **given}), space


def log_opening(folder: Place, trial: Trial, arm: ArmPlan) -> None:
    """Note in STUDY/test-set.jsonl that a trial is going to open the test set, and why."""
    best, searched = arm.best, arm.count("search")
    auc = f", validation AUC {best.val_auc:.3f}" if best and best.val_auc is not None else ""
    line = {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "trial_id": trial.trial_id,
        "arm": str(trial.arm),
        "confirmation": trial.confirmation,
        "seed": trial.seed,
        "reason": f"confirms the best of {searched} search trials{auc}",
        "params": dict(trial.params),
    }
    append_line(folder / "test-set.jsonl", json.dumps(line))


def _parameter(stored: dict[str, Any]) -> Parameter:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
    return Parameter(**values)


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _git_commit() -> str | None:
    """The commit of the code that runs, with -dirty where files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
