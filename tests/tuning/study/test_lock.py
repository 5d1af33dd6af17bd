"""The lock of a study folder: one holder, who can be named, and none left behind by the dead."""

import errno
import fcntl
import os
import subprocess
import sys

import pytest

from masll import InputError
from masll.common.storage import LocalPath
from tests.support import ROOT
from tuning.study.folder import StudyFolder
from tuning.study.lock import check_free, hold, holder

HOLD = """
import sys
from masll.common.storage import LocalPath
from tuning.study.folder import StudyFolder
from tuning.study.lock import hold
with hold(StudyFolder(LocalPath(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def folder(path) -> StudyFolder:
    return StudyFolder(LocalPath(path))


def test_the_second_is_told_who_holds_the_folder(other, tmp_path):
    for refused in (
        lambda: check_free(folder(tmp_path)),
        lambda: hold(folder(tmp_path)).__enter__(),
    ):
        with pytest.raises(InputError, match=f"held by process {other.pid} on .*, since 20"):
            refused()


def test_the_lock_of_a_dead_process_is_taken_over(other, tmp_path):
    (tmp_path / "spec.json").write_text("{}")
    other.kill()
    other.wait()
    assert str(other.pid) in (tmp_path / ".lock").read_text(), "a stale lock is there"
    assert holder(folder(tmp_path)) is None
    check_free(folder(tmp_path))
    with hold(folder(tmp_path)):
        assert str(other.pid) not in (tmp_path / ".lock").read_text()


def test_a_folder_that_came_to_nothing_is_not_left_behind(tmp_path):
    with hold(folder(tmp_path / "new" / "study")):
        assert (tmp_path / "new" / "study").is_dir()
    assert not (tmp_path / "new" / "study").exists()


def test_looking_whether_it_is_held_holds_nothing(tmp_path):
    with hold(folder(tmp_path)):
        assert "process" in holder(folder(tmp_path))
    assert holder(folder(tmp_path)) is None and holder(folder(tmp_path / "nowhere")) is None


def test_without_locks_of_the_file_system_a_lease_keeps_others_out(tmp_path, monkeypatch):
    def none(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", none)
    (tmp_path / "spec.json").write_text("{}")
    with hold(folder(tmp_path)):
        with pytest.raises(InputError, match=f"held by process {os.getpid()} on"):
            check_free(folder(tmp_path))
        with pytest.raises(InputError, match="held by process"):
            hold(folder(tmp_path)).__enter__()
    assert holder(folder(tmp_path)) is None
