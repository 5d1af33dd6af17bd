"""An external set from its options to its tables: which images, which models, what they say."""

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence

from ablations.external.classes import as_in_study
from ablations.external.corrupted import Condition, conditions
from ablations.external.evaluation import (
    Evaluation,
    evaluated_in,
    image_rows,
    judged_in,
    read_images,
    write_images,
)
from ablations.external.images import ExternalSet, find_set
from ablations.external.listing import summary, units_in, write_shown
from ablations.external.models import (
    ConfirmedModel,
    evaluated,
    inputs_of,
    missing,
    models_in,
    models_of,
    study_of,
)
from ablations.external.options import USUAL_SEVERITIES, ExternalOptions
from ablations.external.overlap import shown_images, study_options
from ablations.external.report import Findings, write_external_report
from ablations.rows import Study, read_study
from ablations.tables import as_rich
from ablations.verdict import verdict
from masll.common.errors import InputError
from masll.common.outputs import holds_study
from masll.common.storage import any_path
from masll.common.terminal import Terminal
from masll.data.options import SourceOptions
from masll.devices import find_devices
from masll.parts import load_part
from tuning.study.folder import ExternalFolder


def evaluate_set(
    named: str | None, options: ExternalOptions, source: SourceOptions, given: Collection[str]
) -> None:
    """Evaluate what has not been, write the tables, and print the first.

    Args:
        named: the study, unless the options name models.
        source: where the images are, and what their labels mean.
        given: which options of `source` somebody gave: see `as_in_study`.

    Raises:
        InputError: images, models or what there is of an earlier evaluation do not fit.
    """
    devices = find_devices(options.device)
    for part in options.variant_from:
        load_part(part)  # one that is no good is found at once
    study = None if named is None else read_study(named, search_predictions=False)
    rules = source.rules if study is None else as_in_study(study.spec, source, given)
    images = find_set(source.data, rules, split=options.split, partial=options.partial, given=given)
    name = options.name or re.sub(r"[^\w.-]+", "-", images.name)
    study, models, folder = _asked(study, options, name)
    for model in models:
        inputs_of(model)  # one that is gone is found before images are compared
    images = _without_seen(images, options, study, folder)
    severities = options.severities or USUAL_SEVERITIES
    asked = conditions(options.corrupt, severities, options.seed or 0)
    Evaluation(models, images, folder, asked, options.variant_from, devices).run()
    _tell(name, study, models, folder, asked, options.format, images.groups)


def _asked(
    study: Study | None, options: ExternalOptions, name: str
) -> tuple[Study, list[ConfirmedModel], ExternalFolder]:
    """The models that are asked about, their study, and the folder of what they say."""
    if study is not None:
        return study, models_of(study), study.folder.external(name)
    out = any_path(str(options.out))
    if holds_study(out):
        raise InputError(f"--out {out} is a study, whose rows must stay its own; name a new folder")
    models = models_in(options.model)
    return study_of(models, out), models, ExternalFolder(out)


def _without_seen(
    images: ExternalSet, options: ExternalOptions, study: Study, folder: ExternalFolder
) -> ExternalSet:
    """The images that are evaluated: as they were before, or without those that models have seen.

    Raises:
        InputError: the folder holds an evaluation of other images, or all are left out.
    """
    table = read_images(folder)
    compares, keeps = options.duplicates != "unchecked", options.duplicates == "keep"
    if table is None:
        shown = None
        if compares:
            seen = study_options(study.spec, options.study_data)
            shown = shown_images(images, seen, study.spec, study.spec.data.left_out.keys())
        table = image_rows(images, shown, keep=keeps)
    now = image_rows(images, None)
    same = table[["image_id", "label"]].equals(now[["image_id", "label"]])
    as_asked = table["left_out"].equals(table["shows"].notna() & (not keeps))
    if not same or bool(table["compared"].all()) != compares or not as_asked:
        raise InputError(
            f"{folder} holds an evaluation of other images, or with other --duplicates; give "
            "another --name"
        )
    left_out = set(table.loc[table["left_out"], "image_id"])
    records = [record for record in images.records if record.image_id not in left_out]
    if not records:
        raise InputError(
            f"all {len(left_out)} images show what the models have seen; name other images, or say "
            "--duplicates keep"
        )
    if not folder.images.exists():
        write_images(folder, table)
    return dataclasses.replace(images, records=records)


def _tell(
    name: str,
    study: Study,
    models: Sequence[ConfirmedModel],
    folder: ExternalFolder,
    asked: Sequence[Condition],
    formats: Sequence[str],
    groups: Mapping[str, str],
) -> None:
    """Write the tables of the images that have a label, if any has, and print the first."""
    console = Terminal()
    table = read_images(folder)
    assert table is not None
    without = missing(models, folder.rows())
    there = [model for model in models if model not in without]
    predicted, judged = (part(table)["image_id"] for part in (evaluated_in, judged_in))
    units = 0
    if len(judged):

        def external_of(condition: Condition | None) -> Study:
            rows = folder.rows(None if condition is None else str(condition))
            return evaluated(study, there, rows, predicted, judged, groups)

        external = external_of(None)
        changed = {condition: external_of(condition) for condition in asked}
        found = Findings(name, study, external, table, changed)
        units = units_in(external)
        ablation, written = write_external_report(found, folder.report, formats)
        console.print(as_rich(ablation))
        for line in verdict(external, ablation):
            console.print(line)
    console.print(summary(name, table, units))
    for model in without:
        console.print(f"{model.row.trial_id} needs a lesion mask of every image: not evaluated.")
    lines = [f"rows    {folder.rows()} (Parquet)"]
    if len(judged):
        lines.append(f"tables  {folder.report}: " + ", ".join(path.name for path in written))
    else:
        lines.append("no labels, so no tables")
    shown = write_shown(table, folder.report)
    if shown is not None:
        lines.append(f"shown   {shown}: all images that the models have seen")
    for line in lines:
        console.print(line, soft_wrap=True)
