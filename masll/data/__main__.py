"""`python -m masll.data`: prepare, verify, audit, import and synthesize data sets."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from masll.common.command import Parser, command_line, run
from masll.common.errors import InputError
from masll.common.options import add_options, check_fields, option, options_from
from masll.common.outputs import check_output
from masll.common.progress import progress_bar
from masll.common.storage import local_path
from masll.config import LEAST_PIXELS, MOST_COUNT, MOST_PIXELS, MOST_SEED
from masll.data.importing import read_named, write_table
from masll.data.layouts import LAYOUTS
from masll.data.options import DataOptions, SourceOptions, data_options
from masll.data.prepare import prepare
from masll.data.sources import survey_source
from masll.data.synthesize import FEWEST
from masll.data.types import SPLITS

_EPILOG = """\
examples:
  python -m masll.data verify --data ISIC2017
      is everything there, and readable?
  python -m masll.data prepare --data ISIC2017 --source-size 512
      decode every image once; a search does the same by itself when it starts
  python -m masll.data audit --data ISIC2017 --out duplicates/
      near-duplicates within and across the splits, as a CSV and as pictures to look at
  python -m masll.data import ham10000 HAM10000 HAM10000/ham10000.csv --split-by group 0.7 0.1 0.2
      a CSV file of a published data set, with splits that keep each lesion's images together
  python -m masll.data synthesize lesions/ --images 600 --size 256
      drawn lesions in the official folder layout, to try every command on files

