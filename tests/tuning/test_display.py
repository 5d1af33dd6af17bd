"""What a person reads while a study runs, on a terminal and without one."""

import io
import re

import pytest

from masll.common.storage import any_path
from masll.common.terminal import Terminal
from masll.variants import VARIANTS
from tests.terminals import emulated, screen
from tests.tuning.display_cases import Clock, epoch_report, row_of, study_plan
from tuning.display import StudyDisplay
from tuning.plan import StudyPlan
from tuning.study.folder import StudyFolder
from tuning.study.trial import TrialResult
from tuning.trial_report import Node, Pace, read_place, write_place


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
    assert "waiting" not in told.getvalue() + str(
        screen(lambda console: console.print(view.screen()), 100)
    )


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


BACKBONES = (("tf_efficientnet_lite0",), ("resnet101", "densenet121"))


def running_study(console: Terminal, backbones: tuple[str, ...]) -> StudyDisplay:
    """Five variants and a control, two trials of them at work."""
    names = [*VARIANTS, "shuffled"]
    plan = study_plan([(name, backbone) for backbone in backbones for name in names], epochs=100)
    view = StudyDisplay(plan, 2, console)
    for epochs in (12, 3):
        trial = plan.next()
        view.begin(trial)
        view.report(trial, epoch_report(epochs, seconds=30.0 * epochs, auc=0.812))
    return view


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("backbones", BACKBONES)
def test_the_live_screen_has_a_row_an_arm_and_a_row_a_running_trial(columns, backbones):
    lines = screen(
        lambda console: console.print(running_study(console, backbones).screen()), columns
    )
    assert max(map(len, lines)) <= columns
    text = "\n".join(lines)
    assert "…" not in text
    for backbone in backbones:
        for name in (*VARIANTS, "shuffled"):
            arm = name if len(backbones) == 1 else f"{name}/{backbone}"
            assert sum(line.startswith(f"{arm} ") for line in lines) >= 1, "never folded"
    assert (backbones[0] in text) == (len(backbones) > 1), "one backbone is not repeated"
    first = next(line for line in lines if "13/100" in line)
    assert re.fullmatch(r"\S+ +search 1 +13/100 +0.812 +341 +44 min", first)
    assert re.match(r"0 of \d+ trials, [\d.]+ (min|h) left, after 0 s", lines[0])


@pytest.mark.parametrize("height", [24, 60])
def test_more_running_trials_than_lines_are_counted(height):
    plan = study_plan([(name, "resnet18") for name in VARIANTS], trials=20)
    console = Terminal(file=io.StringIO(), force_terminal=True, width=80, height=height)
    view = StudyDisplay(plan, 64, console)
    for _ in range(64):
        view.begin(plan.next())
    console.print(view.screen())
    lines = emulated(console.file.getvalue(), 80)
    assert len(lines) < height
    shown = sum(" search " in line for line in lines)
    assert f"and {64 - shown} more running" in lines[-1]


def test_without_a_terminal_a_line_a_second_at_most_tells_of_every_trial():
    told, clock = io.StringIO(), Clock()
    plan = study_plan()
    view = StudyDisplay(plan, 4, Terminal(file=told, width=80))
    view.timing.clock = clock
    for number in range(4):
        trial = plan.next()
        view.begin(trial)
        row = row_of(trial, seconds=9.0, epochs=3, error="out of memory" * (number == 2) or None)
        result = TrialResult(trial, row.status, 0.7, {1: 0.7})
        plan.arms[trial.arm].finish(result)
        view.add(result, row)
    assert told.getvalue() == ""
    view.beat()
    (line,) = told.getvalue().splitlines()
    for said in ("baseline  search 1  completed", "gated-fusion  search 2", "out of memory"):
        assert said in line
    assert "4 of 8 trials" in line
    view.beat()
    assert told.getvalue().count("\n") == 1, "nothing new, nothing said"


def test_without_a_terminal_half_a_minute_of_silence_ends_with_how_far_everything_is():
    told, clock = io.StringIO(), Clock()
    plan = study_plan()
    view = StudyDisplay(plan, 2, Terminal(file=told, width=80))
    view.timing.clock, view._told = clock, clock.now
    trial = plan.next()
    view.begin(trial)
    view.report(trial, epoch_report(3, seconds=30.0))
    for _ in range(95):
        clock.now += 1
        view.beat()
    lines = told.getvalue().splitlines()
    assert len(lines) == 3
    assert re.search(r"running: baseline  search 1 epoch 4/12 AUC 0.700$", lines[0])


def test_a_long_epoch_is_seen_before_it_has_ended(tmp_path):
    folder, plan = StudyFolder(any_path(tmp_path)), study_plan()
    view = StudyDisplay(plan, 2, Terminal(file=io.StringIO(), width=80), folder)
    view.timing.clock = clock = Clock()
    trial = plan.next()
    view.begin(trial)
    write_place(folder, trial.trial_id, Node("gpu-server", "3"), Pace(0.4, 60.0, epoch=1))
    assert read_place(folder, trial.trial_id) == "gpu-server, GPU 3"
    view._polled = clock.now - 11
    view.beat()
    shown = screen(lambda console: console.print(view.screen()), 80)
    assert any(re.search(r"baseline +search 1 +1/12, 40%", line) for line in shown)
    assert "? left" not in shown[0]
    view.report(trial, epoch_report(1, seconds=150.0))
    clock.now += 11
    view.beat()
    shown = screen(lambda console: console.print(view.screen()), 80)
    assert not any("40%" in line for line in shown), "that was said of the epoch before"
