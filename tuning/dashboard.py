"""The arms' Optuna studies as a file that optuna-dashboard shows: `optuna-dashboard FILE`.

Made from the rows at every start, and of no use to the search itself: it can be deleted at any
time, and whatever happens to it ends no search.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from tuning.plan import StudyPlan
from tuning.study.arm import Arm
from tuning.study.folder import StudyFolder
from tuning.study.trial import Stage, TrialResult


class DashboardFile:
    """An Optuna journal with one study for each arm, named after it, that grows as trials end."""

    def __init__(self, path: Path, plan: StudyPlan) -> None:
        self.plan = plan
        self._studies: dict[Arm, optuna.Study] = {}
        with contextlib.suppress(Exception):  # Optuna's and the disk's: many kinds
            self._begin(path)

    def add(self, result: TrialResult) -> None:
        """Show a search trial that has ended."""
        try:
            self._add(result)
        except Exception:
            self._studies = {}  # the next start makes the file anew

    def _begin(self, path: Path) -> None:
        for left in (path, *path.parent.glob(f"{path.name}.lock*")):
            left.unlink(missing_ok=True)
        storage = JournalStorage(JournalFileBackend(str(path), _NoLock(str(path))))
        self._studies = {
            arm: optuna.create_study(storage=storage, study_name=str(arm), direction="maximize")
            for arm in self.plan.arms
        }
        for of_arm in self.plan.arms.values():
            for result in of_arm.results:
                self.add(result)

    def _add(self, result: TrialResult) -> None:
        trial = result.trial
        if trial.stage == Stage.SEARCH and trial.arm in self._studies:
            self._studies[trial.arm].add_trial(self.plan.arms[trial.arm].search.frozen(result))


class _NoLock(JournalFileOpenLock):
    """None: the study's own lock keeps other searches out, and Optuna's would outlive a kill.

    It would be waited for 30 seconds at the next start, or at a trial's end while a dashboard that
    was killed holds it.
    """

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        """Nothing was taken."""


@contextlib.contextmanager
def dashboard_file(folder: StudyFolder, plan: StudyPlan) -> Iterator[DashboardFile]:
    """STUDY/optuna.journal; Optuna writes local files only, so elsewhere it is put at the end."""
    with contextlib.ExitStack() as stack:
        path = stack.enter_context(folder.journal.local_file())
        yield DashboardFile(path, plan)
        with contextlib.suppress(OSError):
            stack.close()
