"""This machine as a container, macOS or a batch system shows it."""

import errno
import fcntl
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from masll.common import machine
from masll.common.errors import InputError
from masll.common.machine import cpu_quota, default_cache, locked, peak_memory, usable_cores

LARGE = """
from masll.common.machine import peak_memory
before = peak_memory()
large = b"1" * 2**27
del large
print(before, peak_memory())
"""


def groups(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_a_container_s_quota_is_read_from_either_version_of_control_groups(tmp_path):
    assert cpu_quota(groups(tmp_path / "2", cpu_dot_max="150000 100000\n")) == 1.5
    one = {"cpu__cpu_dot_cfs_quota_us": "400000\n", "cpu__cpu_dot_cfs_period_us": "100000\n"}
    assert cpu_quota(groups(tmp_path / "1", **one)) == 4.0


def test_no_quota_and_none_that_can_be_read_limit_nothing(tmp_path):
    none = {"cpu__cpu_dot_cfs_quota_us": "-1\n", "cpu__cpu_dot_cfs_period_us": "100000\n"}
    for name, files in {"max": {"cpu_dot_max": "max 100000\n"}, "1": none, "": {}}.items():
        assert cpu_quota(groups(tmp_path / f"g{name}", **files)) > 10_000
    assert cpu_quota(groups(tmp_path / "bad", cpu_dot_max="nonsense")) > 10_000


def test_a_small_quota_lowers_the_cores_and_leaves_one(monkeypatch):
    monkeypatch.setattr(machine, "cpu_quota", lambda: 0.5)
    assert usable_cores() == 1


def test_cores_are_counted_where_there_is_no_affinity(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    monkeypatch.setattr(machine, "cpu_quota", lambda: 1e6)
    assert usable_cores() == 6


def test_the_most_memory_of_a_process_is_its_own_and_not_that_of_who_started_it(tmp_path):
    large = b"1" * 2**28
    assert peak_memory() > len(large)
    child = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True)
    before, after = map(int, child.stdout.split())
    assert 2**20 < before < 2**27 < after < 2**28
    assert peak_memory(tmp_path / "no such file") > 2**20


def test_a_named_cache_needs_no_home_and_without_both_one_is_asked_for(monkeypatch):
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("MASLL_CACHE", "/cache")
    assert default_cache() == Path("/cache")
    monkeypatch.delenv("MASLL_CACHE")
    with pytest.raises(InputError, match="set MASLL_CACHE"):
        default_cache()


def test_a_long_temporary_folder_is_no_place_for_sockets(monkeypatch):
    monkeypatch.setattr(machine.tempfile, "gettempdir", lambda: "/tmp")
    assert machine.place_for_sockets() == "/tmp"
    monkeypatch.setattr(machine.tempfile, "gettempdir", lambda: "/scratch/me")
    assert machine.place_for_sockets() == "/scratch/me"
    monkeypatch.setattr(machine.tempfile, "gettempdir", lambda: f"/tmp/{'x' * 100}")
    assert machine.place_for_sockets() == "/tmp"


@pytest.mark.parametrize("has_locks", [True, False])
def test_a_second_holder_waits_where_the_file_system_has_locks_and_where_not(
    monkeypatch, tmp_path, has_locks
):
    real, order, free = fcntl.flock, [], threading.Event()

    def flock(file, how):
        if not has_locks and Path(file.name).parent == tmp_path / "cache":
            raise OSError(errno.ENOLCK, "No locks available")
        real(file, how)

    def second() -> None:
        with locked(tmp_path / "cache" / ".lock", lambda: (order.append("waits"), free.set())):
            order.append("second")

    (tmp_path / "cache").mkdir()
    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with locked(tmp_path / "cache" / ".lock", None):
        waiter = threading.Thread(target=second)
        waiter.start()
        assert free.wait(60)
        order.append("first")
    waiter.join(60)
    assert order == ["waits", "first", "second"]
