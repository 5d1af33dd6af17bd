"""STUDY/test-set.jsonl: a line each time that a trial is going to open the test set, and why."""

import datetime
import json

from tuning.study.folder import StudyFolder
from tuning.study.trial import Trial


def log_opening(folder: StudyFolder, trial: Trial, reason: str) -> None:
    """Note that a confirm trial is going to open the test set."""
    line = {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "trial_id": trial.trial_id,
        "arm": str(trial.arm),
        "confirmation": trial.confirmation,
        "seed": trial.seed,
        "reason": reason,
        "params": dict(trial.params),
    }
    folder.openings.append_line(json.dumps(line))
