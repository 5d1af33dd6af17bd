"""Any two-class image task: a CSV file with a row for each image.

    image,label,split,group,mask
    a/0001.png,0,train,patient-17,a/0001-mask.png

`image` and `mask` are paths from the CSV file's folder; `label` is 0 or 1; `split` is train,
validation or test. `group` (images of one patient, say) and `mask` may be missing or empty.
"""

import posixpath
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

from masll.common.checks import suggestion
from masll.data.files import digest_of, inspect, is_there, label_of, read_picture, read_table, stamp
from masll.data.types import SPLITS, Picture, Problem, Record


class CsvSource:
    """The images that a CSV file lists; an image's id is its path as the file has it.

    Raises:
        InputError: no such file, or it lacks a column.
    """

    official: Mapping[str, tuple[int, int]] = MappingProxyType({})

    def __init__(self, table: Path) -> None:
        self.table = table
        self.name = table.stem
        self.records: list[Record] = []
        self.problems: list[Problem] = []
        self._masks: dict[str, Path] = {}
        names: dict[str, str] = {}  # of files, as they stand there, by their plain path
        for where, row in read_table(table, ("image", "label", "split")):
            try:
                record, mask = self._record(row, names)
            except ValueError as error:
                self.problems.append(Problem("malformed", f"{where}: {error}"))
                continue
            for path in (self.image_path(record), mask):
                if path is not None and not is_there(path):
                    text = f"{where}: there is no {path}; put it in place, or use --partial"
                    self.problems.append(Problem("missing", text))
            if is_there(self.image_path(record)):
                self.records.append(record)
                if mask is not None and is_there(mask):
                    self._masks[record.image_id] = mask
        self.records.sort(key=lambda record: SPLITS.index(record.split))  # stable

    def identity(self) -> Any:
        files = [
            [record, stamp(self.image_path(record)), stamp(self.mask_path(record))]
            for record in self.records
        ]
        return {"folder": str(self.table.parent.resolve()), "files": files}

    def image_path(self, record: Record) -> Path:
        return self.table.parent / record.image_id

    def mask_path(self, record: Record) -> Path | None:
        return self._masks.get(record.image_id)

    def read(self, record: Record, size: int, fit: str = "squash") -> Picture:
        return read_picture(self.image_path(record), self.mask_path(record), size, fit)

    def inspect(self, record: Record) -> Iterable[Problem]:
        return inspect(self.image_path(record), self.mask_path(record))

    def digest(self, record: Record) -> str | None:
        return digest_of(self.image_path(record))

    def mask_problems(self) -> list[Problem]:
        return []  # a row names its mask, so a missing one is among `problems`

    def _record(self, row: dict[str, str], names: dict[str, str]) -> tuple[Record, Path | None]:
        """A row's record and mask; raises ValueError with what is wrong."""
        image_id, split = row["image"], row["split"]
        for column in ("image", "mask"):
            _check_inside(column, row.get(column, ""))
        if not image_id:
            raise ValueError("image is empty; give a path from the folder of the table")
        plain = posixpath.normpath(image_id)
        if plain in names:
            also = "" if names[plain] == image_id else f", first as {names[plain]}"
            raise ValueError(f"{image_id} stands twice{also}; remove one row")
        names[plain] = image_id
        if split not in SPLITS:
            near = suggestion(split, SPLITS)
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got '{split}'{near}")
        record = Record(image_id, label_of(row["label"], "label"), split, row.get("group", ""))
        mask = row.get("mask")
        return record, self.table.parent / mask if mask else None


def _check_inside(column: str, text: str) -> None:
    path = PurePosixPath(text.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in (path.parts or ("",))[0]:
        raise ValueError(f"{column} must be a path inside the table's folder, got '{text}'")
