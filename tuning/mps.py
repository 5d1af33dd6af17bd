"""NVIDIA's Multi-Process Service (MPS): kernels of several processes run on a GPU side by side.

Without it trials on one GPU take turns, and none is faster for another's idle cores. Two programs
of the driver's do it: a control process, which anybody may start for processes of their own, and
a server that it starts. https://docs.nvidia.com/deploy/mps
"""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

_CONTROL = "nvidia-cuda-mps-control"
_PIPES, _LOGS = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"
_USUAL_PIPES = Path("/tmp/nvidia-mps")  # NVIDIA's default
_PATIENCE = 10.0  # seconds


def in_use() -> bool:
    """Whether processes that start now will find it."""
    return _PIPES in os.environ or (_USUAL_PIPES / "control").exists()


@contextlib.contextmanager
def own_mps(folder: Path) -> Iterator[None]:
    """MPS for processes that start inside, where there is the program for it.

    One that somebody has started already is used as it is.

    Args:
        folder: of the session, for its pipes and logs. Its path is short; whoever clears the folder
            after a kill finds the process, as that writes into it.
    """
    control = shutil.which(_CONTROL)
    if control is None or in_use():
        yield
        return
    pipes = folder / "mps"
    pipes.mkdir()
    os.environ[_PIPES] = os.environ[_LOGS] = str(pipes)
    try:
        with (pipes / "log").open("wb") as log:
            process = subprocess.Popen(
                [control, "-f"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the search
            )
        try:
            if not _comes(pipes / "control", process):
                _forget()
            yield
        finally:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(
                    [control],
                    input=b"quit\n",
                    capture_output=True,
                    env={**os.environ, _PIPES: str(pipes)},
                    timeout=_PATIENCE,
                    check=False,
                )
                process.wait(_PATIENCE)
            process.kill()
            process.wait()
    finally:
        _forget()


def _comes(pipe: Path, process: "subprocess.Popen[bytes]") -> bool:
    ends = time.monotonic() + _PATIENCE
    while not pipe.exists():
        if process.poll() is not None or time.monotonic() > ends:
            return False
        time.sleep(0.02)
    return True


def _forget() -> None:
    for name in (_PIPES, _LOGS):
        os.environ.pop(name, None)
