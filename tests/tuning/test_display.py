"""What a person reads while a study runs: how many slots there are, and why they become fewer."""

import io

from rich.console import Console

from tuning.display import StudyDisplay
from tuning.plan import StudyPlan


def test_slots_that_memory_has_taken_away_are_not_waited_for():
    told = io.StringIO()
    view = StudyDisplay(StudyPlan([]), 32, Console(file=told, width=100))
    view.set_slots(16, 32)
    assert "16 of 32 slots there, waiting for machines" in told.getvalue()
    told.truncate(0)
    view.set_slots(24, 24)
    assert told.getvalue() == ""
    view.say("memory has run out; from now on 24 at once")
    assert "memory has run out; from now on 24 at once" in told.getvalue()
    assert "waiting" not in told.getvalue() + str(view.table().caption)
