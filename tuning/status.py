"""`python -m tuning.status STUDY`: how far a study has come, from any terminal at any time."""

import datetime
import time

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from masll.cli import Parser, run
from masll.errors import InputError
from masll.places import Place, S3Path, check_bucket, place
from tuning.lock import holder
from tuning.progress import ProgressView, duration
from tuning.rows import StudyRows
from tuning.study import load_plan, read_spec, resumed_options, spent_by_arm
from tuning.unfinished import Unfinished

_EVERY = 5.0  # seconds between looks with --follow

_EPILOG = """\
examples:
  python -m tuning.status studies/paper
      arms, trials, best validation AUC, what runs now, and time spent
  python -m tuning.status s3://bucket/paper --follow
      the same again every few seconds, until nobody searches in the study any more

exit status: 0 shown, 2 no such study, 130 stopped by Ctrl-C
"""


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(
        prog="python -m tuning.status",
        description="Show how far a study has come. Reads its folder only: safe at any time.",
        epilog=_EPILOG,
    )
    parser.add_argument("study", metavar="STUDY", help="folder of the study, here or on s3://")
    parser.add_argument("--follow", action="store_true", help="go on until the study is done")
    given = parser.parse_args(arguments)
    folder = place(given.study)
    if isinstance(folder, S3Path):
        check_bucket(folder)
    view = StatusView(folder)
    console = Console()
    if not given.follow:
        console.print(view.look(console), crop=False)
    elif console.is_terminal:
        with Live(view.look(console), console=console, auto_refresh=False) as live:
            while view.held:
                time.sleep(_EVERY)
                live.update(view.look(console), refresh=True)
    else:
        _print_changes(view, console)
    return 0


def _print_changes(view: "StatusView", console: Console) -> None:
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

    def __init__(self, folder: Place) -> None:
        self.folder = folder
        _, space = resumed_options(read_spec(folder), {})
        self._rows = StudyRows(folder, space)
        self.held: str | None = None
        self.ended = 0

    def look(self, console: Console) -> RenderableType:
        """Arms, what runs now, and time spent.

        Raises:
            InputError: the study is gone, or cannot be read.
        """
        try:
            return self._look(console)
        except OSError as error:
            raise InputError(f"cannot read the study {self.folder}: {error.strerror}") from error

    def _look(self, console: Console) -> RenderableType:
        spec = read_spec(self.folder)
        options, space = resumed_options(spec, {})
        self.held = holder(self.folder)  # before the rows, or the last ones might be missed
        plan = load_plan(self.folder, options, space, rows=self._rows)
        self.ended = sum(len(of_arm.finished) for of_arm in plan.arms.values())
        state = "done" if plan.done else "stopped; go on with --resume"
        if self.held:
            state = f"runs: {self.held}"
        lines = [f"study {self.folder}, begun {spec['created_at']}; {state}"]
        now = datetime.datetime.now(datetime.UTC)
        waiting = plan.waiting  # not those whose rows a killed run had written
        for begun in Unfinished(self.folder).all():
            if begun.trial.trial_id not in waiting:
                continue
            since = duration((now - begun.started_at).total_seconds())
            where = f" on {begun.where}" if begun.where else ""
            crashed = f", crashed {begun.crashes} times" if begun.crashes else ""
            lines.append(
                f"{begun.trial.trial_id}: {begun.epochs} of {options.epochs} epochs{where}, "
                f"begun {since} ago{crashed}"
            )
        spent = spent_by_arm(self._rows).values()
        hours = sum(of_arm["slot_hours"] for of_arm in spent)
        gpu_hours = sum(of_arm["gpu_hours"] for of_arm in spent)
        lines.append(f"{hours:.2f} hours of a slot spent, {gpu_hours:.2f} hours of a GPU")
        table = ProgressView(plan, 1, console).table(time_left=False)
        return Group(_plain(lines[0]), table, *map(_plain, lines[1:]))


def _plain(line: str) -> Text:
    """A line as it is, however long: for people, and for programs that look for a word."""
    return Text(line, no_wrap=True, overflow="ignore")


if __name__ == "__main__":
    run(main)
