"""Which studies there are: for lists of them, and for a path that names none."""

import contextlib
from pathlib import Path

from masll.common.checks import suggestion
from masll.common.errors import InputError
from masll.common.storage import AnyPath, any_path
from tuning.study.folder import StudyFolder

USUAL = "studies"  # the folder that new studies go to
_NAMED = 5  # at most, in an error


def studies_in(place: AnyPath) -> list[StudyFolder]:
    """The folders right in a place that hold a study, by name; none where it is no folder."""
    if not place.is_dir():
        return []
    content: list[AnyPath] = [*place.content()]
    folders = [StudyFolder(path) for path in sorted(content, key=str)]
    return [folder for folder in folders if folder.spec.exists()]


def newest_study(start: Path | None = None) -> AnyPath:
    """The study that was begun, or gone on with, last: its spec.json is the newest.

    Args:
        start: a folder of this machine, the working one where none is given. Its studies/ counts,
            or else that of the nearest folder above with a study in it.

    Raises:
        InputError: there is no study in any.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if studies := studies_in(any_path(folder / USUAL)):
            return max(studies, key=lambda study: Path(str(study.spec)).stat().st_mtime).path
    raise InputError(
        f"no study in {USUAL}/ of {here} or of a folder above it; python -m tuning.search makes one"
    )


def others_than(folder: StudyFolder) -> str:
    """The end of an error about a folder that holds no study: which studies there are.

    Of those beside it, the one with the nearest name, or the last few; nothing on S3, which would
    take requests.
    """
    if folder.path.remote:
        return ""
    usual = type(folder.path)(USUAL)
    places = [folder.path.parent] + [usual] * (usual.resolve() != folder.path.parent.resolve())
    names = []
    with contextlib.suppress(OSError):  # a folder that may not be read helps nobody
        names = [str(study) for place in places for study in studies_in(place)]
    near = suggestion(str(folder), names)
    if near or not names:
        return near
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"; there are {', '.join(names[-_NAMED:])}{more}"
