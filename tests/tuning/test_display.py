"""What a person reads while a study runs: how many slots there are, and why they become fewer."""

import io

import pytest

from masll.common.terminal import Terminal
from tuning.display import StudyDisplay
from tuning.plan import StudyPlan


def test_slots_that_memory_has_taken_away_are_not_waited_for():
    told = io.StringIO()
    view = StudyDisplay(StudyPlan([]), 32, Terminal(file=told, width=100))
    view.set_slots(16, 32)
    assert "16 of 32 slots there, waiting for machines" in told.getvalue()
    told.truncate(0)
    view.set_slots(24, 24)
    assert told.getvalue() == ""
    view.say("memory has run out; from now on 24 at once")
    assert "memory has run out; from now on 24 at once" in told.getvalue()
    assert "waiting" not in told.getvalue() + str(view.table().caption)


def test_a_file_is_no_terminal_whatever_force_color_says(monkeypatch, tmp_path):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with (tmp_path / "log").open("w") as file:
        view = StudyDisplay(StudyPlan([]), 2, Terminal(file=file, width=100))
        assert view.console.is_terminal, "as Rich sees it"
        with view.shown():
            view.set_slots(1, 2)
    text = (tmp_path / "log").read_text()
    assert text.count("\n") == 1 and "1 of 2 slots there" in text


@pytest.mark.parametrize(
    "text",
    [
        "OSError: nothing below [/scratch/user/job] can be written",
        "RuntimeError: [rank0] out of handles",
        "RuntimeError: [enforce fail at alloc.cpp:1] no memory",
        "KeyError: [red]:warning:[/]",
    ],
)
def test_brackets_of_an_error_are_printed_as_they_are(text: str) -> None:
    told = io.StringIO()
    StudyDisplay(StudyPlan([]), 1, Terminal(file=told)).say(text)
    assert text in told.getvalue()


def test_an_error_moves_no_cursor_and_sets_no_colour() -> None:
    told = io.StringIO()
    StudyDisplay(StudyPlan([]), 1, Terminal(file=told)).say("a\x1b[2Jb\rc\nd\x9b31m")
    assert told.getvalue().endswith("a\\x1b[2Jb\\rc\\nd\\x9b31m\n")
