"""What a killed search leaves on the machine, and what the next one makes of it."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tuning.ray_folder import _processes, ray_folder

WAITS = [sys.executable, "-c", "import time; time.sleep(300)"]


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def start():
    """Starts processes that wait, with arguments more, and ends them after the test."""
    started = []

    def process(*arguments: str, output: Path | None = None) -> subprocess.Popen:
        to = subprocess.DEVNULL if output is None else output.open("w")
        started.append(subprocess.Popen([*WAITS, *arguments], stdout=to))
        wait_for_command_line(started[-1])
        return started[-1]

    yield process
    for each in started:
        each.kill()
        each.wait()


def wait_for_command_line(process: subprocess.Popen) -> None:
    """One that was only just started has none yet for /proc to show."""
    command_line = Path("/proc", str(process.pid), "cmdline")
    while command_line.exists() and b"import" not in command_line.read_bytes():
        time.sleep(0.01)


def left_behind(place: Path, name: str = "dead") -> Path:
    folder = place / f"masll-ray-{name}"
    (folder / "logs").mkdir(parents=True)
    (folder / "held").touch()
    return folder


def test_a_session_s_folder_and_processes_go_with_it(place, start):
    with ray_folder() as folder:
        raylet = start("/ray/raylet", f"--log_dir={folder}/logs")
        assert folder.stat().st_mode & 0o777 == 0o700
    assert raylet.wait(timeout=10) == -9 and not list(place.iterdir())


def test_what_a_dead_search_left_is_cleared_by_the_next_one(place, start):
    dead = left_behind(place)
    raylet = start("/ray/raylet", f"--log_dir={dead}/logs")
    worker = start(output=dead / "logs" / "worker.out")
    reader = start(str(dead / "logs" / "raylet.out"))
    other = start("/ray/raylet", f"--log_dir={place}/ray/session_1/logs")
    with ray_folder() as folder:
        assert list(place.iterdir()) == [folder]
        assert raylet.wait(timeout=10) == worker.wait(timeout=10) == -9
        assert reader.poll() is other.poll() is None, "a person's reader, and another Ray"


def test_a_search_that_lives_and_what_no_search_has_made_are_left_alone(place, start):
    foreign = left_behind(place, "foreign")
    (foreign / "held").unlink()
    elsewhere = left_behind(place.parent, "elsewhere")
    (place / "masll-ray-link").symlink_to(elsewhere)
    with ray_folder() as living:
        raylet = start("/ray/raylet", f"--log_dir={living}/logs")
        with ray_folder() as second:
            assert living != second
        assert living.is_dir() and raylet.poll() is None
    assert foreign.is_dir() and elsewhere.is_dir()


def test_a_worker_that_opens_and_closes_files_all_the_time_is_found(place):
    folder = place / "masll-ray-busy"
    (folder / "logs").mkdir(parents=True)
    busy = (
        "import os, sys; log = os.open(sys.argv[1], os.O_CREAT); os.dup2(log, 50); os.close(log)\n"
        "while True: os.close(os.open(os.devnull, 0))"
    )
    command = ["ray::Worker", "-c", busy, str(folder / "logs" / "worker.out")]
    worker = subprocess.Popen(command, executable=sys.executable)
    try:
        while not (folder / "logs" / "worker.out").exists():
            time.sleep(0.01)
        time.sleep(0.1)
        assert all(_processes(folder) == [worker.pid] for _ in range(100))
    finally:
        worker.kill()
        worker.wait()
