"""Processes beside this one: what they import stays there, and they end when they should."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from masll.common.errors import InputError
from masll.common.processes import interrupts_held, process_pool


def modules() -> set[str]:
    import wave  # noqa: F401

    return {*sys.modules}


def refuse() -> None:
    raise InputError("backbone 'x' is unknown; name another")


def test_what_a_process_imports_stays_there():
    sys.modules.pop("wave", None)
    with process_pool(1) as pool:
        assert "wave" in pool.submit(modules).result()
    assert "wave" not in sys.modules


def test_what_is_refused_there_is_refused_here():
    with pytest.raises(InputError, match="name another"), process_pool(1) as pool:
        pool.submit(refuse).result()


def test_an_exception_ends_work_that_is_still_running_at_once():
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), process_pool(1) as pool:
        pid = pool.submit(os.getpid).result()
        pool.submit(time.sleep, 600)
        raise KeyboardInterrupt
    assert time.monotonic() < began + 300
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


PARENT = """
import os, time
from masll.common.processes import process_pool
if __name__ == "__main__":
    with process_pool(1) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        pool.submit(time.sleep, 600)
        time.sleep(600)
"""


def test_a_killed_process_leaves_none_of_its_own_behind(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = Path(f"/proc/{int(parent.stdout.readline())}")
    parent.kill()
    parent.wait()
    ends = time.monotonic() + 60
    while child.exists() and time.monotonic() < ends:
        time.sleep(0.02)
    assert not child.exists()


def interrupt_blocked() -> bool:
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_ctrl_c_reaches_no_process_that_was_started_while_interrupts_are_held():
    with process_pool(1) as pool:
        with interrupts_held():
            blocked = pool.submit(interrupt_blocked)
        assert blocked.result() and not interrupt_blocked()
