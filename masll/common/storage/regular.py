"""Reading a file that somebody else has put there: only if it is one, and not for ever."""

import errno
import os
import stat
from pathlib import Path

MOST_BYTES = 2**31  # more than any image, table or model of one that we know of


def read_regular(path: Path, most: int = MOST_BYTES) -> bytes:
    """The content of a regular file; a pipe or a device is never waited for.

    Raises:
        OSError: there is none, it is a folder, a pipe or a device, or larger than `most` bytes;
            `strerror` says which, `filename` where.
    """
    # Not blocking: to open a pipe waits for somebody who writes into it.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "no regular file", str(path))
        check_size(str(path), status.st_size, most)
        return file.read()


def check_size(name: str, size: int, most: int) -> None:
    """Raise `OSError` for a file of more than `most` bytes."""
    if size > most:
        raise OSError(errno.EFBIG, f"more than the {most:,} bytes that are read", name)
