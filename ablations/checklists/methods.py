"""How a study's networks were built, trained and tuned: Markdown for items of a checklist."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ablations.checklists.images import UNKNOWN
from ablations.formats import Cells, markdown, number
from ablations.remarks import declared, recipe
from ablations.rows import Study
from masll.variants import describe
from tuning.study.space import Space
from tuning.study.spec import FEWEST_TO_REPEAT
from tuning.study.trial import Stage

_SAMPLERS = {
    "tpe": "the tree-structured Parzen estimator of Optuna",
    "random": "random search",
    "gp": "a Gaussian process of Optuna",
}
_VALIDATIONS = {
    "official": "the official validation images",
    "fold": "a stratified fifth of the training and validation images that was held out of "
    "training, with duplicates kept in one part",
    "cv5": "the mean over five stratified folds of the training and validation images, with "
    "duplicates kept in one fold",
}


def networks(study: Study) -> str:
    """What the arms are, with their sizes where rows hold them."""
    arms = [study.described[arm] for arm in study.arms]
    variants = {arm.variant: describe(arm.variant).summary for arm in arms}
    backbones = ", ".join(dict.fromkeys(arm.backbone for arm in arms))
    size = study.spec.options.get("image_size")
    said = (
        "A network of timm, the backbone, sees the whole image (global branch); a localizer "
        "thresholds the mean of its feature maps, and a second backbone sees the crop (local "
        "branch); a gate weighs the features of both, and a linear layer gives two logits. "
        f"Variants: {'; '.join(f'{name}, {what}' for name, what in variants.items())}. Backbones: "
        f"{backbones}. Input: one image of three channels"
        f"{f', {size} pixels a side' if size else ''}."
    )
    own = "".join(
        f" {name} is a part of the authors' own (SHA-256 {digest}); its source is parts/{name}.py."
        for name, digest in study.spec.parts.items()
    )
    return "\n\n".join(filter(None, [said + own, *declared(study), _sizes(study)]))


def _sizes(study: Study) -> str:
    columns = {"parameters": "parameters", "multiply_adds": "multiply-adds"}
    if not set(columns) <= set(study.confirmed.columns):
        return ""
    known = study.confirmed.dropna(subset=list(columns)).drop_duplicates("arm")
    rows: list[Cells] = [
        {"arm": row["arm"], **{name: f"{int(row[column]):,}" for column, name in columns.items()}}
        for row in known.to_dict("records")
    ]
    return markdown(rows).rstrip() if rows else ""


def software(study: Study) -> str:
    """Versions of packages, and the commit of the code."""
    versions = study.spec.versions
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    packages = f"Packages: {named}." if named else f"Versions of packages: {UNKNOWN}."
    return f"{packages} {commit(study)}"


def commit(study: Study) -> str:
    """The commit of the code that the study began with."""
    name = study.spec.git_commit
    if name is None:
        return f"Commit of the code: {UNKNOWN}."
    dirty = "-dirty"
    changed = ", with changes that no commit has" if name.endswith(dirty) else ""
    return f"Commit of the code: {name.removesuffix(dirty)}{changed}."


def initial_weights(study: Study) -> str:
    """What the networks started from."""
    pretrained = study.spec.options.get("pretrained")
    new = "New layers were drawn at random, by the seed of each trial."
    if pretrained is None or (pretrained and not study.spec.weights):
        return f"Weights that the backbones started from: {UNKNOWN}. {new}"
    if not pretrained:
        return "All weights were drawn at random, by the seed of each trial."
    started = "; ".join(
        f"{name}, {record.source}{f' (SHA-256 {record.sha256})' if record.sha256 else ''}"
        for name, record in study.spec.weights.items()
    )
    return f"Backbones started from: {started}. {new}"


def tuning(study: Study, table: pd.DataFrame) -> str:
    """The search and its outcome, arm by arm.

    Args:
        table: see `ablation_table`.
    """
    options = study.spec.options
    searched = study.stage(Stage.SEARCH)
    counts = searched["status"].value_counts()
    of_arms = len(study.arms) - len(study.unsearched)
    run = (
        f"{len(searched)} search trials of {of_arms} arms were run: "
        f"{counts.get('completed', 0)} completed, {counts.get('pruned', 0)} stopped early, "
        f"{counts.get('failed', 0)} failed."
    )
    first = (
        " The default setting was the first trial of every arm that was searched."
        if study.spec.is_complete
        else ""
    )
    return "\n\n".join(
        [
            f"{_tuned(study)} {_search(options)} {run}",
            f"Searched: {_space(study.spec.space)}.{first}",
            *recipe(study),
            *[f"Declared beside the variants: {line}" for line in declared(study)],
            selection(study),
            markdown([_chosen(row) for row in table.to_dict("records")]).rstrip(),
        ]
    )


def _tuned(study: Study) -> str:
    """Which arms were searched, and which were not."""
    if not study.unsearched:
        return (
            "Each arm, one variant of the network on one backbone, was tuned by itself with the "
            "same budget."
        )
    return (
        "Each arm that was searched was tuned by itself with the same budget. Not searched, as "
        "their settings were given (a default setting, or all that is searched was fixed): "
        f"{', '.join(study.unsearched)}."
    )


def training(study: Study) -> str:
    """What all trials had in common, and what they took."""
    asked = study.spec.options
    if "epochs" not in asked or "batch_size" not in asked:
        return f"Epochs and batch size: {UNKNOWN}."
    spent = study.spec.spent.values()
    hours = sum(arm.slot_hours for arm in spent)
    trials = sum(arm.trials for arm in spent)
    taken = f" The {trials} trials took {hours:.1f} hours of a slot in all." if trials else ""
    devices = ", ".join(sorted({*study.trials["device"].dropna()})) if len(study.trials) else ""
    where = f" Devices: {devices}." if devices else ""
    return (
        f"At most {asked['epochs']} epochs in batches of {asked['batch_size']} images, which were "
        "turned by a random angle and flipped at random. Options that are neither searched nor "
        f"named here have the defaults of masll/config.py at the commit of the study."
        f"{taken}{where}"
    )


def _search(options: Mapping[str, Any]) -> str:
    if not options.get("trials"):
        return f"Sampler, budget and validation: {UNKNOWN}."
    sampler = _SAMPLERS.get(options.get("sampler", ""), f"sampler {options.get('sampler')}")
    stopped = {
        "asha": "Trials that fell behind others of their arm were stopped early (ASHA).",
        "none": "No trial was stopped early.",
    }.get(options.get("scheduler", ""), "")
    judged = _VALIDATIONS.get(options.get("validation", ""), "the validation images")
    epochs = options.get("epochs")
    return (
        f"Budget: {options['trials']} trials an arm of at most {epochs} epochs, drawn by {sampler} "
        f"(seed {options.get('seed')}). A trial was judged by {_judge(options)}, on {judged}; the "
        f"test images were not seen. {_repeats(options)}{stopped}".rstrip()
    )


def _judge(options: Mapping[str, Any]) -> str:
    by_end = options.get("judge") == "end"  # studies of before 0.2 do not say
    return "the mean AUC of its last tenth of epochs" if by_end else "its best AUC over epochs"


def _repeats(options: Mapping[str, Any]) -> str:
    finalists = options.get("finalists", 0)
    if not finalists or options["trials"] < FEWEST_TO_REPEAT:
        return ""
    return (
        f"The best {finalists} settings were trained again with other seeds within that budget, "
        "half of it at most, and chosen from by the mean over seeds. "
    )


def _space(space: Space) -> str:
    parameters = []
    for each in space:
        if each.type == "choice":
            span = f"one of {', '.join(map(str, each.choices))}"
        else:
            scale = ", on a log scale" if each.log else ""
            span = f"{each.low:g} to {each.high:g}{scale}"
        parameters.append(f"{each.name} ({span}; in {', '.join(each.variants)})")
    return "; ".join(parameters) or UNKNOWN


def selection(study: Study) -> str:
    """How an arm's final models came about."""
    seeds = study.spec.options.get("seeds")
    often = f" with {seeds} seed{'s' * (seeds != 1)}" if seeds else " with one or more seeds"
    which = " that was searched, and the given setting of each other," * bool(study.unsearched)
    return (
        f"The best hyperparameters of each arm{which} were retrained{often}, without early "
        "stopping; the epoch was chosen by validation AUC. Only these models were given the test "
        "images."
    )


def _chosen(row: Mapping[Any, Any]) -> Cells:
    return {
        "arm": row["arm"],
        "trials": str(row["trials"]),
        "learning rate": number(row["lr"], ".2g"),
        "threshold scale": number(row["threshold_scale"], ".2f"),
        "seeds": str(row["seeds"]),
    }
