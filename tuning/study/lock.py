"""One search at a time in a study folder: a lock that dies with the process that holds it.

A study on S3 has a lease in its place (see `tuning.study.lease`).
"""

import contextlib
import datetime
import errno
import fcntl
import functools
import os
import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager

from masll.common.errors import InputError
from masll.common.storage import AnyPath, LocalPath, S3Path
from masll.common.storage.local import make_folder
from tuning.study.folder import StudyFolder
from tuning.study.lease import held_error, hold_lease, lease_holder


def hold(folder: StudyFolder) -> AbstractContextManager[None]:
    """Keep other searches out of a study folder; make the folder if there is none.

    Raises:
        InputError: another process holds it, or the folder cannot be made.
    """
    check_free(folder)
    return _hold(folder.lock)


def holder(folder: StudyFolder) -> str | None:
    """Who searches in a study folder now; None if nobody does."""
    return _holder(folder.lock)


def check_free(folder: StudyFolder) -> None:
    """Raise `InputError` if another process searches in a study, or it cannot be read."""
    try:
        process = holder(folder)
    except OSError as error:
        raise InputError(f"cannot read the study {folder}: {error.strerror}") from error
    if process is not None:
        raise held_error(folder.path, process)


@functools.singledispatch
def _hold(lock: AnyPath) -> AbstractContextManager[None]:
    raise NotImplementedError(type(lock))


@functools.singledispatch
def _holder(lock: AnyPath) -> str | None:
    raise NotImplementedError(type(lock))


@_hold.register
@contextlib.contextmanager
def _hold_local(lock: LocalPath) -> Iterator[None]:
    folder = lock.parent
    try:
        make_folder(folder)
        _check_regular(lock)
        file = lock.open("a+")
    except OSError as error:
        raise InputError(
            f"cannot write the study {folder}: {error.strerror}; name another folder"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise held_error(folder, _holder_local(lock)) from None
        except OSError:  # a file system without such locks, as of some clusters
            with hold_lease(lock):
                yield
            return
        file.truncate(0)
        now = datetime.datetime.now()
        file.write(f"process {os.getpid()} on {platform.node()}, since {now:%Y-%m-%d %H:%M:%S}")
        file.flush()
        try:
            yield
        finally:
            # The next one may have opened the file already, so it stays where a study is.
            if not StudyFolder(folder).spec.exists():
                with contextlib.suppress(OSError):
                    lock.unlink()
                    folder.rmdir()


@_holder.register
def _holder_local(lock: LocalPath) -> str | None:
    _check_regular(lock)
    try:
        with lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read() or "a process that has just begun"
            except OSError:
                return lease_holder(lock)
    except OSError:
        pass
    return None


def _check_regular(lock: LocalPath) -> None:
    """Raise `OSError` for a lock that is a pipe or a folder: to open a pipe waits for a writer."""
    if lock.exists() and not lock.is_file():
        raise OSError(errno.EINVAL, f"its {lock.name} is no regular file", str(lock))


@_hold.register
@contextlib.contextmanager
def _hold_s3(lock: S3Path) -> Iterator[None]:
    with hold_lease(lock):
        yield


_holder.register(S3Path, lease_holder)
