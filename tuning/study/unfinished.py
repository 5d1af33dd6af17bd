"""Trials that have begun and not ended: what was asked of them, and how far they are.

STUDY/running/<trial_id>.json is written when a trial is handed out, beside it <trial_id>.pt after
epochs (see `tuning.checkpoints`). Both go once the trial's rows are written, so that what is left
there is what a killed run has to resume. Plain values only: no pickle is read.
"""

import contextlib
import datetime
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tuning.study.arm import Arm, Declaration
from tuning.study.behind import WriteBehind
from tuning.study.checking import check_confirmations, check_trial
from tuning.study.damage import DamagedTrial
from tuning.study.folder import StudyFolder
from tuning.study.plain import check_type, filled, read_object
from tuning.study.rows import TrialRow
from tuning.study.spec import Spec
from tuning.study.trial import Stage, Trial


@dataclass
class UnfinishedTrial:
    """A trial that was handed out."""

    trial: Trial
    started_at: datetime.datetime
    crashes: int = 0
    preemptions: int = 0  # times that the machine it ran on was lost
    epochs: int = 0  # reported so far
    where: str = ""  # the machine and the GPU that reported them


_REPORTED = ("crashes", "preemptions", "epochs", "where")


class UnfinishedTrials:
    """The files of a study's unfinished trials, as the driver keeps them."""

    def __init__(self, folder: StudyFolder) -> None:
        self.folder = folder
        self._behind = WriteBehind()

    def all(self) -> list[UnfinishedTrial]:
        """All of them by trial id.

        Raises:
            InputError: a file that cannot be read, or is not of the trial that it is named after.
        """
        trials = []
        for path in sorted(self.folder.running.glob("*.json"), key=str):
            with contextlib.suppress(FileNotFoundError):  # it may end before it is read
                try:
                    begun = _from_json(read_object(path))
                    if begun.trial.trial_id != path.stem:
                        raise ValueError(f"it is of the trial {begun.trial.trial_id}")
                except FileNotFoundError:
                    raise
                except (OSError, ValueError) as error:
                    raise DamagedTrial(path, error) from error
                trials.append(begun)
        return trials

    def keep(self, unfinished: UnfinishedTrial) -> None:
        """Write a trial down when it is handed out, or has crashed."""
        path = self.folder.begun(unfinished.trial.trial_id)
        self._behind.settle(path)
        path.write_whole(_as_json(unfinished))

    def keep_soon(self, unfinished: UnfinishedTrial) -> None:
        """Write down how far a trial is, without waiting for a place that is far away."""
        path = self.folder.begun(unfinished.trial.trial_id)
        if path.remote:
            self._behind.write(path, _as_json(unfinished))
        else:
            path.write_whole(_as_json(unfinished))

    def remove(self, trial_id: str) -> None:
        """Forget a trial whose rows are written."""
        begun = self.folder.begun(trial_id)
        self._behind.settle(begun)
        # This first: a worker that is still writing a checkpoint looks whether it is there.
        begun.unlink(missing_ok=True)
        for path in self.folder.workers_files(trial_id):
            path.unlink(missing_ok=True)

    def remove_others(self) -> None:
        """Remove workers' files of trials that are not there, which a killed run may have left."""
        known = {each.trial.trial_id for each in self.all()}
        kept = {path.name for name in known for path in self.folder.workers_files(name)}
        for pattern in ("*.pt", "*.place"):
            for path in self.folder.running.glob(pattern):
                if path.name not in kept:
                    path.unlink(missing_ok=True)


def check_begun(folder: StudyFolder, spec: Spec, rows: Iterable[TrialRow]) -> list[UnfinishedTrial]:
    """The unfinished trials of a study, each one that the study asks for.

    Args:
        rows: of the trials that have ended.

    Raises:
        InputError: a trial that the study does not ask for, or whose file is damaged.
    """
    begun = UnfinishedTrials(folder).all()
    trials = [(folder.begun(each.trial.trial_id), each.trial) for each in begun]
    ended = [(folder.trials / f"{row.trial_id}.parquet", row.trial) for row in rows]
    check_confirmation = check_confirmations(trial for _, trial in [*trials, *ended])
    for path, trial in [*trials, *ended]:
        try:
            check_trial(trial, spec)
            check_confirmation(trial)
        except ValueError as error:
            raise DamagedTrial(path, error) from error
    return begun


def _as_json(unfinished: UnfinishedTrial) -> str:
    trial = unfinished.trial
    content = asdict(trial) | {name: getattr(unfinished, name) for name in _REPORTED}
    content["arm"] = [trial.arm.variant, trial.arm.backbone]
    if trial.arm.declared is not None:
        content["declared"] = {"name": trial.arm.name, "fixed": dict(trial.arm.fixed)}
    content["started_at"] = unfinished.started_at.isoformat()
    return json.dumps(content)


def _from_json(content: dict[str, Any]) -> UnfinishedTrial:
    """An unfinished trial as its file holds it.

    Raises:
        ValueError: the content is not of that form.
    """
    for name, hint in {
        "arm": tuple[str, ...],
        "declared": Mapping[str, Any] | None,
        "stage": str,
        "started_at": str,
    }.items():
        check_type(name, content.get(name), hint)
    if len(content["arm"]) != 2:
        raise ValueError("arm must be a variant and a backbone")
    variant, backbone = content["arm"]
    started_at = datetime.datetime.fromisoformat(content["started_at"])
    if started_at.tzinfo is None:
        raise ValueError("started_at has no time zone")
    declared = content.get("declared")
    arm = Arm(variant, backbone, declared and filled(Declaration, declared))
    trial = filled(Trial, content, arm=arm, stage=Stage(content["stage"]))
    begun = filled(UnfinishedTrial, content, trial=trial, started_at=started_at)
    for name in ("crashes", "preemptions", "epochs"):
        if getattr(begun, name) < 0:
            raise ValueError(f"{name} must be 0 or more, got {getattr(begun, name)}")
    return begun
