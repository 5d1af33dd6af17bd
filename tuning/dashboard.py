"""The arms' Optuna studies as a file that optuna-dashboard shows: `optuna-dashboard FILE`.

Made from the rows, and of no use to the search itself: it can be deleted at any time.
"""

import tempfile
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from masll.places import Place, S3Path, write_whole
from tuning.plan import Finished, StudyPlan

NAME = "optuna.journal"


class DashboardFile:
    """STUDY/optuna.journal: one study for each arm, named after it.

    Optuna writes to local files only, so that for a study on S3 it is a file on this machine that
    `put_up` puts there.
    """

    def __init__(self, study: Place, plan: StudyPlan) -> None:
        self.plan = plan
        self._there: S3Path | None = None
        if isinstance(study, S3Path):
            self._there = study / NAME
            self._folder = tempfile.TemporaryDirectory(prefix="masll-journal-")
            study = Path(self._folder.name)
        self._path = path = study / NAME
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

    def put_up(self) -> None:
        """Bring the file to where the study is, if that is elsewhere."""
        if self._there is not None:
            write_whole(self._there, self._path.read_bytes())

    def _open(self, path: Path) -> None:
        storage = JournalStorage(JournalFileBackend(str(path)))
        self.studies = {
            arm: optuna.create_study(
                storage=storage, study_name=str(arm), direction="maximize", load_if_exists=True
            )
            for arm in self.plan.arms
        }
