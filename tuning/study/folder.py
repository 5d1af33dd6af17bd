"""Where everything of a study lies: the one module that knows the names in a study folder."""

from dataclasses import dataclass

from masll.common.storage import AnyPath
from tuning.study.arm import Arm


@dataclass(frozen=True)
class StudyFolder:
    """A study folder, on this machine or on S3."""

    path: AnyPath

    def __str__(self) -> str:
        return str(self.path)

    @property
    def spec(self) -> AnyPath:
        """What was asked, of which images, with which versions."""
        return self.path / "spec.json"

    @property
    def trials(self) -> AnyPath:
        """A row for each trial that ended."""
        return self.path / "trials"

    @property
    def epochs(self) -> AnyPath:
        """A row for each epoch of such a trial."""
        return self.path / "epochs"

    @property
    def predictions(self) -> AnyPath:
        """A row for each trial, split and image."""
        return self.path / "predictions"

    @property
    def models(self) -> AnyPath:
        """Networks of confirmed trials."""
        return self.path / "models"

    @property
    def report(self) -> AnyPath:
        """Tables, figures, notebook and page."""
        return self.path / "report"

    @property
    def running(self) -> AnyPath:
        """Trials that have begun and not ended."""
        return self.path / "running"

    @property
    def folds(self) -> AnyPath:
        """The fold of each image, where the search is judged by cross-validation."""
        return self.path / "folds.csv"

    @property
    def metadata(self) -> AnyPath:
        """What is known of validation and test images beside their labels."""
        return self.path / "metadata.parquet"

    @property
    def openings(self) -> AnyPath:
        """A line each time that a trial is going to open the test set."""
        return self.path / "test-set.jsonl"

    @property
    def journal(self) -> AnyPath:
        """The arms' Optuna studies, for optuna-dashboard."""
        return self.path / "optuna.journal"

    @property
    def lock(self) -> AnyPath:
        """Who searches in the study now."""
        return self.path / ".lock"

    def folded(self, kind: str) -> AnyPath:
        """The rows of many files of trials/, epochs/ or predictions/ in one, for reading only."""
        return self.path / "folded" / f"{kind}.parquet"

    def part(self, name: str) -> AnyPath:
        """The source of a user's own part, as the study began with it."""
        return self.path / "parts" / f"{name}.py"

    def model(self, arm: Arm | str, seed: int, confirmation: int = 1) -> AnyPath:
        """The folder of a confirmed model; that of an earlier confirmation stays."""
        again = f"-confirmation-{confirmation}" * (confirmation > 1)
        return self.models / str(arm) / f"seed-{seed}{again}"

    def checkpoint(self, trial_id: str) -> AnyPath:
        """The state of a trial after one of its epochs."""
        return self.running / f"{trial_id}.pt"

    def best_weights(self, trial_id: str, number: int) -> AnyPath:
        """The weights of a trial's best epoch; of the files 0 and 1 its checkpoint names one."""
        return self.running / f"{trial_id}.best-{number}.pt"

    def place(self, trial_id: str) -> AnyPath:
        """The machine and GPU that a worker has begun a trial on."""
        return self.running / f"{trial_id}.place"

    def workers_files(self, trial_id: str) -> list[AnyPath]:
        """All that a trial's worker may have written there: its place, and its checkpoint."""
        best = (self.best_weights(trial_id, number) for number in (0, 1))
        return [self.place(trial_id), self.checkpoint(trial_id), *best]

    def set_aside(self, time: str) -> AnyPath:
        """Where the files of damaged trials are kept that were found at a time."""
        return self.path / "set-aside" / time

    def files_of(self, trial_id: str) -> list[AnyPath]:
        """All that there may be of a trial in the study's folders, its row first."""
        rows = (self.trials, self.epochs, self.predictions)
        of_rows = [folder / f"{trial_id}.parquet" for folder in rows]
        return [*of_rows, self.begun(trial_id), *self.workers_files(trial_id)]

    def begun(self, trial_id: str) -> AnyPath:
        """What was asked of a trial that has begun, and how far it is."""
        return self.running / f"{trial_id}.json"

    @property
    def externals(self) -> AnyPath:
        """A folder for each external set that models were evaluated on."""
        return self.path / "external"

    def external(self, name: str) -> "ExternalFolder":
        """What the confirmed models say of an external set of that name."""
        return ExternalFolder(self.externals / name)

    def remove_partials(self) -> None:
        """Remove what killed searches have left of files; not where other commands may write."""
        self.path.remove_partials(but={self.report.name, self.externals.name})


@dataclass(frozen=True)
class ExternalFolder:
    """What confirmed models say of an external set, on this machine or on S3."""

    path: AnyPath

    def __str__(self) -> str:
        return str(self.path)

    @property
    def images(self) -> AnyPath:
        """A row for each image of the set, with what it shows of the study's own images."""
        return self.path / "images.parquet"

    def rows(self, condition: str | None = None) -> AnyPath:
        """A file for each model, of rows like those of a study's predictions/.

        Args:
            condition: how the images are corrupted, such as `blur-3`; None for the images as they
                are.
        """
        clean = self.path / "predictions"
        return clean if condition is None else self.path / "corrupted" / condition

    @property
    def report(self) -> AnyPath:
        """Tables and figures of the set."""
        return self.path / "report"
