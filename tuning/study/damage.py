"""What is wrong with a file of a study, in one line that names it."""

from masll.common.errors import InputError
from masll.common.storage import AnyPath


class DamagedTrial(InputError):
    """A file of one trial that cannot be read, or that contradicts others.

    Attributes:
        trial_id: of the trial, by the file's name.
        reason: where and what, without the path.
    """

    def __init__(self, path: AnyPath, reason: object) -> None:
        super().__init__(
            f"{path}: {in_words(reason)}; restore it, or have the trial run again: "
            "tuning.search --resume --set-aside"
        )
        self.trial_id = path.stem
        self.reason = f"{path.parent.name}: {in_words(reason)}"


class DamagedFile(InputError):
    """A file of the whole study that cannot be read, or is not what it should be."""

    def __init__(self, path: AnyPath, reason: object) -> None:
        super().__init__(f"{path}: {in_words(reason)}; restore or remove it")


def in_words(reason: object) -> str:
    """An error of the system or of a library in one line."""
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    return next(iter(str(reason).splitlines()), "") or type(reason).__name__
