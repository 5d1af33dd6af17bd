"""`--dry-run`: what a study would do, and how long it would take."""

import dataclasses
import math
from collections.abc import Mapping

from masll.common.errors import InputError
from masll.common.terminal import Terminal, fitting_table
from masll.common.times import duration
from masll.model import find_weights
from masll.variants import PLAIN
from tuning.display import counts
from tuning.estimate import epoch_seconds, study_seconds
from tuning.options import SearchOptions
from tuning.plan import StudyPlan
from tuning.question import Question
from tuning.slots import Slots, find_slots, this_machine
from tuning.study.arm import Arm, short_names
from tuning.study.trial import Stage

_SEARCHED = "searched (first)"


def print_plan(plan: StudyPlan, question: Question, console: Terminal) -> None:
    """What a study would do, and how long it would take where that can be measured here."""
    options, store, images = question.options, question.store, question.images
    slots, here = _slots(options)
    measured, rows, names = {}, [], short_names(plan.arms)
    for arm in plan.arms.values():
        if here:
            measured[arm.arm] = epoch_seconds(arm.arm, options, slots.cpus, store, images)
        searched = ", ".join(
            f"{p} ({p.default:g})" if isinstance(p.default, float) else f"{p} ({p.default})"
            for p in arm.space
        )
        seconds = duration(measured[arm.arm][Stage.SEARCH]) if here else "?"
        rows.append(
            {
                "arm": names[arm.arm],
                "search": str(arm.trials),
                "confirm": str(arm.seeds),
                "an epoch": seconds,
                _SEARCHED: searched,
            }
        )
    console.tell(f"{counts(plan)}, at most {options.epochs} epochs each; {slots}")
    console.print(f"each trial: {_alike(plan, options)}")
    console.print()
    console.print(fitting_table(console, rows, prose=(_SEARCHED,)))
    console.print()
    if images.left_out:
        console.print(f"{len(images.left_out)} images left out: the same lesion comes again later")
    for line in missing_weights(options):
        console.tell(line)
    console.tell(_time(plan, options, slots, measured))


def print_what_it_will_see(question: Question, console: Terminal, *, resumed: bool) -> None:
    """By the number of test images, and by what the search has shown of a study that goes on."""
    from ablations.planning import print_planned
    from ablations.rows import read_study

    labels = question.store.listed("test")["labels"]
    options = question.options
    study = read_study(question.folder.path, search_predictions=False) if resumed else None
    print_planned(question.spec.arms, sum(labels), len(labels), options.seeds, console, study)


def _alike(plan: StudyPlan, options: SearchOptions) -> str:
    """What all trials have in common, beside what the table shows."""
    searched = {parameter.name for arm in plan.arms.values() for parameter in arm.space}
    own = searched.union({"variant", "backbone", "weights", "fusion", "localizer", "seed"})
    own = own.union(*(arm.arm.fixed for arm in plan.arms.values()))
    shown = {}
    for config in options.recipe.configs(next(iter(plan.arms)))[::-1]:
        for field in dataclasses.fields(config):
            if field.name not in own:
                shown[field.name] = getattr(config, field.name)
    return ", ".join(f"{name} {value}" for name, value in shown.items())


def missing_weights(options: SearchOptions) -> list[str]:
    """A line for each backbone whose weights this machine has not got."""
    lines = []
    for backbone in options.backbones:
        model, _ = options.recipe.configs(Arm(PLAIN, backbone))
        try:
            find_weights(model)
        except InputError as error:
            lines.append(str(error))
    return lines


def _slots(options: SearchOptions) -> tuple[Slots, bool]:
    """Where the trials would run, and whether this machine can measure how fast that is."""
    there, wanted = this_machine(), options.num_gpus or 0
    if options.address is None and wanted <= there.gpus:
        return find_slots(options, [there]), True
    # Some other machine, or a cluster: with as many cores as trials there have at least.
    slots = find_slots(
        dataclasses.replace(options, address=options.address or "elsewhere"), [there]
    )
    return slots, there.gpus > 0 or not slots.gpus


def _time(
    plan: StudyPlan,
    options: SearchOptions,
    slots: Slots,
    measured: Mapping[Arm, Mapping[Stage, float]],
) -> str:
    if not measured:
        return (
            "how long it takes is not known here, where there is no such GPU; --dry-run on a "
            "machine that has one measures it"
        )
    # Trials that share a GPU are each as much slower, at worst.
    lanes = math.ceil(slots.count * slots.gpus) if slots.gpus else slots.count
    total = study_seconds(plan, measured) / lanes
    less = "; trials stopped early make it shorter" * (options.scheduler == "asha")
    shared = "; what sharing GPUs gains is not in it" * (0 < slots.gpus < 1)
    return f"about {duration(total)} at most, by one measured step of each arm{shared}{less}"
