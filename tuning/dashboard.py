"""The arms' Optuna studies as a file that optuna-dashboard shows: `optuna-dashboard FILE`.

Made from the rows, and of no use to the search itself: it can be deleted at any time.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from tuning.plan import StudyPlan
from tuning.study.folder import StudyFolder
from tuning.study.trial import Stage, TrialResult


class DashboardFile:
    """An Optuna journal with one study for each arm, named after it, that grows as trials end."""

    def __init__(self, path: Path, plan: StudyPlan) -> None:
        self.plan = plan
        path.unlink(missing_ok=True)
        storage = JournalStorage(JournalFileBackend(str(path)))
        self._studies = {
            arm: optuna.create_study(storage=storage, study_name=str(arm), direction="maximize")
            for arm in plan.arms
        }
        for of_arm in plan.arms.values():
            for result in of_arm.results:
                self.add(result)

    def add(self, result: TrialResult) -> None:
        """Show a search trial that has ended."""
        trial = result.trial
        if trial.stage == Stage.SEARCH:
            self._studies[trial.arm].add_trial(self.plan.arms[trial.arm].search.frozen(result))


@contextlib.contextmanager
def dashboard_file(folder: StudyFolder, plan: StudyPlan) -> Iterator[DashboardFile]:
    """STUDY/optuna.journal; Optuna writes local files only, so elsewhere it is put at the end."""
    with folder.journal.local_file() as path:
        yield DashboardFile(path, plan)
