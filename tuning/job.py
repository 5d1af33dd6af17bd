"""What a worker is told of its study."""

from dataclasses import dataclass

from masll.common.storage import any_path
from masll.data.options import DataOptions
from tuning.recipe import Recipe
from tuning.study.folder import StudyFolder


@dataclass(frozen=True)
class Job:
    """What all trials of a study have in common, as a worker needs it."""

    store: str  # folder of the image store on the driver's node
    node_id: str | None  # that node, by Ray's name; None without Ray
    data: DataOptions  # which images, so that every other node prepares them for itself
    fingerprint: str  # of the images that the study began with
    study: str  # folder of the study, for its choice of images, checkpoints and models
    recipe: Recipe
    threads: int  # of PyTorch, in each trial

    @property
    def folder(self) -> StudyFolder:
        """The study's folder."""
        return StudyFolder(any_path(self.study))
