"""`--resume --set-aside`: what is damaged of a study's trials is kept elsewhere, and runs again."""

import datetime
from collections.abc import Iterator

from masll.common.errors import InputError
from tuning.study.damage import DamagedTrial
from tuning.study.folder import StudyFolder
from tuning.study.reader import TrialReader
from tuning.study.spec import Spec
from tuning.study.unfinished import check_begun


def set_damaged_aside(folder: StudyFolder, spec: Spec) -> Iterator[str]:
    """Move the files of one damaged trial after the other to STUDY/set-aside/TIME.

    Yields:
        a line for each of them.

    Raises:
        InputError: what is damaged is no trial's, or cannot be moved.
    """
    time = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H%M%SZ}"
    while (damaged := _damaged(folder, spec)) is not None:
        where = folder.set_aside(time)
        moved = 0
        # Its row first: a trial without it has not ended, whatever else there is of it.
        for path in folder.files_of(damaged.trial_id):
            target = where / path.parent.name / path.name
            try:
                path.move_to(target)
                moved += 1
            except FileNotFoundError:
                continue
            except OSError as error:
                raise InputError(f"cannot move {path} to {target}: {error.strerror}") from error
        if not moved:  # it would be found for ever
            raise damaged
        yield f"set aside in {where}, to run again: {damaged.trial_id} ({damaged.reason})"


def _damaged(folder: StudyFolder, spec: Spec) -> DamagedTrial | None:
    """The first damaged trial."""
    try:
        check_begun(folder, spec, TrialReader(folder, spec).rows())
    except DamagedTrial as damaged:
        return damaged
    return None
