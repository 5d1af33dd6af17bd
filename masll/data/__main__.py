"""`python -m masll.data`: prepare, verify, audit and synthesize data sets."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from masll.cli import Parser, add_options, option, options_from, run
from masll.data.prepare import prepare, progress_bar
from masll.data.sources import SPLITS, survey_source
from masll.data.store import DataOptions
from masll.errors import InputError

_EPILOG = """\
examples:
  python -m masll.data verify --data ISIC2017
      is everything there, and readable?
  python -m masll.data prepare --data ISIC2017 --source-size 512
      decode every image once; a search does the same by itself when it starts
  python -m masll.data audit --data ISIC2017 --out duplicates/
      near-duplicates within and across the splits, as a CSV and as pictures to look at
  python -m masll.data synthesize lesions/ --images 600 --size 256
      drawn lesions in the official folder layout, to try every command on files

exit status: 0 all well, 1 verify found something, 2 bad input, 130 stopped by Ctrl-C
"""


@dataclass(frozen=True)
class PrepareOptions(DataOptions):
    """What `prepare` stores."""

    source_size: int | None = option(512, "side of the stored images in pixels")


@dataclass(frozen=True)
class VerifyOptions:
    """What `verify` looks at."""

    data: str = option("synthetic", "ISIC 2017 folder or CSV file", metavar="PATH")


@dataclass(frozen=True)
class AuditOptions:
    """What `audit` compares, and where it leaves what it found."""

    data: str = option("synthetic", "ISIC 2017 folder or CSV file", metavar="PATH")
    partial: bool = option(False, "leave out rows without an image and images without a row")
    out: str = option("duplicates", "folder for duplicates.csv and pictures", metavar="DIR")


@dataclass(frozen=True)
class SynthesizeOptions:
    """What `synthesize` draws."""

    out: Path = Path()  # given by its place, not by a name
    images: int = option(690, "lesions to draw; split like ISIC 2017: 73 % train, 5 %, 22 % test")
    size: int = option(256, "side of each image in pixels")
    seed: int = option(0, "of the lesions")


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(
        prog="python -m masll.data",
        description="Prepare, verify, audit and synthesize data sets.",
        epilog=_EPILOG,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (help_text, options, _) in _COMMANDS.items():
        command = commands.add_parser(name, help=help_text, description=f"{help_text}.")
        add_options(command, options)
        if name == "synthesize":
            command.add_argument("out", metavar="OUT", type=Path, help="a new folder")
    given = parser.parse_args(arguments)
    _, options, act = _COMMANDS[given.command]
    return act(options_from(given, options))


def _prepare(asked: PrepareOptions) -> int:
    started = time.monotonic()
    size = asked.source_size or 0
    if size < 1:
        raise InputError(f"--source-size must be above 0, got {asked.source_size}")
    store = prepare(asked, size)
    for split in SPLITS:
        images = store.split(split)
        masks = 0 if images.masked is None else int(images.masked.sum())
        print(f"{split:<11}{len(images):6} images, {images.labels.sum()} melanoma, {masks} masks")
    megabytes = sum(file.stat().st_size for file in store.folder.iterdir()) / 1e6
    print(f"{store.folder}: {size} pixels, {megabytes:.0f} MB, "
          f"ready after {time.monotonic() - started:.1f} s")  # fmt: skip
    return 0


def _verify(asked: VerifyOptions) -> int:
    from masll.data.verify import verify

    with progress_bar("reading images") as progress:
        report = verify(survey_source(asked.data), progress)
    for count in report.counts:
        should = ""
        if count.official:
            images, melanomas = count.official
            should = f"  official: {images}, {melanomas}{'  PARTIAL' * count.partial}"
        print(f"{count.split:<11}{count.images:6} images, {count.melanomas} melanoma{should}")
    for problem in report.problems:
        print(f"{problem.kind}: {problem.text}")
    if report.problems:
        print(f"{len(report.problems)} problems")
        return 1
    print("partial, and nothing is wrong with what is there" if report.partial else "complete")
    return 0


def _audit(asked: AuditOptions) -> int:
    from masll.data.duplicates import audit, contact_sheets, write_csv

    try:
        asked_folder = Path(asked.out)
        asked_folder.mkdir(parents=True, exist_ok=True)
        found = audit(DataOptions(data=asked.data, partial=asked.partial))
        write_csv(asked_folder / "duplicates.csv", found)
        for stale in asked_folder.glob("pairs-*.png"):
            stale.unlink()
        for number, sheet in enumerate(contact_sheets(found), start=1):
            sheet.save(asked_folder / f"pairs-{number:02}.png")
    except OSError as error:
        raise InputError(f"cannot write to --out {asked.out}: {error.strerror}; "
                         "name another folder") from error  # fmt: skip
    identical = sum(pair.identical for pair in found.pairs)
    print(f"{len(found.pairs)} pairs among {len(found.records)} images show the same lesion, "
          f"{identical} of them in identical files")  # fmt: skip
    between = Counter(
        " and ".join(dict.fromkeys(found.records[row].split for row in pair[:2]))
        for pair in found.pairs
    )
    for splits, count in between.most_common():
        print(f"{count:6}  {'within' if ' and ' not in splits else 'across'} {splits}")
    training = {record.image_id for record in found.records if record.split == "train"}
    print(f"{len(training & found.leaks().keys())} training images show a lesion of the validation "
          "or test images; tuning.search --drop-leaks leaves them out")  # fmt: skip
    print(f"{asked.out}/duplicates.csv" + f", {asked.out}/pairs-*.png" * bool(found.pairs))
    return 0


def _synthesize(asked: SynthesizeOptions) -> int:
    from masll.data.synthesize import synthesize_folder

    with progress_bar("drawing lesions") as progress:
        synthesize_folder(asked.out, asked.images, asked.size, asked.seed, progress)
    print(
        f"{asked.out}: {asked.images} lesions; try: python -m masll.data verify --data {asked.out}"
    )
    return 0


_COMMANDS: dict[str, tuple[str, type, Callable[[Any], int]]] = {
    "prepare": ("Decode every image once into the store that trials share", PrepareOptions,
                _prepare),
    "verify": ("Count images, and name every missing, extra or broken file", VerifyOptions,
               _verify),
    "audit": ("Find images that show the same lesion, within and across the splits",
              AuditOptions, _audit),
    "synthesize": ("Write drawn lesions in the official ISIC 2017 folder layout",
                   SynthesizeOptions, _synthesize),
}  # fmt: skip

if __name__ == "__main__":
    run(main)
