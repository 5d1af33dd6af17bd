"""MPS for packed trials, with a stand-in for NVIDIA's control program."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from tuning import mps
from tuning.mps import own_mps
from tuning.options import resolve
from tuning.ray_folder import end_processes

# Opens its pipe and waits, as the real one does with -f; ends when told so by another of its kind.
CONTROL = """\
#!/bin/bash
pipe=$CUDA_MPS_PIPE_DIRECTORY/control
if [ "$1" != -f ]; then read word; echo "$word" > "$CUDA_MPS_PIPE_DIRECTORY/told"; exit; fi
if [ -n "$MPS_IS_BROKEN" ]; then echo "no GPU"; exit 1; fi
sleep .2; touch "$pipe"
while [ "$(cat "$CUDA_MPS_PIPE_DIRECTORY/told" 2> /dev/null)" != quit ]; do sleep .05; done
touch "$CUDA_MPS_PIPE_DIRECTORY/ended"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """With the program on PATH, and nobody's MPS running."""
    program = tmp_path / "bin" / "nvidia-cuda-mps-control"
    program.parent.mkdir()
    program.write_text(CONTROL)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(mps, "_USUAL_PIPES", tmp_path / "nvidia-mps")
    monkeypatch.delenv("CUDA_MPS_PIPE_DIRECTORY", raising=False)
    (tmp_path / "session").mkdir()
    return tmp_path / "session"


def seen_by_a_process() -> str:
    command = ["bash", "-c", "echo $CUDA_MPS_PIPE_DIRECTORY"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_what_starts_inside_finds_it_and_it_ends_in_order(folder):
    with own_mps(folder):
        assert seen_by_a_process() == str(folder / "mps")
        assert mps.in_use()
    assert seen_by_a_process() == "" and not mps.in_use()
    assert (folder / "mps" / "ended").exists()


def test_a_users_own_is_left_alone(folder, monkeypatch, tmp_path):
    (tmp_path / "nvidia-mps").mkdir()
    (tmp_path / "nvidia-mps" / "control").touch()
    with own_mps(folder):
        assert seen_by_a_process() == "" and mps.in_use()
    (tmp_path / "nvidia-mps" / "control").unlink()
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", "/their/own")
    with own_mps(folder):
        assert seen_by_a_process() == "/their/own"
    assert seen_by_a_process() == "/their/own" and not any(folder.iterdir())


def test_without_the_program_or_where_it_fails_trials_share_without_it(folder, monkeypatch):
    monkeypatch.setenv("MPS_IS_BROKEN", "1")
    with own_mps(folder):
        assert seen_by_a_process() == "" and not mps.in_use()
    assert (folder / "mps" / "log").read_text() == "no GPU\n"
    monkeypatch.setenv("PATH", "/nowhere")
    with own_mps(folder):
        assert not mps.in_use()


def test_that_of_a_killed_search_is_found_by_its_folder(folder):
    session = own_mps(folder)
    session.__enter__()
    found = subprocess.run(
        ["pgrep", "-f", "nvidia-cuda-mps-control -f"], capture_output=True, text=True, check=True
    )
    (pid,) = [pid for pid in map(int, found.stdout.split()) if str(folder) in _output_of(pid)]
    end_processes(folder)
    ends = time.monotonic() + 10
    while _is_alive(pid) and time.monotonic() < ends:
        time.sleep(0.05)
    assert not _is_alive(pid)
    session.__exit__(None, None, None)


def _output_of(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/fd/1").readlink())
    except OSError:
        return ""


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("share", "gpus", "shared"), [("1", None, False), ("0.25", 1, True), ("auto", None, True)]
)
def test_it_is_for_searches_whose_trials_may_share_a_gpu(share, gpus, shared):
    assert resolve({"gpus_per_trial": share, "num_gpus": gpus}).shares_gpus == shared
    assert not resolve({"gpus_per_trial": share, "num_gpus": 0}).shares_gpus
