"""All that a search's Ray leaves on this machine lies in one folder, and goes with the search.

Ray's logs and sockets, its token and the files of Tune. A search that was killed cannot clear up
behind itself, so the next one does, and ends the processes that are left of the dead one's Ray.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from masll.common.machine import place_for_sockets
from masll.common.scratch import scratch_folder

_PREFIX = "masll-ray-"
_SECONDS_TO_DIE = 5.0


@contextlib.contextmanager
def ray_folder() -> Iterator[Path]:
    """A folder for one session of Ray, whose processes end with it; dead ones are cleared first."""
    place = Path(os.environ.get("RAY_TMPDIR") or place_for_sockets()).resolve()
    with scratch_folder(place, _PREFIX, end_processes) as folder:
        yield folder


def end_processes(folder: Path) -> None:
    """End Ray's processes of a folder, wherever they hang; where there is no /proc, none is found.

    There (macOS) Ray has a process of its own that ends them after a kill of the search.
    """
    ends = time.monotonic() + _SECONDS_TO_DIE
    while (found := _processes(folder)) and time.monotonic() < ends:
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def _processes(folder: Path) -> list[int]:
    """Ray's processes that name the folder; agents and workers, which do not, write into it."""
    return [
        int(process.name)
        for process in Path("/proc").glob("[0-9]*")
        if _is_of(process, folder) and int(process.name) != os.getpid()
    ]


def _is_of(process: Path, folder: Path) -> bool:
    try:
        command = (process / "cmdline").read_bytes()
        if b"/ray/" in command and f"{folder}/".encode() in command:
            return True
        files = process / "fd"
        written = list(files.iterdir()) if command.startswith(b"ray::") else [files / "1"]
        return any(_leads_into(folder, file) for file in written)
    except OSError:  # it has ended, or is another user's
        return False


def _leads_into(folder: Path, file: Path) -> bool:
    try:
        return file.readlink().is_relative_to(folder)
    except OSError:  # just closed
        return False
