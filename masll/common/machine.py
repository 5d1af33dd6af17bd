"""This machine: its cores, its cache folder, and locks between its processes."""

import contextlib
import fcntl
import hashlib
import os
import re
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from masll.common.errors import InputError

_MANY_CORES = 1e6


def usable_cores() -> int:
    """Cores that this process may run on, as far as a container's quota goes."""
    affinity = getattr(os, "sched_getaffinity", None)  # macOS has none
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(cores, int(cpu_quota())))


def cpu_quota(groups: Path = Path("/sys/fs/cgroup")) -> float:
    """Cores' worth of time that a container's control group may use, of version 2 or 1.

    Many cores where there is no limit that can be read.
    """
    with contextlib.suppress(OSError, ValueError):
        quota, period = (groups / "cpu.max").read_text().split()
        return _MANY_CORES if quota == "max" else int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError):
        quota, period = (
            (groups / "cpu" / f"cpu.cfs_{what}_us").read_text() for what in ("quota", "period")
        )
        return _MANY_CORES if int(quota) < 0 else int(quota) / int(period)
    return _MANY_CORES


def peak_memory(status: Path = Path("/proc/self/status")) -> int:
    """The most memory that this process has had since its start, in bytes."""
    with contextlib.suppress(OSError):
        # What Linux reports as ru_maxrss counts the process that started this one, too.
        if found := re.search(r"^VmHWM:\s*(\d+) kB", status.read_text(), re.MULTILINE):
            return 2**10 * int(found[1])
    unit = 1 if sys.platform == "darwin" else 2**10
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def default_cache() -> Path:
    """Where stores lie: $MASLL_CACHE, or `masll` in the user's cache folder."""
    if named := os.environ.get("MASLL_CACHE"):
        return Path(named)
    if user_cache := os.environ.get("XDG_CACHE_HOME"):
        return Path(user_cache) / "masll"
    try:
        return Path.home() / ".cache" / "masll"
    except RuntimeError as error:  # a user without a home, as in some containers
        raise InputError(f"no cache folder: {error}; set MASLL_CACHE") from error


_LONGEST_TEMPORARY = 20  # characters; a socket's path has 107 at most, 103 on macOS


def place_for_sockets() -> str:
    """The temporary folder, or /tmp where a socket of Ray's would have too long a path in it."""
    temporary = tempfile.gettempdir()
    return temporary if len(temporary) <= _LONGEST_TEMPORARY else "/tmp"


@contextlib.contextmanager
def locked(path: Path, waiting: Callable[[], None] | None) -> Iterator[None]:
    """Hold a lock that other processes wait for, and that ends with this process at the latest.

    Where the file system of `path` has no locks, as some of networks have none, the lock is a file
    among the temporary ones: it holds for this machine.
    """
    with contextlib.ExitStack() as files:
        file = files.enter_context(path.open("w"))
        try:
            is_free = _lock(file)
        except OSError:
            name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
            beside = Path(tempfile.gettempdir(), f"masll-{os.getuid()}-{name}.lock")
            file = files.enter_context(beside.open("w"))
            is_free = _lock(file)
        if not is_free:
            if waiting is not None:
                waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _lock(file: IO[str]) -> bool:
    """Whether the lock on an open file was free, and now is ours.

    Raises:
        OSError: its file system has no locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
