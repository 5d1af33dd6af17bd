"""The options of `python -m ablations.external`."""

import re
from dataclasses import dataclass

from ablations.external.images import SPLITS
from masll.common.errors import InputError
from masll.common.options import check_fields, option
from masll.config import MOST_SEED
from masll.corruptions import CORRUPTIONS, SEVERITIES

FORMATS = ("md", "csv", "tex", "figures")
USUAL_SEVERITIES = (1, 3, 5)
_LONGEST = 60  # name of a set: a folder has one of 255 bytes, and a letter may take four


@dataclass(frozen=True)
class ExternalOptions:
    """Which images, which of them, and what is done with them."""

    data: str | None = option(
        None,
        "the images: whatever --data of a search may be; a folder of images, or a CSV file without "
        "the column label, has no labels; images without one get probabilities only",
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
        (), "of --corrupt, from 1 to 5 (default: 1 3 5)", least=1, most=SEVERITIES[-1]
    )
    seed: int | None = option(None, "of what --corrupt draws (default: 0)", least=0, most=MOST_SEED)
    format: tuple[str, ...] = option(FORMATS, "what to write", choices=FORMATS)
    variant_from: tuple[str, ...] = option(
        (),
        "the models' own fusion or localizer, which runs only if you name it",
        metavar="FILE.py",
    )
    device: str = option(
        "auto",
        "auto, cpu, cuda, ...; or several, as cuda:0,cuda:1 or all (every GPU), over which the "
        "models are dealt",
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if self.data is None:
            raise InputError("--data PATH is needed: the images of the external set")
        if self.name is not None and not re.fullmatch(rf"\w[\w.-]{{,{_LONGEST - 1}}}", self.name):
            raise InputError(
                f"--name must be up to {_LONGEST} letters, digits, '-', '_' and '.', got "
                f"'{self.name}'"
            )
        for flag, values in (("corrupt", self.corrupt), ("severities", self.severities)):
            if len(set(values)) < len(values):
                shown = " ".join(map(str, values))
                raise InputError(f"--{flag} names one of {shown} twice; name each once")
        for flag, given in (("severities", bool(self.severities)), ("seed", self.seed is not None)):
            if given and not self.corrupt:
                raise InputError(f"--{flag} belongs to --corrupt; name some, or leave it out")
        if self.study_data is not None and self.duplicates == "unchecked":
            raise InputError(
                "--study-data is looked at for duplicates, and --duplicates unchecked looks at "
                "none; leave one out"
            )
