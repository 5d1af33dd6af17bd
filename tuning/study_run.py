"""A search from its question to its last screen, for `python -m tuning.search`.

Every arm is searched and confirmed, and the ablation printed. Imports Optuna and Arrow; PyTorch and
Ray where they are needed.
"""

import dataclasses
import datetime
import functools
import importlib
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from masll.common.command import command_line
from masll.common.errors import InputError
from masll.common.escaping import for_terminal
from masll.common.storage import any_path
from masll.common.terminal import Terminal
from masll.common.times import duration
from masll.data.prepare import find_images, prepare_images
from masll.data.store import ImageStore
from masll.data.types import Source
from tuning.checks import (
    check_masks,
    check_new,
    check_resumed,
    check_same_images,
    check_same_parts,
    check_same_weights,
)
from tuning.dashboard import dashboard_file
from tuning.declarations import declared_arms
from tuning.display import StudyDisplay, counts
from tuning.images import (
    StudyImages,
    choose_images,
    keep_metadata,
    read_images,
    write_folds,
)
from tuning.job import Job
from tuning.ledger import Ledger, Outcome
from tuning.options import SearchOptions, parse_time
from tuning.plan import StudyPlan
from tuning.quiet import quiet_optuna
from tuning.restore import forget_ended, load_plan
from tuning.space import load_space
from tuning.specification import make_spec, resumed_options, with_run
from tuning.start import Session, started
from tuning.study.arm import Arm
from tuning.study.folder import StudyFolder
from tuning.study.folding import Folding
from tuning.study.known import USUAL
from tuning.study.lock import hold
from tuning.study.rows import TrialRow
from tuning.study.set_aside import set_damaged_aside
from tuning.study.space import Space
from tuning.study.spec import Spec, WeightsRecord, read_spec
from tuning.study.trial import Stage, Status, TrialResult
from tuning.study.writer import RowWriter


def begin(options: SearchOptions, *, dry_run: bool = False) -> int:
    """A new study: its exit status.

    Raises:
        InputError: what is asked cannot be had here.
    """
    quiet_optuna()
    console = Terminal()
    space = load_space(options.space, options.fixed)
    arms = declared_arms(options, space)
    folder = _folder(options.study or _new_folder(options.name))
    check_new(folder)
    source = _images(options, console)
    with started(options, arms, console, starts=not dry_run) as session:
        store = prepare_images(source, options, options.source_pixels)
        question = _new_question(folder, options, arms, space, store, session.weights)
        if dry_run:
            return _preview(question.plan(), question, console)
        plan, outcome = _search(question, session, console)
    return _end(plan, outcome, folder, console)


def resume(
    chosen: dict[str, Any],
    *,
    dry_run: bool = False,
    set_aside: bool = False,
    confirm_again: bool = False,
    retry_failed: bool = False,
) -> int:
    """A study that goes on: its exit status.

    Args:
        chosen: the options that were given, by name; `study` is one of them.
        set_aside: move the files of damaged trials away first.
        confirm_again, retry_failed: see `load_plan`.

    Raises:
        InputError: the study is none, is damaged, or was asked otherwise.
    """
    quiet_optuna()
    console = Terminal()
    again = {"confirm_again": confirm_again, "retry_failed": retry_failed}
    folder = _folder(chosen["study"])
    spec = read_spec(folder)
    options = resumed_options(spec, chosen)
    check_resumed(folder)
    check_same_parts(folder, spec, options)
    if not set_aside:
        load_plan(folder, options, spec)  # whether any trial is damaged: images may take long
    source = _images(options, console)
    with started(options, (), console, starts=not dry_run) as session:
        store = prepare_images(source, options, options.source_pixels)
        question = _resumed_question(folder, options, spec, store, session.weights)
        if dry_run:
            return _preview(question.plan(**again), question, console, resumed=True)
        plan, outcome = _search(question, session, console, set_aside=set_aside, **again)
    return _end(plan, outcome, folder, console)


def _preview(
    plan: StudyPlan, question: "_Question", console: Terminal, *, resumed: bool = False
) -> int:
    """What would run, and what it would see."""
    from tuning.preview import print_plan  # imports PyTorch

    print_plan(plan, question.options, question.store, question.images, console)
    _print_what_it_will_see(question, console, resume=resumed)
    return 0


def _search(
    question: "_Question",
    session: Session,
    console: Terminal,
    *,
    set_aside: bool = False,
    **again: bool,
) -> tuple[StudyPlan, Outcome]:
    """Run what is left to do."""
    with hold(question.folder):
        if set_aside:
            for line in set_damaged_aside(question.folder, question.spec):
                console.print(line, soft_wrap=True)
        plan = question.plan(**again)
        forget_ended(question.folder, plan)
        try:
            return plan, _train(plan, question, session.ray, console)
        finally:
            session.end()  # while nobody else may begin: a worker may be writing still


def _end(plan: StudyPlan, outcome: Outcome, folder: StudyFolder, console: Terminal) -> int:
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


