"""Folders that go with their process, or with the next one."""

import subprocess
import sys

import pytest

from masll.common.scratch import scratch_folder

HOLDS = """
import sys, time
from pathlib import Path
from masll.common.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1]), ".work-") as folder:
    print(folder, flush=True)
    time.sleep(300)
"""


def test_a_folder_goes_with_its_block_whatever_ends_it(tmp_path):
    with pytest.raises(ZeroDivisionError), scratch_folder(tmp_path, ".work-") as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "file").touch()
        _ = 1 / 0
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_goes_with_the_next_one_and_what_lives_stays(tmp_path):
    command = [sys.executable, "-c", HOLDS, str(tmp_path)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        held = tmp_path / holder.stdout.readline().strip()
        with scratch_folder(tmp_path, ".work-"):
            assert held.is_dir()
        assert list(tmp_path.iterdir()) == [held]
    finally:
        holder.kill()
        holder.wait()
    cleared = []
    with scratch_folder(tmp_path, ".other-", cleared.append):
        assert held.is_dir(), "another kind"
    with scratch_folder(tmp_path, ".work-", cleared.append) as folder:
        assert list(tmp_path.iterdir()) == [folder]
    assert cleared[1:] == [held, folder]
