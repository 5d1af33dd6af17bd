"""`--dry-run`: what a study would do, and how long it would take."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

from masll.data.store import ImageStore
from tuning.display import counts, duration
from tuning.estimate import epoch_seconds, study_seconds
from tuning.images import StudyImages
from tuning.options import SearchOptions
from tuning.plan import StudyPlan
from tuning.slots import find_slots, this_machine, trials_on_one
from tuning.study.trial import Stage


def print_plan(
    plan: StudyPlan,
    options: SearchOptions,
    store: ImageStore,
    images: StudyImages,
    console: Console,
) -> None:
    """What a study would do, and how long it would take."""
    table = Table(
        Column("arm", overflow="fold"),
        Column("search", no_wrap=True),
        Column("confirm", no_wrap=True),
        Column("an epoch", no_wrap=True),
        "searched (first trial)",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    measured = {}
    for arm in plan.arms.values():
        measured[arm.arm] = epoch_seconds(arm.arm, options, store, images)
        searched = ", ".join(
            f"{p} ({p.default:g})" if isinstance(p.default, float) else f"{p} ({p.default})"
            for p in arm.space
        )
        seconds = duration(measured[arm.arm][Stage.SEARCH])
        table.add_row(str(arm.arm), str(arm.trials), str(arm.seeds), seconds, searched)
    console.print(f"{counts(plan)}, at most {options.epochs} epochs each")
    console.print(table)
    if images.left_out:
        console.print(f"{len(images.left_out)} images left out: the same lesion comes again later")
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
