"""The last screen of a search: what helped and where it lies, or what ended it and how to go on."""

import importlib
import sys
import threading

from masll.common.command import command_line
from masll.common.escaping import for_terminal
from masll.common.terminal import Terminal
from masll.common.times import duration
from tuning.ledger import Outcome
from tuning.plan import StudyPlan
from tuning.study.folder import StudyFolder
from tuning.study.spec import read_spec
from tuning.study.trial import Stage, Status


def prepare() -> None:
    """Import what the last screen needs, beside whatever ends meanwhile."""
    threading.Thread(target=importlib.import_module, args=("ablations.documents",)).start()


def end(plan: StudyPlan, outcome: Outcome, folder: StudyFolder, console: Terminal) -> int:
    """Say what ended a run before its plan was done, or report: the exit status."""
    resumed = command_line("tuning.search", "--study", folder, "--resume")
    if (error := _error(outcome, plan)) is not None:
        print(f"error: {for_terminal(error)}, then go on: {resumed}", file=sys.stderr)
        return 1
    if not plan.done:
        console.print(
            f"{'Ray has died' if outcome.ray_died else 'stopped'}; everything finished is kept, "
            "and what was running goes on after its last checkpoint with:\n"
            f"  {resumed}",
            soft_wrap=True,
        )
        return 1 if outcome.ray_died else 130
    return _report(plan, folder, console)


def _error(outcome: Outcome, plan: StudyPlan) -> str | None:
    """What ended a run before its plan was done, and what to do; None if nothing has."""
    if outcome.unwritable is not None:
        return f"{outcome.unwritable}; everything finished is kept: make room"
    if outcome.hopeless is not None:
        return f"every trial crashed before its first epoch: {outcome.hopeless}; mend that"
    if outcome.crowded is not None:
        reason = f"{outcome.crowded}; for half an hour nothing could run"
        return f"memory is full: {reason}; everything finished is kept: make room"
    if outcome.failure is not None and not plan.done:
        return f"Ray Tune ended the run: {outcome.failure}; everything finished is kept: mend that"
    return None


def _report(plan: StudyPlan, folder: StudyFolder, console: Terminal) -> int:
    """The last screen: what helped, where everything lies, and how to go on."""
    from ablations.documents import print_report, write_report
    from ablations.rows import read_study

    study = read_study(folder.path, search_predictions=False)
    write_report(study, ("md", "csv", "tex"))
    console.print()
    print_report(study, console)
    run = read_spec(folder).runs[-1]
    for place in run.left_out:
        console.tell(f"broken  {place}: no trial came to its first epoch there")
    console.print(
        f"\ntook    {duration(run.seconds)}; slots busy for {run.busy:.0%} of it\n"
        f"rows    {folder}/trials, epochs, predictions (Parquet)\n"
        f"models  {folder}/models\n"
        f"report  {folder}/report/ablation.md\n"
        f"next    {command_line('ablations.report', folder)}\n"
        "        draws figures, the page summary.html and its notebook summary.ipynb",
        soft_wrap=True,
    )
    failed = [
        f"{arm.arm}: {arm.count(Stage.SEARCH, Status.FAILED)} search and "
        f"{arm.count(Stage.CONFIRM, Status.FAILED)} confirm trials failed"
        for arm in plan.arms.values()
        if arm.count(Stage.SEARCH, Status.FAILED) + arm.count(Stage.CONFIRM, Status.FAILED)
        or (arm.best is None and arm.trials)
    ]
    if failed:
        print("; ".join(failed) + f"; column 'error' in {folder}/trials says why", file=sys.stderr)
    return 1 if failed else 0
