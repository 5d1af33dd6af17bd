"""One study as its folder tells it, once or again and again, for `python -m tuning.status`."""

import datetime
import time

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from masll.common.errors import InputError
from masll.common.escaping import for_terminal
from masll.common.terminal import Terminal
from masll.common.times import duration
from tuning.display import StudyDisplay
from tuning.quiet import quiet_optuna
from tuning.restore import load_plan
from tuning.specification import resumed_options
from tuning.study.folder import StudyFolder
from tuning.study.lock import holder
from tuning.study.reader import TrialReader
from tuning.study.spec import read_spec, spent_by_arm
from tuning.study.unfinished import UnfinishedTrials

_EVERY = 5.0  # seconds between looks that follow a study


def show(folder: StudyFolder, *, follow: bool = False) -> None:
    """Print how far a study is.

    Args:
        follow: go on until nobody searches in it any more.

    Raises:
        InputError: it is no study, or cannot be read.
    """
    quiet_optuna()
    view, console = StatusView(folder), Terminal()
    if not follow:
        console.print(view.look(console), crop=False)
    elif console.is_terminal:
        with Live(view.look(console), console=console, auto_refresh=False) as live:
            while view.held:
                time.sleep(_EVERY)
                live.update(view.look(console), refresh=True)
    else:
        _print_changes(view, console)


def _print_changes(view: "StatusView", console: Terminal) -> None:
    """Into a file or a pipe, whenever a trial has ended."""
    shown = -1
    while True:
        looked = view.look(console)
        if view.ended != shown or not view.held:
            console.print(looked, crop=False)
            shown = view.ended
        if not view.held:
            return
        time.sleep(_EVERY)


class StatusView:
    """A study as its folder tells it; each look reads only the rows that have come since.

    Attributes:
        held: who searched in it at the last look; None if nobody did.
        ended: trials that had ended by then.
    """

    def __init__(self, folder: StudyFolder) -> None:
        self.folder = folder
        self._reader = TrialReader(folder, read_spec(folder))
        self.held: str | None = None
        self.ended = 0

    def look(self, console: Terminal) -> RenderableType:
        """Arms, what runs now, and time spent.

        Raises:
            InputError: the study is gone, or cannot be read.
        """
        try:
            return self._look(console)
        except OSError as error:
            raise InputError(f"cannot read the study {self.folder}: {error.strerror}") from error

    def _look(self, console: Terminal) -> RenderableType:
        spec = read_spec(self.folder)
        options = resumed_options(spec, {})
        self.held = holder(self.folder)  # before the rows, or the last ones might be missed
        plan = load_plan(self.folder, options, spec, reader=self._reader)
        self.ended = sum(len(of_arm.results) for of_arm in plan.arms.values())
        state = "done" if plan.done else "stopped; go on with --resume"
        if self.held:
            state = f"runs: {self.held}"
        lines = [f"study {self.folder}, begun {spec.created_at}; {state}"]
        now = datetime.datetime.now(datetime.UTC)
        waiting = plan.waiting  # not those whose rows a killed run had written
        for each in UnfinishedTrials(self.folder).all():
            if each.trial.trial_id not in waiting:
                continue
            since = duration((now - each.started_at).total_seconds())
            where = f" on {each.where}" if each.where else ""
            crashed = f", crashed {each.crashes} times" if each.crashes else ""
            lines.append(
                f"{each.trial.trial_id}: {each.epochs} of {options.epochs} epochs{where}, "
                f"begun {since} ago{crashed}"
            )
        spent = spent_by_arm(self._reader.rows()).values()
        hours = sum(of_arm.slot_hours for of_arm in spent)
        gpu_hours = sum(of_arm.gpu_hours for of_arm in spent)
        lines.append(f"{hours:.2f} hours of a slot spent, {gpu_hours:.2f} hours of a GPU")
        table = StudyDisplay(plan, 1, console).table(time_left=False)
        prose = [_line(line, console) for line in lines]
        return Group(prose[0], Text(), table, Text(), *prose[1:])


def _line(line: str, console: Terminal) -> Text:
    """Broken at spaces for people; whole in a pipe, for programs that look for a word."""
    if console.is_terminal:
        return Text(for_terminal(line))
    return Text(for_terminal(line), no_wrap=True, overflow="ignore")
