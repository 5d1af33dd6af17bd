"""Trials that have begun and not ended: what was asked of them, and how far they are.

STUDY/running/<trial_id>.json is written when a trial is handed out, beside it <trial_id>.pt after
epochs (see `tuning.checkpoints`). Both go once the trial's rows are written, so that what is left
there is what a killed run has to resume. Plain values only: no pickle is read.
"""

import contextlib
import datetime
import json
from dataclasses import asdict, dataclass
from typing import Any

from tuning.study.arm import Arm, Declaration
from tuning.study.folder import StudyFolder
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

    def all(self) -> list[UnfinishedTrial]:
        """All of them by trial id; a file that a failing disk has spoilt counts as none."""
        trials = []
        for path in sorted(self.folder.running.glob("*.json"), key=str):
            # It may end between the listing and the reading, too.
            with contextlib.suppress(ValueError, TypeError, KeyError, FileNotFoundError):
                trials.append(_from_json(json.loads(path.read_text())))
        return trials

    def keep(self, unfinished: UnfinishedTrial) -> None:
        """Write a trial down when it is handed out, has reported, or has crashed."""
        trial = unfinished.trial
        content = asdict(trial) | {name: getattr(unfinished, name) for name in _REPORTED}
        content["arm"] = [trial.arm.variant, trial.arm.backbone]
        if trial.arm.declared is not None:
            content["declared"] = {"name": trial.arm.name, "fixed": dict(trial.arm.fixed)}
        content["started_at"] = unfinished.started_at.isoformat()
        self.folder.begun(trial.trial_id).write_whole(json.dumps(content))

    def remove(self, trial_id: str) -> None:
        """Forget a trial whose rows are written."""
        # This first: a worker that is still writing a checkpoint looks whether it is there.
        self.folder.begun(trial_id).unlink(missing_ok=True)
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


def _from_json(content: dict[str, Any]) -> UnfinishedTrial:
    started_at = datetime.datetime.fromisoformat(content.pop("started_at"))
    reported = {name: content.pop(name) for name in _REPORTED}
    declared = content.pop("declared", None)
    variant, backbone = content.pop("arm")
    arm = Arm(variant, backbone, declared and Declaration(**declared))
    stage = Stage(content.pop("stage"))
    return UnfinishedTrial(Trial(arm=arm, stage=stage, **content), started_at, **reported)
