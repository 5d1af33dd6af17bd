"""`python -m tuning.search`: search every arm, confirm its best over seeds, print the ablation."""

import argparse
import datetime
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from masll.cli import Parser, add_options, run
from masll.data.prepare import prepare
from masll.data.store import ImageStore
from masll.errors import InputError
from tuning.options import SearchOptions, parse_time, resolve
from tuning.plan import ArmPlan, StudyPlan
from tuning.progress import ProgressView
from tuning.rows import StudyRows
from tuning.slots import find_slots, this_machine
from tuning.space import Space, load_space
from tuning.study import arms_of, make_spec, read_spec, resumed_options, write_spec

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
      go on with a study that was stopped

exit status: 0 all done, 1 some trials failed, 2 bad input, 130 stopped by Ctrl-C
"""


def main(arguments: list[str] | None = None) -> int:
    given = _parse(arguments)
    resume, dry_run = given.pop("resume", False), given.pop("dry_run", False)
    if resume:
        if "study" not in given:
            raise InputError("--resume needs --study DIR, the study to go on with")
        spec = read_spec(Path(given["study"]))
        options, space = resumed_options(spec, given)
    else:
        options = resolve(given)
        space = load_space(options.space)
    folder = Path(options.study or f"studies/{datetime.datetime.now():%Y-%m-%d-%H%M%S}")
    _check_folder(folder, resume)
    _check_machine_and_networks(options)
    console = Console()
    store = prepare(options, options.source_pixels)
    if resume:
        _check_same_data(spec, store)
        spec["options"] |= {"trials": options.trials, "seeds": options.seeds}
    else:
        spec = make_spec(options, space, store)
    rows = StudyRows(folder, space)
    plan = _plan(options, space, rows)
    if dry_run:
        _print_plan(plan, options, console)
        return 0
    _train(plan, rows, spec, options, store, console)
    if not plan.done:
        console.print(
            "stopped; everything finished is kept. Go on with:\n"
            f"  python -m tuning.search --study {folder} --resume",
            highlight=False,
            soft_wrap=True,
        )
        return 130
    return _report(plan, folder, console)


def _train(
    plan: StudyPlan,
    rows: StudyRows,
    spec: dict[str, Any],
    options: SearchOptions,
    store: ImageStore,
    console: Console,
) -> None:
    """Run what is left of the plan on Ray, with its progress on the console."""
    from tuning import engine

    with engine.ray_session(options) as slots:
        write_spec(rows.folder, spec)  # from here on there is a study
        console.print(
            f"study {rows.folder}: {_counts(plan)}; {slots}", highlight=False, soft_wrap=True
        )
        job = engine.Job(
            store=str(store.folder.resolve()),
            models=str((rows.folder / "models").resolve()),
            epochs=options.epochs,
            batch_size=options.batch_size,
            image_size=options.image_size,
            pretrained=options.pretrained,
            threads=slots.cpus,
        )
        view = ProgressView(plan, slots.count, console)
        with view.shown():
            engine.run(
                plan,
                rows,
                job,
                slots,
                search_seconds=parse_time(options.time_budget),
                on_finished=view.finished,
            )


def _parse(arguments: list[str] | None) -> dict[str, Any]:
    """The options that were given, and only those."""
    parser = Parser(prog="python -m tuning.search", description=_DESCRIPTION, epilog=_EPILOG)
    add_options(parser, SearchOptions, suppress_defaults=True)
    flags = {
        "--resume": "go on with the study in --study; trials and seeds may be raised",
        "--dry-run": "print arms, trials and space, and start nothing",
    }
    for flag, help_text in flags.items():
        parser.add_argument(flag, action="store_true", default=argparse.SUPPRESS, help=help_text)
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in vars(parser.parse_args(arguments)).items()
    }
    if given.get("data", "synthetic") != "synthetic":
        given["data"] = str(Path(given["data"]).resolve())  # --resume may come from elsewhere
    return given


def _check_folder(folder: Path, resume: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--study {folder} is a file; name a folder")
    if not resume and folder.exists() and any(folder.iterdir()):
        raise InputError(
            f"{folder} is not empty; add --resume to go on with the study in it, "
            "or name another folder"
        )


def _check_machine_and_networks(options: SearchOptions) -> None:
    """Find what would fail every trial before anything starts: slots, backbones, weights."""
    if options.address is None:
        find_slots(options, *this_machine())
    # timm and Ray take seconds to import: not to be paid for a misspelt option.
    from masll.backbones import feature_layout, imagenet_weights

    for backbone in options.backbones:
        feature_layout(backbone, options.image_size)
        if options.pretrained:
            imagenet_weights(backbone)


def _check_same_data(spec: dict[str, Any], store: ImageStore) -> None:
    if store.index["fingerprint"] != spec["data"]["fingerprint"]:
        raise InputError(
            f"the images in '{spec['options']['data']}' are not those the study began with "
            "(ids, labels, splits or content differ); put them back, or start another study"
        )


def _plan(options: SearchOptions, space: Space, rows: StudyRows) -> StudyPlan:
    """The study's plan, with what an earlier run of it has finished taken in."""
    plan = StudyPlan(
        ArmPlan(
            arm,
            space,
            trials=options.trials,
            epochs=options.epochs,
            seeds=options.seeds,
            seed=options.seed,
            sampler=options.sampler,
            scheduler=options.scheduler,
        )
        for arm in arms_of(options)
    )
    for ended in rows.finished():
        plan.arms[ended.arm].replay(ended)
    return plan


def _counts(plan: StudyPlan) -> str:
    searches = sum(arm.trials for arm in plan.arms.values())
    confirms = sum(arm.seeds for arm in plan.arms.values())
    finished = sum(len(arm.finished) for arm in plan.arms.values())
    already = f", {finished} of them finished already" if finished else ""
    return f"{len(plan.arms)} arms, {searches} search and {confirms} confirm trials{already}"


def _print_plan(plan: StudyPlan, options: SearchOptions, console: Console) -> None:
    """What a study would do."""
    console.print(f"{_counts(plan)}, at most {options.epochs} epochs each")
    table = Table(Column("arm", no_wrap=True), "search", "confirm", "searched (first trial)")
    for arm in plan.arms.values():
        searched = ", ".join(f"{p.shown()} ({p.default:g})" if isinstance(p.default, float)
                             else f"{p.shown()} ({p.default})" for p in arm.space)  # fmt: skip
        table.add_row(str(arm.arm), str(arm.trials), str(arm.seeds), searched)
    console.print(table)


def _report(plan: StudyPlan, folder: Path, console: Console) -> int:
    """The last screen: the ablation table, and where everything lies."""
    from ablations.report import print_report, write_report
    from ablations.rows import read_study

    study = read_study(folder)
    write_report(study)
    print_report(study, console)
    console.print(
        f"rows    {folder}/trials, epochs, predictions (Parquet)\n"
        f"models  {folder}/models\n"
        f"report  {folder}/report",
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
