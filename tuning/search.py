"""`python -m tuning.search`: search every arm, confirm its best over seeds, print the ablation."""

import argparse
import datetime
import os
import socket
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

from masll.cli import Parser, add_options, python_command, run
from masll.data.prepare import prepare
from masll.data.store import DataOptions, ImageStore
from masll.errors import InputError
from masll.places import Place, S3Path, check_bucket, on_s3, place
from tuning.cases import Cases, choose_cases, read_cases, write_folds
from tuning.lock import check_free, hold
from tuning.options import SearchOptions, parse_time, resolve
from tuning.plan import Finished, StudyPlan
from tuning.progress import ProgressView, duration
from tuning.rows import StudyRows
from tuning.slots import find_slots, this_machine, trials_on_one
from tuning.space import Space, load_space
from tuning.study import (
    forget_ended,
    load_plan,
    make_spec,
    read_spec,
    record_run,
    resumed_options,
    write_spec,
)

_DESCRIPTION = """\
Search hyperparameters with the same budget for every arm (a variant on a backbone), retrain each
arm's best over several seeds, open the test set once, and print the ablation table."""

_EPILOG = """\
examples:
  python -m tuning.search
      the demo preset on synthetic lesions: five arms in a few minutes on a laptop
  python -m tuning.search --data ISIC2017 --backbones efficientnet_lite0 --image-size 96 \\
      --trials 3 --epochs 2 --seeds 2
      a first look at real images
  python -m tuning.search --data ISIC2017 --preset paper --num-gpus 8 --study studies/paper
      the paper's setting on a server
  python -m tuning.search --study studies/paper --resume
      go on with a study that was stopped; python -m tuning.status studies/paper looks on

exit status: 0 all done, 1 some trials failed, 2 bad input, 130 stopped by Ctrl-C
"""


def main(arguments: list[str] | None = None) -> int:
    given = _parse(arguments)
    resume, dry_run = given.pop("resume", False), given.pop("dry_run", False)
    confirm_again = given.pop("confirm_again", False)
    if (resume or confirm_again) and not (resume and "study" in given):
        flag = "--confirm-again needs --resume and" if confirm_again else "--resume needs"
        raise InputError(f"{flag} --study DIR, the study to go on with")
    if resume:
        spec = read_spec(place(given["study"]))
        options, space = resumed_options(spec, given)
    else:
        options = resolve(given)
        space = load_space(options.space)
    folder = place(options.study or f"studies/{datetime.datetime.now():%Y-%m-%d-%H%M%S}")
    _check_folder(folder, resume)
    _check_machine_and_networks(options)
    store = prepare(options, options.source_pixels)
    if resume:
        _check_same_data(spec, store)
        spec["options"] |= {"trials": options.trials, "seeds": options.seeds}
        cases = read_cases(folder, spec)
    else:
        cases = choose_cases(options)
        spec = make_spec(options, space, store, cases)
    console = Console()
    if dry_run:
        plan = load_plan(folder, options, space, confirm_again=confirm_again)
        _print_plan(plan, options, store, cases, console)
        return 0
    with hold(folder):
        plan = load_plan(folder, options, space, confirm_again=confirm_again)
        forget_ended(folder, plan)
        ray_died = _train(plan, folder, spec, options, space, store, cases, console)
    if not plan.done:
        console.print(
            f"{'Ray has died' if ray_died else 'stopped'}; everything finished is kept, and what "
            "was running goes on after its last epoch with:\n"
            f"  {python_command()} -m tuning.search --study {folder} --resume",
            highlight=False,
            soft_wrap=True,
        )
        return 1 if ray_died else 130
    return _report(plan, folder, console)