exit status: 0 all well, 1 verify found something, 2 bad input, 130 stopped by Ctrl-C
"""


@dataclass(frozen=True)
class PrepareOptions(DataOptions):
    """What `prepare` stores."""

    source_size: int = option(
        512, "side of the stored images in pixels", least=LEAST_PIXELS, most=MOST_PIXELS
    )


@dataclass(frozen=True)
class AuditOptions(SourceOptions):
    """What `audit` compares, and where it leaves what it found."""

    partial: bool = option(False, "leave out rows without an image and images without a row")
    out: str = option("duplicates", "folder for duplicates.csv and pictures", metavar="DIR")


@dataclass(frozen=True)
class ImportOptions(SourceOptions):
    """Which data set `import` reads, and the CSV file that it writes."""

    partial: bool = option(False, "leave out rows without an image and images without a row")
    name: str = ""  # these are given by their places, not by names
    out: str = ""


@dataclass(frozen=True)
class SynthesizeOptions:
    """What `synthesize` draws."""

    out: str = ""  # given by its place, not by a name
    images: int = option(
        690,
        "lesions to draw; split like ISIC 2017: 73 % train, 5 %, 22 % test",
        least=FEWEST,
        most=MOST_COUNT,
    )
    size: int = option(256, "side of each image in pixels", least=LEAST_PIXELS, most=MOST_PIXELS)
    seed: int = option(0, "of the lesions", least=0, most=MOST_SEED)

    def __post_init__(self) -> None:
        check_fields(self)


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(
        prog="python -m masll.data",
        description="Prepare, verify, audit, import and synthesize data sets.",
        epilog=_EPILOG,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (help_text, options, _) in _COMMANDS.items():
        command = commands.add_parser(name, help=help_text, description=f"{help_text}.")
        places = _PLACES.get(name, ())
        add_options(command, options, skip=[field for field, *_ in places])
        for field, metavar, kind, of_place in places:
            command.add_argument(field, metavar=metavar, type=kind, help=of_place)
    namespace = parser.parse_args(arguments)
    _, options, act = _COMMANDS[namespace.command]
    return act(options_from(namespace, options))


def _prepare(options: PrepareOptions) -> int:
    started = time.monotonic()
    size = options.source_size
    store = prepare(options, size)
    for split in SPLITS:
        images = store.split(split)
        masks = 0 if images.masked is None else int(images.masked.sum())
        positive = (images.labels == 1).sum()
        print(f"{split:<11}{len(images):6} images, {positive} melanoma, {masks} masks")
    megabytes = sum(file.stat().st_size for file in store.folder.iterdir()) / 1e6
    print(
        f"{store.folder}: {size} pixels, {megabytes:.0f} MB, "
        f"ready after {time.monotonic() - started:.1f} s"
    )
    return 0


def _verify(options: SourceOptions) -> int:
    from masll.data.verify import verify

    with progress_bar("reading images") as progress:
        report = verify(survey_source(options.data, options.rules), progress)
    for count in report.counts:
        should = ""
        if count.official:
            images, melanomas = count.official
            should = f"  official: {images}, {melanomas}{'  PARTIAL' * count.partial}"
        groups = f" in {count.groups} groups" * (count.groups < count.images)
        without = f", {count.unlabelled} without a label" * bool(count.unlabelled)
        print(
            f"{count.split:<11}{count.images:6} images{groups}, {count.melanomas} melanoma"
            f"{without}{should}"
        )
    if report.metadata:
        known = ", ".join(f"{name} of {images}" for name, images in report.metadata.items())
        print(f"metadata   {known}")
    for problem in report.problems:
        print(f"{problem.kind}: {problem.text}")
    faults = sum(problem.is_fault for problem in report.problems)
    if faults:
        print(f"{faults} problems")
        return 1
    print("partial, and nothing is wrong with what is there" if report.partial else "complete")
    return 0


def _audit(options: AuditOptions) -> int:
    from masll.data.duplicates import contact_sheets, duplicates_of, write_csv

    asked_folder = local_path(options.out, "--out")
    check_output(asked_folder, "--out")
    report = duplicates_of(data_options(options))
    try:
        asked_folder.mkdir(parents=True, exist_ok=True)
        write_csv(asked_folder / "duplicates.csv", report)
        for stale in asked_folder.glob("pairs-*.png"):
            stale.unlink()
        for number, sheet in enumerate(contact_sheets(report), start=1):
            sheet.save(asked_folder / f"pairs-{number:02}.png")
    except OSError as error:
        raise InputError(
            f"cannot write to --out {options.out}: {error.strerror}; name another folder"
        ) from error
    identical = sum(pair.identical for pair in report.pairs)
    print(
        f"{len(report.pairs)} pairs among {len(report.records)} images show the same lesion, "
        f"{identical} of them in identical files"
    )
    between = Counter(
        " and ".join(dict.fromkeys(report.records[row].split for row in pair[:2]))
        for pair in report.pairs
    )
    for splits, count in between.most_common():
        print(f"{count:6}  {'within' if ' and ' not in splits else 'across'} {splits}")
    training = {record.image_id for record in report.records if record.split == "train"}
    print(
        f"{len(training & report.leaks().keys())} training images show a lesion of the validation "
        "or test images; tuning.search --drop-leaks leaves them out"
    )
    print(f"{options.out}/duplicates.csv" + f", {options.out}/pairs-*.png" * bool(report.pairs))
    return 0


def _import(options: ImportOptions) -> int:
    folder = local_path(options.data, "FOLDER")
    source = read_named(options.name, folder, options.rules, partial=options.partial)
    write_table(source, local_path(options.out, "OUT", "name a file here"))
    shown = Counter(record.split for record in source.records)
    print(f"{options.out}: " + ", ".join(f"{shown[split]} {split}" for split in SPLITS))
    command = command_line("masll.data", "verify", "--data", options.out)
    print(f"labels, splits, groups, masks and metadata are in it; try: {command}")
    return 0


def _synthesize(options: SynthesizeOptions) -> int:
    from masll.data.synthesize import synthesize_folder

    with progress_bar("drawing lesions") as progress:
        folder = local_path(options.out, "OUT")
        synthesize_folder(folder, options.images, options.size, options.seed, progress)
    command = command_line("masll.data", "verify", "--data", options.out)
    print(f"{options.out}: {options.images} lesions; try: {command}")
    return 0


# Fields that are given by their places, not by names: field, name in the usage, type, help.
_PLACES: dict[str, tuple[tuple[str, str, type, str], ...]] = {
    "import": (
        ("name", "NAME", str, f"the data set: {', '.join(LAYOUTS)}"),
        ("data", "FOLDER", str, "the folder that it lies in, on this machine"),
        ("out", "OUT", str, "a new CSV file in that folder, or above"),
    ),
    "synthesize": (("out", "OUT", str, "a new folder"),),
}

_COMMANDS: dict[str, tuple[str, type, Callable[[Any], int]]] = {
    "prepare": (
        "Decode every image once into the store that trials share",
        PrepareOptions,
        _prepare,
    ),
    "verify": (
        "Count images, and name every missing, extra or broken file",
        SourceOptions,
        _verify,
    ),
    "audit": (
        "Find images that show the same lesion, within and across the splits",
        AuditOptions,
        _audit,
    ),
    "import": (
        "Write a CSV file of a published data set, which every --data reads",
        ImportOptions,
        _import,
    ),
    "synthesize": (
        "Write drawn lesions in the official ISIC 2017 folder layout",
        SynthesizeOptions,
        _synthesize,
    ),
}

if __name__ == "__main__":
    run(main)
