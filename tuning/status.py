"""`python -m tuning.status STUDY`: how far a study has come, from any terminal at any time."""

import datetime
from pathlib import Path

from rich.console import Console

from masll.cli import Parser, run
from tuning.lock import holder
from tuning.progress import ProgressView, duration
from tuning.study import load_plan, read_spec, resumed_options, spent_by_arm
from tuning.unfinished import Unfinished

_EPILOG = """\
example:
  python -m tuning.status studies/paper
      arms, trials, best validation AUC, what runs now, and time spent

exit status: 0 shown, 2 no such study
"""


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(
        prog="python -m tuning.status",
        description="Show how far a study has come. Reads its folder only: safe at any time.",
        epilog=_EPILOG,
    )
    parser.add_argument("study", metavar="STUDY", type=Path, help="folder of the study")
    folder: Path = parser.parse_args(arguments).study
    spec = read_spec(folder)
    options, space = resumed_options(spec, {})
    plan = load_plan(folder, options, space)
    console = Console()
    held = holder(folder)
    state = f"runs: {held}" if held else "done" if plan.done else "stopped; go on with --resume"
    console.print(f"study {folder}, begun {spec['created_at']}; {state}",
                  highlight=False, soft_wrap=True)  # fmt: skip
    console.print(ProgressView(plan, 1, console).table(time_left=False))
    now = datetime.datetime.now(datetime.UTC)
    for begun in Unfinished(folder).all():
        since = duration((now - begun.started_at).total_seconds())
        where = f" on {begun.where}" if begun.where else ""
        crashed = f", crashed {begun.crashes} times" if begun.crashes else ""
        console.print(
            f"{begun.trial.trial_id}: {begun.epochs} of {options.epochs} epochs{where}, "
            f"begun {since} ago{crashed}",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
    spent = spent_by_arm(folder)
    hours = sum(of_arm["slot_hours"] for of_arm in spent.values())
    gpu_hours = sum(of_arm["gpu_hours"] for of_arm in spent.values())
    console.print(f"{hours:.2f} hours of a slot spent, {gpu_hours:.2f} hours of a GPU",
                  highlight=False)  # fmt: skip
    return 0


if __name__ == "__main__":
    run(main)