def _train(
    plan: StudyPlan,
    folder: Place,
    spec: dict[str, Any],
    options: SearchOptions,
    space: Space,
    store: ImageStore,
    cases: Cases,
    console: Console,
) -> bool:
    """Run what is left of the plan on Ray, with its progress on the console.

    Returns:
        Whether Ray itself has died.
    """
    from tuning import engine
    from tuning.dashboard import DashboardFile
    from tuning.trainable import ray_node_id

    started = datetime.datetime.now(datetime.UTC)
    with engine.ray_session(options):
        slots = engine.place(options, console.print)
        write_folds(folder, cases)
        write_spec(folder, spec)  # from here on there is a study
        console.print(f"study {folder}: {_counts(plan)}; {slots}", highlight=False, soft_wrap=True)
        job = engine.Job(
            store=str(store.folder.resolve()),
            node_id=ray_node_id(),
            data=DataOptions(options.data, options.source_pixels, options.fit, options.partial),
            fingerprint=spec["data"]["fingerprint"],
            study=str(folder.resolve()),
            epochs=options.epochs,
            batch_size=options.batch_size,
            image_size=options.image_size,
            pretrained=options.pretrained,
            threads=slots.cpus,
        )
        view = ProgressView(plan, slots.count, console)
        dashboard = DashboardFile(folder, plan)

        def on_finished(ended: Finished, row: dict[str, Any]) -> None:
            dashboard.add(ended)
            view.finished(ended, row)

        with view.shown():
            outcome = engine.run(
                plan,
                StudyRows(folder, space),
                job,
                slots,
                search_seconds=parse_time(options.time_budget),
                on_finished=on_finished,
                on_slots=view.set_slots,
            )
    dashboard.put_up()
    write_spec(folder, record_run(spec, folder, started, slots, outcome.busy))
    return outcome.ray_died


def _parse(arguments: list[str] | None) -> dict[str, Any]:
    """The options that were given, and only those."""
    parser = Parser(prog="python -m tuning.search", description=_DESCRIPTION, epilog=_EPILOG)
    add_options(parser, SearchOptions, suppress_defaults=True)
    flags = {
        "--resume": "go on with the study in --study; trials and seeds may be raised",
        "--dry-run": "print arms, trials, space and the time they will take, and start nothing",
        "--confirm-again": "with --resume: open the test set once more, for arms whose longer "
        "search has found something better; every table will say so",
    }
    for flag, help_text in flags.items():
        parser.add_argument(flag, action="store_true", default=argparse.SUPPRESS, help=help_text)
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in vars(parser.parse_args(arguments)).items()
    }
    if given.get("data", "synthetic") != "synthetic" and not on_s3(given["data"]):
        given["data"] = str(Path(given["data"]).resolve())  # --resume may come from elsewhere
    return given


def _check_folder(folder: Place, resume: bool) -> None:
    if isinstance(folder, S3Path):
        check_bucket(folder)
    else:
        _check_local_folder(folder)
    check_free(folder)
    if not resume and any(path.name != ".lock" for path in _content(folder)):
        raise InputError(
            f"{folder} is not empty; add --resume to go on with the study in it, "
            "or name another folder"
        )


def _content(folder: Place) -> Iterable[Place]:
    """What lies right in a folder; on S3, below it."""
    if isinstance(folder, S3Path):
        return (folder / stored.name for stored in folder.listed())
    return folder.iterdir() if folder.exists() else ()


