"""The official ISIC 2017 folder layout, Part 3 (melanoma) labels with Part 1 lesion masks.

Codella et al., "Skin Lesion Analysis Toward Melanoma Detection", ISBI 2017: 2000 training images
(374 melanoma), 150 validation (30), 600 test (117).
"""

import csv
import hashlib
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from masll.cli import suggestion
from masll.data.sources import Picture, Record
from masll.errors import InputError

_OFFICIAL_NAMES = {
    "train": "ISIC-2017_Training",
    "validation": "ISIC-2017_Validation",
    "test": "ISIC-2017_Test_v2",
}
_LABEL = {"0": 0, "0.0": 0, "1": 1, "1.0": 1}


class Isic2017:
    """A folder with `ISIC-2017_Training_Data/`, its ground truth, and so on for each split.

    Raises:
        InputError: the folder, one of its parts, a column or a row is missing or malformed.
    """

    name = "isic2017"

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputError(f"no data folder '{folder}'; give the folder that holds "
                             f"{_OFFICIAL_NAMES['train']}_Data, or the word synthetic")  # fmt: skip
        self.folder = folder
        self.records = [record for split in _OFFICIAL_NAMES for record in self._read_split(split)]

    def identity(self) -> Any:
        files = []
        for record in self.records:
            status = self.image_path(record).stat()
            files.append([record, status.st_size, status.st_mtime_ns])
        return {"folder": str(self.folder.resolve()), "files": files}

    def image_path(self, record: Record) -> Path:
        return self.folder / f"{_OFFICIAL_NAMES[record.split]}_Data" / f"{record.image_id}.jpg"

    def mask_path(self, record: Record) -> Path:
        folder = f"{_OFFICIAL_NAMES[record.split]}_Part1_GroundTruth"
        return self.folder / folder / f"{record.image_id}_segmentation.png"

    def read(self, record: Record, size: int) -> Picture:
        path = self.image_path(record)
        try:
            content = path.read_bytes()
            image = read_square(content, size)
            mask_path = self.mask_path(record)
            mask = None
            if mask_path.is_file():
                path = mask_path
                with Image.open(mask_path) as opened:
                    mask = np.asarray(opened.convert("L").resize((size, size))) >= 128
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"cannot read {path}: {reason}; replace the file") from error
        return Picture(image, mask, hashlib.sha256(content).hexdigest())

    def _read_split(self, split: str) -> list[Record]:
        images = self.folder / f"{_OFFICIAL_NAMES[split]}_Data"
        table = self.folder / f"{_OFFICIAL_NAMES[split]}_Part3_GroundTruth.csv"
        if not images.is_dir():
            raise InputError(f"{self.folder} has no folder {images.name}; see README, 'ISIC 2017'")
        if not table.is_file():
            raise InputError(f"{self.folder} has no file {table.name}; see README, 'ISIC 2017'")
        present = {path.stem for path in images.glob("*.jpg")}
        try:
            with table.open(newline="", encoding="utf-8-sig") as lines:
                records = list(_read_rows(csv.DictReader(lines), table.name, images, present))
        except (UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{table} is no CSV file in UTF-8: {error}") from error
        if not records:
            raise InputError(f"{table.name} has no rows; every split needs images")
        return [Record(image_id, label, split) for image_id, label in records]


def _read_rows(
    rows: csv.DictReader, table: str, images: Path, present: set[str]
) -> Iterator[tuple[str, int]]:
    """Image id and label of each row of a ground truth, checked against the images there are."""
    columns = rows.fieldnames or []
    for column in ("image_id", "melanoma"):
        if column not in columns:
            raise InputError(
                f"{table} has no column '{column}'{suggestion(column, columns)}; "
                f"its first line names: {', '.join(columns) or 'nothing'}"
            )
    seen: set[str] = set()
    for number, row in enumerate(rows, start=2):
        where = f"{table}, row {number}"
        image_id, label = row["image_id"] or "", (row["melanoma"] or "").strip()
        if not re.fullmatch(r"\w+", image_id):
            raise InputError(f"{where}: image_id must be a plain name, got '{image_id}'")
        if image_id in seen:
            raise InputError(f"{where}: {image_id} stands twice; remove one of the rows")
        if label not in _LABEL:
            raise InputError(f"{where}: melanoma must be 0 or 1, got '{label}'")
        if image_id not in present:
            raise InputError(f"{where}: there is no {images.name}/{image_id}.jpg")
        seen.add(image_id)
        yield image_id, _LABEL[label]


def read_square(content: bytes, size: int) -> np.ndarray:
    """A JPEG's whole frame squashed to a square, as in the paper: (size, size, 3) uint8.

    A large JPEG is decoded at a reduced size first, never below twice the target.
    """
    with Image.open(BytesIO(content)) as opened:
        opened.draft("RGB", (2 * size, 2 * size))
        image = opened.convert("RGB")
        if image.size != (size, size):
            image = image.resize((size, size), Image.Resampling.BICUBIC)
        return np.asarray(image)
