"""STUDY/test-set.jsonl: a line each time that a trial is going to open the test set, and why.

A trial's own file in running/ is written first and this line after it, so that a kill between the
two is mended when the trial is handed out again. The file is written whole: no line is ever torn.
"""

import datetime
import json
from typing import Any

from masll.common.errors import InputError
from tuning.study.damage import in_words
from tuning.study.folder import StudyFolder
from tuning.study.plain import check_type, parsed
from tuning.study.trial import Trial


def log_opening(
    folder: StudyFolder, trial: Trial, started_at: datetime.datetime, reason: str
) -> None:
    """Note once that a confirm trial, begun at `started_at`, is going to open the test set."""
    before = _whole_lines(folder)
    if any(_tells(line, trial.trial_id, started_at) for line in before):
        return
    line = {
        "time": started_at.isoformat(),
        "trial_id": trial.trial_id,
        "arm": str(trial.arm),
        "confirmation": trial.confirmation,
        "seed": trial.seed,
        "reason": reason,
        "params": dict(trial.params),
    }
    folder.openings.write_whole("".join(f"{each}\n" for each in [*before, json.dumps(line)]))


def check_openings(folder: StudyFolder) -> None:
    """Raise `InputError` unless each line names a trial and a time."""
    try:
        for number, line in enumerate(_whole_lines(folder), 1):
            try:
                content = parsed(line)
                datetime.datetime.fromisoformat(content["time"])
                check_type("trial_id", content["trial_id"], str)
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"line {number} is no opening of the test set") from error
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder.openings}: {in_words(error)}; restore it: it tells when the test set was "
            "opened, and nothing else does"
        ) from error


def _whole_lines(folder: StudyFolder) -> list[str]:
    """What the file has, without a last line that a killed run of an earlier version has torn."""
    try:
        text = folder.openings.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    lines = text.splitlines()
    if lines and not text.endswith("\n") and _content(lines[-1]) is None:
        lines.pop()
    return lines


def _tells(line: str, trial_id: str, time: datetime.datetime) -> bool:
    """Whether a line is of a trial since it has begun; one of an earlier beginning is not."""
    content = _content(line) or {}
    try:
        logged = datetime.datetime.fromisoformat(content["time"])
        if not logged.microsecond:  # as earlier versions wrote it
            time = time.replace(microsecond=0)
        return bool(content["trial_id"] == trial_id and logged >= time)
    except (KeyError, TypeError, ValueError):
        return False


def _content(line: str) -> dict[str, Any] | None:
    try:
        content = parsed(line)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None