def _check_local_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--study {folder} is a file; name a folder")
    there = next(parent for parent in folder.absolute().parents if parent.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        why = "Permission denied" if there.is_dir() else "Not a directory"
        raise InputError(f"cannot write the study {folder}: {there}: {why}; name another folder")


def _check_machine_and_networks(options: SearchOptions) -> None:
    """Find what would fail every trial before anything starts: slots, backbones, weights."""
    if options.address is None:
        find_slots(options, [this_machine()])
    else:
        _check_address(options.address)
    # timm and Ray take seconds to import: not to be paid for a misspelt option.
    from masll.backbones import feature_layout, imagenet_weights

    for backbone in options.backbones:
        feature_layout(backbone, options.image_size)
        if options.pretrained:
            imagenet_weights(backbone)


def _check_address(address: str) -> None:
    """Whether something listens at `host:port`: Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    if address == "auto" or "://" in address:
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError, OverflowError) as error:
        raise InputError(
            f"no Ray cluster at --address {address}: {error}; give host:port of its head, or auto "
            "on a machine of it"
        ) from error


def _check_same_data(spec: dict[str, Any], store: ImageStore) -> None:
    if store.index["fingerprint"] != spec["data"]["fingerprint"]:
        raise InputError(
            f"the images in '{spec['options']['data']}' are not those the study began with "
            "(ids, labels, splits or content differ); put them back, or start another study"
        )


def _counts(plan: StudyPlan) -> str:
    searches = sum(arm.trials for arm in plan.arms.values())
    confirms = sum(arm.seeds for arm in plan.arms.values())
    finished = sum(len(arm.finished) for arm in plan.arms.values())
    already = f", {finished} of them finished already" if finished else ""
    return f"{len(plan.arms)} arms, {searches} search and {confirms} confirm trials{already}"


def _print_plan(
    plan: StudyPlan, options: SearchOptions, store: ImageStore, cases: Cases, console: Console
) -> None:
    """What a study would do, and how long it would take."""
    from tuning.estimate import epoch_seconds, study_seconds

    table = Table(Column("arm", overflow="fold"), Column("search", no_wrap=True),
                  Column("confirm", no_wrap=True), Column("an epoch", no_wrap=True),
                  "searched (first trial)", box=SIMPLE_HEAD, pad_edge=False)  # fmt: skip
    measured = {}
    for arm in plan.arms.values():
        measured[arm.arm] = epoch_seconds(arm.arm, options, store, cases)
        searched = ", ".join(f"{p.shown()} ({p.default:g})" if isinstance(p.default, float)
                             else f"{p.shown()} ({p.default})" for p in arm.space)  # fmt: skip
        seconds = duration(measured[arm.arm]["search"])
        table.add_row(str(arm.arm), str(arm.trials), str(arm.seeds), seconds, searched)
    console.print(f"{_counts(plan)}, at most {options.epochs} epochs each")
    console.print(table)
    if cases.left_out:
        console.print(f"{len(cases.left_out)} images left out: the same lesion comes again later")
    if options.address:
        slots = (options.num_gpus or 1) * trials_on_one(options.gpu_share or 1)
    else:
        slots = find_slots(options, [this_machine()]).count
    total = study_seconds(plan, measured) / slots
    less = "; trials stopped early make it shorter" * (options.scheduler == "asha")
    console.print(
        f"about {duration(total)} at most with {slots} trial{'s' * (slots > 1)} at once, by one "
        f"measured step of each arm{less}",
        highlight=False,
    )


def _report(plan: StudyPlan, folder: Place, console: Console) -> int:
    """The last screen: the ablation table, and where everything lies."""
    from ablations.report import print_report, write_report
    from ablations.rows import read_study

    study = read_study(folder)
    write_report(study, ("md", "csv", "tex"))
    print_report(study, console)
    runs = read_spec(folder)["runs"]
    console.print(
        f"slots   busy for {runs[-1]['busy']:.0%} of {duration(runs[-1]['seconds'])}\n"
        f"rows    {folder}/trials, epochs, predictions (Parquet)\n"
        f"models  {folder}/models\n"
        f"report  {folder}/report; figures and a page:\n"
        f"        {python_command()} -m ablations.report {folder}",
        highlight=False,
        soft_wrap=True,
    )
    failed = [
        f"{arm.arm}: {arm.count('search', 'failed')} search and "
        f"{arm.count('confirm', 'failed')} confirm trials failed"
        for arm in plan.arms.values()
        if arm.count("search", "failed") + arm.count("confirm", "failed") or arm.best is None
    ]
    if failed:
        print("; ".join(failed) + f"; column 'error' in {folder}/trials says why", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    run(main)
