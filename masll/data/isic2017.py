"""The official ISIC 2017 folder layout, Part 3 (melanoma) labels with Part 1 lesion masks.

Codella et al., "Skin Lesion Analysis Toward Melanoma Detection", ISBI 2017: 2000 training images
(374 melanoma), 150 validation (30), 600 test (117).
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from masll.common.errors import InputError
from masll.data.files import digest_of, inspect, label_of, read_picture, read_table, stamp
from masll.data.types import Picture, Problem, Record

# Prefix of the official file names of each split.
PREFIXES = {
    "train": "ISIC-2017_Training",
    "validation": "ISIC-2017_Validation",
    "test": "ISIC-2017_Test_v2",
}
_MASK_ENDING = "_segmentation"
_USED = re.compile(
    rf"({'|'.join(PREFIXES.values())})_(Data/[^/]+\.jpg|Part1_GroundTruth/[^/]+\.png"
    r"|Part3_GroundTruth\.csv)"
)


def is_official(name: str) -> bool:
    """Whether a file, by its path in the folder, is one of those that are read."""
    return _USED.fullmatch(name) is not None


class Isic2017:
    """A folder with `ISIC-2017_Training_Data/`, its ground truth, and so on for each split.

    Raises:
        InputError: the folder, one of its parts or a column is missing.
    """

    name = "isic2017"
    official: Mapping[str, tuple[int, int]] = MappingProxyType(
        {"train": (2000, 374), "validation": (150, 30), "test": (600, 117)}
    )

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputError(
                f"no data folder '{folder}'; give the folder that holds {PREFIXES['train']}_Data, "
                "a CSV file, or the word synthetic"
            )
        self.folder = folder
        self.records: list[Record] = []
        self.problems: list[Problem] = []
        for split in PREFIXES:
            self._read_split(split)

    def identity(self) -> Any:
        files = [
            [record, stamp(self.image_path(record)), stamp(self.mask_path(record))]
            for record in self.records
        ]
        return {"folder": str(self.folder.resolve()), "files": files}

    def image_path(self, record: Record) -> Path:
        return self.folder / f"{PREFIXES[record.split]}_Data" / f"{record.image_id}.jpg"

    def mask_path(self, record: Record) -> Path:
        return self._mask_folder(record.split) / f"{record.image_id}{_MASK_ENDING}.png"

    def read(self, record: Record, size: int, fit: str = "squash") -> Picture:
        return read_picture(self.image_path(record), self.mask_path(record), size, fit)

    def inspect(self, record: Record) -> Iterable[Problem]:
        return inspect(self.image_path(record), self.mask_path(record))

    def digest(self, record: Record) -> str | None:
        return digest_of(self.image_path(record))

    def mask_problems(self) -> list[Problem]:
        problems = []
        for split in PREFIXES:
            folder = self._mask_folder(split)
            if not folder.is_dir():
                continue
            images = {record.image_id for record in self.records if record.split == split}
            masks = {
                path.stem.removesuffix(_MASK_ENDING)
                for path in folder.glob(f"[!.]*{_MASK_ENDING}.png")
            }
            problems += [
                Problem("missing", f"{folder.name}: no mask of {image_id}")
                for image_id in sorted(images - masks)
            ]
            problems += [
                Problem("extra", f"{folder.name}/{image_id}{_MASK_ENDING}.png is of no image")
                for image_id in sorted(masks - images)
            ]
        return problems

    def _mask_folder(self, split: str) -> Path:
        return self.folder / f"{PREFIXES[split]}_Part1_GroundTruth"

    def _read_split(self, split: str) -> None:
        images = self.folder / f"{PREFIXES[split]}_Data"
        table = self.folder / f"{PREFIXES[split]}_Part3_GroundTruth.csv"
        if not images.is_dir():
            raise InputError(f"{self.folder} has no folder {images.name}; see README, 'ISIC 2017'")
        if not table.is_file():
            raise InputError(f"{self.folder} has no file {table.name}; see README, 'ISIC 2017'")
        # macOS leaves files such as ._ISIC_0000000.jpg, which hold no image.
        present = {path.stem for path in images.glob("[!.]*.jpg")}
        named = set()
        split_of = {record.image_id: record.split for record in self.records}
        for where, row in read_table(table, ("image_id", "melanoma")):
            image_id = row["image_id"]
            named.add(image_id)
            try:
                if not re.fullmatch(r"\w+", image_id):
                    raise ValueError(f"image_id must be a plain name, got '{image_id}'")
                if image_id in split_of:
                    raise ValueError(
                        f"{image_id} stands twice, first in {split_of[image_id]}; remove one row"
                    )
                split_of[image_id] = split
                label = label_of(row["melanoma"], "melanoma")
            except ValueError as error:
                self.problems.append(Problem("malformed", f"{where}: {error}"))
                continue
            if image_id in present:
                self.records.append(Record(image_id, label, split))
            else:
                text = f"{where}: there is no {images.name}/{image_id}.jpg"
                self.problems.append(Problem("missing", f"{text}; {_REMEDY}"))
        for image_id in sorted(present - named):
            text = f"{images.name}/{image_id}.jpg has no row in {table.name}"
            self.problems.append(Problem("extra", f"{text}; {_REMEDY}"))


_REMEDY = "put it in place, or leave such out with --partial"
