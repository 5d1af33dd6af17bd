"""Folders for files of one process, which go with it, or with the next one that makes such.

What is killed cannot clear up behind itself. So a folder is held by a lock that ends with its
process, and one that nobody holds is that of a dead one.
"""

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

_HELD = "held"  # the file with the lock


@contextlib.contextmanager
def scratch_folder(
    place: Path, prefix: str, before_removal: Callable[[Path], None] = lambda _: None
) -> Iterator[Path]:
    """A new folder in `place`, removed with all that is in it; those of the dead are removed first.

    Args:
        prefix: of its name, and of those of the same kind.
        before_removal: called with each folder before it is removed, this one's or a dead one's.
    """

    def remove(folder: Path) -> None:
        before_removal(folder)
        shutil.rmtree(folder, ignore_errors=True)

    for folder in place.glob(f"{prefix}*"):
        with contextlib.suppress(OSError), _dead(folder):
            remove(folder)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    with (folder / f"{_HELD}-soon").open("w") as lock:
        # Under its name once it is held. A file system without locks has none: never cleared.
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            Path(lock.name).rename(folder / _HELD)
        try:
            yield folder
        finally:
            remove(folder)


@contextlib.contextmanager
def _dead(folder: Path) -> Iterator[None]:
    """Hold a folder whose process has ended.

    Raises:
        OSError: the process lives, or the folder is not one that this user has made so.
    """
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise PermissionError(f"{folder} is no folder of this user's")
    with (folder / _HELD).open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
