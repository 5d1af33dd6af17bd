"""Where a command may write: on this machine or on S3, and never among a study's own files."""

from masll.common.errors import InputError
from masll.common.storage import AnyPath

# Folders right in a study that only its search writes into. Others, as report/, are the user's.
OWN_FOLDERS = (
    *("trials", "epochs", "predictions", "models", "running", "parts", "folded", "set-aside"),
)


def check_output(path: AnyPath, flag: str) -> None:
    """Raise `InputError` unless a command may write into a folder, which need not be there yet.

    Args:
        flag: the option that names it.
    """
    path.check_writable(flag)
    try:
        own = _study_folder_around(path.resolve())
    except OSError as error:
        raise InputError(
            f"cannot tell whether {flag} {path} lies in a study: {error.strerror}; name another "
            "folder"
        ) from error
    if own is not None:
        raise InputError(
            f"{flag} {path} lies in {own.name}/ of the study {own.parent}, where only its search "
            "writes; name another folder"
        )


def holds_study(folder: AnyPath) -> bool:
    """Whether a folder is a study: it has a spec, or else rows of trials and of epochs."""
    if (folder / "spec.json").exists():
        return True
    return (folder / "trials").exists() and (folder / "epochs").exists()


def _study_folder_around(path: AnyPath) -> AnyPath | None:
    """The one of OWN_FOLDERS that is a path, or that it lies in; None where there is none."""
    while path.parent.parent != path.parent:  # up to what lies in the root, or is a bucket
        if path.name in OWN_FOLDERS and holds_study(path.parent):
            return path
        path = path.parent
    return None