@dataclass(frozen=True)
class _Question:
    """What a study is asked, and all that it takes to answer."""

    folder: StudyFolder
    options: SearchOptions
    spec: Spec
    store: ImageStore
    images: StudyImages

    def plan(self, *, confirm_again: bool = False, retry_failed: bool = False) -> StudyPlan:
        """What is left to do."""
        return load_plan(
            self.folder,
            self.options,
            self.spec,
            confirm_again=confirm_again,
            retry_failed=retry_failed,
        )


def _new_question(
    folder: StudyFolder,
    options: SearchOptions,
    arms: tuple[Arm, ...],
    space: Space,
    store: ImageStore,
    weights: Mapping[str, WeightsRecord],
) -> _Question:
    """A new study."""
    check_masks(arms, store)
    images = choose_images(options)
    images.check_classes(store)
    spec = make_spec(options, arms, space, store, images, weights)
    return _Question(folder, options, spec, store, images)


def _resumed_question(
    folder: StudyFolder,
    options: SearchOptions,
    spec: Spec,
    store: ImageStore,
    weights: Mapping[str, WeightsRecord],
) -> _Question:
    """A study that goes on."""
    check_same_images(spec, options.data, store)
    check_same_weights(spec, weights)
    # A larger budget, where the images are now, and what an earlier version did not say.
    asked = {"trials": options.trials, "seeds": options.seeds, "set": options.set}
    asked |= {"data": options.data, "weights": options.weights}
    asked |= {"name": options.name, "note": options.note}
    asked |= dataclasses.asdict(options.selection)
    spec = dataclasses.replace(spec, options={**spec.options, **asked})
    images = read_images(folder, spec)
    images.check_classes(store)
    return _Question(folder, options, spec, store, images)


def _images(options: SearchOptions, console: Terminal) -> Source:
    """Before anything starts: that there are none is soon known."""
    console.say(f"looking through the images, {options.data}")
    return find_images(options, for_training=True)


def _new_folder(name: str | None) -> str:
    words = [f"{datetime.datetime.now():%Y-%m-%d-%H%M%S}", *(name or "").split()]
    return f"{USUAL}/{'-'.join(words)}"


def _folder(name: str) -> StudyFolder:
    return StudyFolder(any_path(name))


def _train(plan: StudyPlan, question: _Question, ray: Path | None, console: Terminal) -> Outcome:
    """Run what is left of the plan, with its progress on the console."""
    folder, options, spec = question.folder, question.options, question.spec
    store, images = question.store, question.images
    started, node_id = datetime.datetime.now(datetime.UTC), None
    train: Callable[[Ledger, Job], Outcome]
    if options.in_process:
        from tuning import in_process  # imports PyTorch

        slots = in_process.one_slot(options)
        train = functools.partial(in_process.run, store=store, images=images)
    else:
        from tuning import engine
        from tuning.trainable import ray_node_id

        node_id = ray_node_id()
        slots = engine.choose_slots(options, spec.arms, console.print)
        train = functools.partial(engine.run, folder=ray)
    with dashboard_file(folder, plan) as dashboard:
        write_folds(folder, images)
        keep_metadata(folder, store)
        for name, part in options.parts.items():
            folder.part(name).write_whole(part.source)
        spec.write(folder)  # from here on there is a study
        console.tell(f"study {folder}: {counts(plan)}; {slots}")
        job = Job(
            store=str(store.folder.resolve()),
            node_id=node_id,
            data=options.data_options,
            fingerprint=store.index["fingerprint"],
            study=str(folder.path.resolve()),
            recipe=options.recipe,
            threads=slots.cpus,
        )
        display = StudyDisplay(plan, slots.count, console, folder)
        folding = Folding(folder, sum(len(of_arm.results) for of_arm in plan.arms.values()))

        def on_result(result: TrialResult, row: TrialRow) -> None:
            dashboard.add(result)
            display.add(result, row)
            folding.add()

        ledger = Ledger(
            plan,
            RowWriter(folder, spec.space),
            slots,
            on_result=on_result,
            on_begin=display.begin,
            on_report=display.report,
            on_slots=display.set_slots,
            say=display.say,
            search_ends=time.monotonic() + parse_time(options.time_budget),
        )
        with display.shown():
            outcome = train(ledger, job)
        if plan.done:  # the last screen's packages, while Ray ends
            threading.Thread(target=importlib.import_module, args=("ablations.documents",)).start()
    try:
        with_run(spec, folder, started, slots, outcome).write(folder)
    except InputError:
        if outcome.unwritable is None:  # else that is what is told
            raise
    return outcome


def _print_what_it_will_see(question: _Question, console: Terminal, *, resume: bool) -> None:
    """By the number of test images, and by what the search has shown of a study that goes on."""
    from ablations.planning import print_planned
    from ablations.rows import read_study

    labels = question.store.listed("test")["labels"]
    options = question.options
    study = read_study(question.folder.path, search_predictions=False) if resume else None
    print_planned(question.spec.arms, sum(labels), len(labels), options.seeds, console, study)


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
