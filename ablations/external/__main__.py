"""`python -m ablations.external STUDY --data PATH`: confirmed models on an external set."""

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ablations.external.corrupted import Condition, conditions
from ablations.external.evaluation import Evaluation, image_rows, read_images, write_images
from ablations.external.images import SPLITS, ExternalSet, find_set
from ablations.external.models import (
    ConfirmedModel,
    evaluated,
    inputs_of,
    missing,
    models_in,
    models_of,
    study_of,
)
from ablations.external.overlap import shown_images, study_options
from ablations.external.report import (
    FORMATS,
    Findings,
    summary,
    write_external_report,
)
from ablations.rows import Study, read_study
from ablations.tables import as_rich
from ablations.verdict import verdict
from masll.common.command import Parser, run
from masll.common.errors import InputError
from masll.common.options import add_options, check_fields, option, options_from
from masll.common.storage import any_path
from masll.common.terminal import Terminal
from masll.config import MOST_SEED
from masll.corruptions import CORRUPTIONS, SEVERITIES
from masll.data.options import SourceOptions
from masll.devices import find_device
from masll.model import Masll, load_model
from masll.parts import load_part
from tuning.study.folder import ExternalFolder

_EPILOG = """\
examples:
  python -m ablations.external studies/paper --data PH2.csv
      every confirmed model on all images of PH2.csv; tables go to
      studies/paper/external/PH2/report/. Images that the models were trained or
      validated on are named and left out.
  python -m ablations.external studies/paper --data clinic/ --name clinic-2026
      a folder of images without labels: probabilities and boxes only, into
      studies/paper/external/clinic-2026/predictions/
  python -m ablations.external studies/paper --data PH2.csv --corrupt hair ruler blur
      the same images corrupted, too, and what that costs each arm
  python -m ablations.external --model models/a models/b --data PH2.csv --out compared/ \\
      --duplicates unchecked
      models without a study

What is there is not evaluated again: stopped, or with more --corrupt, the same
command goes on.

exit status: 0 all evaluated, 2 bad input, 130 stopped by Ctrl-C
"""


@dataclass(frozen=True)
class ExternalOptions:
    """Which images, which of them, and what is done with them."""

    data: str | None = option(
        None,
        "the images: whatever --data of a search may be; a folder of images, or a CSV file without "
        "the column label, has no labels; then probabilities only",
        metavar="PATH",
    )
    name: str | None = option(None, "of the set's folder (default: by --data)")
    split: str = option("all", "which of the set's own splits", choices=SPLITS)
    partial: bool = option(False, "leave out rows without an image and images without a row")
    duplicates: str = option(
        "leave-out",
        "images that training or validation images of the study show, too: leave-out, keep (named "
        "all the same), or unchecked, without a look at the study's images",
        choices=("leave-out", "keep", "unchecked"),
    )
    study_data: str | None = option(
        None, "where the study's images lie now (default: where it began)", metavar="PATH"
    )
    model: tuple[str, ...] = option(
        (), "folders of models, instead of a study; they need --out", metavar="DIR"
    )
    out: str | None = option(None, "folder for what --model gives", metavar="DIR")
    corrupt: tuple[str, ...] = option(
        (), "also evaluate corrupted images (masll/corruptions.py)", choices=tuple(CORRUPTIONS)
    )
    severities: tuple[int, ...] = option(
        (1, 3, 5), "of --corrupt, from 1 to 5", least=1, most=SEVERITIES[-1]
    )
    seed: int = option(0, "of what --corrupt draws", least=0, most=MOST_SEED)
    format: tuple[str, ...] = option(FORMATS, "what to write", choices=FORMATS)
    variant_from: tuple[str, ...] = option(
        (),
        "the models' own fusion or localizer, which runs only if you name it",
        metavar="FILE.py",
    )
    device: str = option("auto", "auto, cpu, cuda, ...")

    def __post_init__(self) -> None:
        check_fields(self)
        if self.data is None:
            raise InputError("--data PATH is needed: the images of the external set")
        if self.name is not None and not re.fullmatch(r"\w[\w.-]*", self.name):
            raise InputError(f"--name must be letters, digits, '-', '_' and '.', got '{self.name}'")
        for flag, values in (("corrupt", self.corrupt), ("severities", self.severities)):
            if len(set(values)) < len(values):
                shown = " ".join(map(str, values))
                raise InputError(f"--{flag} names one of {shown} twice; name each once")


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(
        prog="python -m ablations.external",
        description="Evaluate the confirmed models of a study on images that took no part in it.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "study", metavar="STUDY", nargs="?", help="folder of a study, here or on s3://"
    )
    add_options(parser, ExternalOptions)
    add_options(parser, SourceOptions, skip=("data",))
    namespace = parser.parse_args(arguments)
    options = options_from(namespace, ExternalOptions)
    _check_whose(namespace.study, options)
    device = find_device(options.device)
    parts = [load_part(named) for named in options.variant_from]
    source = options_from(namespace, SourceOptions)
    images = find_set(source, split=options.split, partial=options.partial)
    name = options.name or re.sub(r"[^\w.-]+", "-", images.name)
    study, models, folder = _asked(namespace.study, options, name)
    for model in models:
        inputs_of(model)  # one that is gone is found before images are compared
    images = _without_seen(images, options, study, folder)
    asked = conditions(options.corrupt, options.severities, options.seed)

    def load(model: ConfirmedModel, used: Masll | None) -> Masll:
        return load_model(model.folder, parts, used)

    Evaluation(models, images, folder, asked, load, device).run()
    _tell(name, study, models, folder, asked, options.format)
    return 0


