"""One search at a time in a study folder: a lock that dies with the process that holds it.

A study on S3 has a lease in its place (see `tuning.lease`).
"""

import contextlib
import datetime
import fcntl
import os
import platform
from collections.abc import Iterator

from masll.errors import InputError
from masll.places import Place, S3Path
from tuning.lease import check_lease, held_error, hold_lease, lease_holder

_NAME = ".lock"


@contextlib.contextmanager
def hold(folder: Place) -> Iterator[None]:
    """Keep other searches out of a study folder; make the folder if it is not there.

    Raises:
        InputError: another process holds it, or the folder cannot be made.
    """
    if isinstance(folder, S3Path):
        with hold_lease(folder):
            yield
        return
    path = folder / _NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    except OSError as error:
        raise InputError(
            f"cannot write the study {folder}: {error.strerror}; name another folder"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise held_error(folder, holder(folder)) from None
        file.truncate(0)
        now = datetime.datetime.now()
        file.write(f"process {os.getpid()} on {platform.node()}, since {now:%Y-%m-%d %H:%M:%S}")
        file.flush()
        try:
            yield
        finally:
            # The next one may have opened the file already, so it stays where a study is.
            if not (folder / "spec.json").exists():
                with contextlib.suppress(OSError):
                    path.unlink()
                    folder.rmdir()


def holder(folder: Place) -> str | None:
    """Who searches in a study folder now; None if nobody does."""
    if isinstance(folder, S3Path):
        return lease_holder(folder)
    try:
        with (folder / _NAME).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read() or "a process that has just begun"
    except OSError:
        pass
    return None


def check_free(folder: Place) -> None:
    """Raise `InputError` if another process searches in a study folder."""
    if isinstance(folder, S3Path):
        check_lease(folder)
    elif (held := holder(folder)) is not None:
        raise held_error(folder, held)
