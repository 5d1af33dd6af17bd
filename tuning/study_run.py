"""A search from its question to its last screen, for `python -m tuning.search`.

Every arm is searched and confirmed, and the ablation printed. Imports Optuna and Arrow; PyTorch and
Ray where they are needed.
"""

import datetime
import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from masll.common.errors import InputError
from masll.common.storage import any_path
from masll.common.terminal import Terminal
from masll.data.prepare import find_images, prepare_images
from masll.data.types import Source
from tuning import last_screen
from tuning.checks import (
    check_new,
    check_resumed,
    check_same_parts,
)
from tuning.dashboard import dashboard_file
from tuning.declarations import declared_arms
from tuning.display import StudyDisplay, counts
from tuning.images import (
    keep_metadata,
    write_folds,
)
from tuning.job import Job
from tuning.ledger import Ledger, Outcome
from tuning.options import SearchOptions, parse_time
from tuning.plan import StudyPlan
from tuning.question import Question, new_question, resumed_question
from tuning.quiet import quiet_optuna
from tuning.restore import forget_ended, load_plan
from tuning.space import load_space
from tuning.specification import resumed_options, with_run
from tuning.start import Session, started
from tuning.study.folder import StudyFolder
from tuning.study.folding import Folding
from tuning.study.known import USUAL
from tuning.study.lock import hold
from tuning.study.rows import TrialRow
from tuning.study.set_aside import set_damaged_aside
from tuning.study.spec import read_spec
from tuning.study.trial import TrialResult
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
        question = new_question(folder, options, arms, space, store, session.weights)
        if dry_run:
            return _preview(question, console, question.plan())
        plan, outcome = _search(question, session, console)
    return last_screen.end(plan, outcome, folder, console)


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
        question = resumed_question(folder, options, spec, store, session.weights)
        if dry_run:
            return _preview(question, console, question.plan(**again), resumed=True)
        plan, outcome = _search(question, session, console, set_aside=set_aside, **again)
    return last_screen.end(plan, outcome, folder, console)


def _preview(
    question: Question, console: Terminal, plan: StudyPlan, *, resumed: bool = False
) -> int:
    """What would run, and what it would see."""
    from tuning.preview import print_plan, print_what_it_will_see  # import PyTorch

    print_plan(plan, question, console)
    print_what_it_will_see(question, console, resumed=resumed)
    return 0


def _search(
    question: Question,
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


def _images(options: SearchOptions, console: Terminal) -> Source:
    """Before anything starts: that there are none is soon known."""
    console.say(f"looking through the images, {options.data}")
    return find_images(options, for_training=True)


def _new_folder(name: str | None) -> str:
    words = [f"{datetime.datetime.now():%Y-%m-%d-%H%M%S}", *(name or "").split()]
    return f"{USUAL}/{'-'.join(words)}"


def _folder(name: str) -> StudyFolder:
    return StudyFolder(any_path(name))


def _train(plan: StudyPlan, question: Question, ray: Path | None, console: Terminal) -> Outcome:
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
        if plan.done:
            last_screen.prepare()  # while Ray ends
    try:
        with_run(spec, folder, started, slots, outcome).write(folder)
    except InputError:
        if outcome.unwritable is None:  # else that is what is told
            raise
    return outcome
