"""One search at a time in a study folder: a lock that dies with the process that holds it."""

import contextlib
import datetime
import fcntl
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from masll.errors import InputError

_NAME = ".lock"


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Keep other searches out of a study folder; make the folder if it is not there.

    Raises:
        InputError: another process holds it, or the folder cannot be made.
    """
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
            raise _in_use(folder) from None
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


def holder(folder: Path) -> str | None:
    """Who searches in a study folder now; None if nobody does."""
    try:
        with (folder / _NAME).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read() or "a process that has just begun"
    except OSError:
        pass
    return None


def check_free(folder: Path) -> None:
    """Raise `InputError` if another process searches in a study folder."""
    if holder(folder) is not None:
        raise _in_use(folder)


def _in_use(folder: Path) -> InputError:
    return InputError(f"{folder} is held by {holder(folder)}; wait until it ends, or stop it")
