"""What a terminal shows of what is written to it, for tests of screens."""

import contextlib
import fcntl
import io
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pyte

from masll.common.terminal import Terminal
from tests.support import ROOT


def emulated(written: str, columns: int, lines: int = 200) -> list[str]:
    """What a terminal shows of what was written to it, line by line, down to the last that is used.

    Lines are wrapped, cursors moved and lines erased as a terminal does it.
    """
    terminal = pyte.Screen(columns, lines)
    terminal.set_mode(pyte.modes.LNM)  # a new line begins at the left, as a tty's driver has it
    pyte.Stream(terminal).feed(written)
    return "\n".join(line.rstrip() for line in terminal.display).rstrip("\n").split("\n")


def screen(show: Callable[[Terminal], object], columns: int) -> list[str]:
    """What a terminal shows of what `show` prints on it."""
    written = io.StringIO()
    show(Terminal(file=written, force_terminal=True, width=columns, color_system="standard"))
    return emulated(written.getvalue(), columns)


def on_terminal(columns: int, module: str, *words: str, cache: Path) -> list[str]:
    """What a terminal of 200 lines shows of `python -m module ...` when it has ended."""
    driver, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 200, columns, 0, 0))
    unset = {"COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR"}
    settings = {name: value for name, value in os.environ.items() if name not in unset}
    process = subprocess.Popen(
        [sys.executable, "-m", module, *words],
        cwd=ROOT,
        env={**settings, "TERM": "xterm", "MASLL_CACHE": str(cache)},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    written = b""
    with contextlib.suppress(OSError):  # the terminal goes with its last process
        while read := os.read(driver, 65536):
            written += read
    os.close(driver)
    assert process.wait() == 0, written.decode()
    return emulated(written.decode(), columns)
