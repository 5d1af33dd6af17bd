"""The arms' Optuna studies as a file that optuna-dashboard shows: `optuna-dashboard FILE`.

Made from the rows, and of no use to the search itself: it can be deleted at any time.
"""

from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from tuning.plan import Finished, StudyPlan

NAME = "optuna.journal"


class DashboardFile:
    """STUDY/optuna.journal: one study for each arm, named after it."""

    def __init__(self, study: Path, plan: StudyPlan) -> None:
        self.plan = plan
        path = study / NAME
        self._open(path)
        for arm, of_arm in plan.arms.items():
            there = len(self.studies[arm].get_trials(deepcopy=False))
            if there != of_arm.count("search"):  # a killed run was about to write it
                path.unlink()
                self._open(path)
                break
        for arm, of_arm in plan.arms.items():
            if not self.studies[arm].get_trials(deepcopy=False):
                for ended in of_arm.finished:
                    self.add(ended)

    def add(self, ended: Finished) -> None:
        """Show a search trial that has ended."""
        if ended.stage == "search":
            self.studies[ended.arm].add_trial(self.plan.arms[ended.arm].frozen(ended))

    def _open(self, path: Path) -> None:
        storage = JournalStorage(JournalFileBackend(str(path)))
        self.studies = {
            arm: optuna.create_study(
                storage=storage, study_name=str(arm), direction="maximize", load_if_exists=True
            )
            for arm in self.plan.arms
        }
