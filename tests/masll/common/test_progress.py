"""How far long work is: a bar on a terminal, a line every half minute without one."""

import sys

import pytest

from masll.common import progress
from masll.common.times import duration
from tests.terminals import emulated


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_without_a_terminal_a_line_every_half_minute(clock, capsys):
    with progress.progress_bar("preparing images") as show:
        for done in range(1, 101):
            clock[0] += 1
            show(done, 400)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"preparing images: {done} of 400 images" for done in (30, 60, 90)]


def test_a_bar_is_wiped_out_when_the_work_is_done(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress.progress_bar("epoch 1 of 2", "steps") as show:
        show(1, 2)
        show(2, 2)
    written = capsys.readouterr().err
    assert "epoch 1 of 2" in written
    assert emulated(written, 80) == [""]


def test_a_time_that_is_not_known_is_a_question_mark():
    assert duration(float("nan")) == "?"