def _check_whose(named: str | None, options: ExternalOptions) -> None:
    """Raise `InputError` unless it is clear whose models are meant, and where their rows go."""
    if (named is None) == (not options.model):
        raise InputError("name one of STUDY and --model DIR: whose models are evaluated")
    if named is not None and options.out is not None:
        raise InputError("--out belongs to --model; what a study's models say lies in the study")
    if options.model:
        if options.out is None:
            raise InputError("--out DIR is needed with --model: the folder for what the models say")
        any_path(options.out).check_writable("--out")


def _asked(
    named: str | None, options: ExternalOptions, name: str
) -> tuple[Study, list[ConfirmedModel], ExternalFolder]:
    """The models that are asked about, their study, and the folder of what they say."""
    if named is not None:
        study = read_study(named, search_predictions=False)
        return study, models_of(study), study.folder.external(name)
    out = any_path(str(options.out))
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
    kept_all = not table["left_out"].any()
    if not same or bool(table["compared"].all()) != compares or (keeps and not kept_all):
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
) -> None:
    """Write the tables of what there is, and print the first."""
    console = Terminal()
    table = read_images(folder)
    assert table is not None
    without = missing(models, folder.rows())
    there = [model for model in models if model not in without]
    labelled = bool(table["label"].notna().all())
    if labelled:
        ids = table.loc[~table["left_out"], "image_id"]
        external = evaluated(study, there, folder.rows(), ids)
        changed = {each: evaluated(study, there, folder.rows(str(each)), ids) for each in asked}
        found = Findings(name, study, external, table, changed)
        ablation, written = write_external_report(found, folder.report, formats)
        console.print(as_rich(ablation))
        for line in verdict(external, ablation):
            console.print(line)
    console.print(summary(name, table))
    for model in without:
        console.print(f"{model.row.trial_id} needs a lesion mask of every image: not evaluated.")
    lines = [f"rows    {folder.rows()} (Parquet)"]
    if labelled:
        lines.append(f"tables  {folder.report}: " + ", ".join(path.name for path in written))
    else:
        lines.append("no labels, so no tables")
    for line in lines:
        console.print(line, soft_wrap=True)


if __name__ == "__main__":
    run(main)
