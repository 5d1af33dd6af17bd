"""Any two-class image task: a CSV file with a row for each image.

    image,label,split,group,mask,age
    a/0001.png,0,train,patient-17,a/0001-mask.png,55

`image` and `mask` are paths from the CSV file's folder. `label` is 0 or 1, a text that `--positive`
or `--labels` explains, or empty where nobody knows. `split` is train, validation or test; without
the column all images are test images, unless `--split-by` deals them out. `group` (images of one
patient, say) and `mask` may be missing or empty. Any other column is metadata, and stays with its
image where it is known (see `known`).
"""

import posixpath
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from masll.common.checks import suggestion
from masll.common.errors import InputError
from masll.data.files import (
    Row,
    check_inside,
    identity_of,
    inspect,
    is_there,
    read_picture,
    read_table,
)
from masll.data.known import is_known
from masll.data.labelling import BINARY
from masll.data.rules import AS_THEY_ARE, Rules
from masll.data.types import SPLITS, Inspection, Picture, Problem, Record

COLUMNS = ("image", "label", "split", "group", "mask")


class CsvSource:
    """The images that a CSV file lists; an image's id is its path as the file has it.

    Raises:
        InputError: no such file, or it has no column `image`, or another is misspelt.
    """

    official: Mapping[str, tuple[int, int]] = MappingProxyType({})

    def __init__(self, table: Path, rules: Rules = AS_THEY_ARE) -> None:
        self.table = table
        self.name = table.stem
        self.problems: list[Problem] = []
        self._rules = rules
        self._masks: dict[str, Path] = {}
        self._texts: set[str] = set()  # of labels
        records: list[Record] = []
        names: dict[str, str] = {}  # of files, as they stand there, by their plain path
        rows = read_table(table, ("image",))
        _check_spelling(table, rows[0][1])
        for where, row in rows:
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
                records.append(record)
                if mask is not None and is_there(mask):
                    self._masks[record.image_id] = mask
        rules.labelling.check(sorted(self._texts), BINARY, self.name)
        self.records = rules.in_splits(records)

    def identity(self) -> Any:
        return identity_of(self.table.parent, self.records, self.image_path, self.mask_path)

    def image_path(self, record: Record) -> Path:
        return self.table.parent / record.image_id

    def mask_path(self, record: Record) -> Path | None:
        return self._masks.get(record.image_id)

    def read(self, record: Record, size: int, fit: str = "squash") -> Picture:
        return read_picture(self.image_path(record), self.mask_path(record), size, fit)

    def inspect(self, record: Record) -> Inspection:
        return inspect(self.image_path(record), self.mask_path(record))

    def mask_problems(self) -> list[Problem]:
        return []  # a row names its mask, so a missing one is among `problems`

    def _record(self, row: Row, names: dict[str, str]) -> tuple[Record, Path | None]:
        """A row's record and mask; raises ValueError with what is wrong."""
        image_id = row["image"]
        for column in ("image", "mask"):
            check_inside(column, row.get(column, ""))
        if not image_id:
            raise ValueError("image is empty; give a path from the folder of the table")
        plain = posixpath.normpath(image_id)
        if plain in names:
            also = "" if names[plain] == image_id else f", first as {names[plain]}"
            raise ValueError(f"{image_id} stands twice{also}; remove one row")
        names[plain] = image_id
        text = row.get("label", "")
        self._texts.add(text)
        label = self._rules.labelling.label(text, BINARY, "label")
        further = {name: text for name, text in row.items() if name not in COLUMNS}
        metadata = {name: text for name, text in further.items() if is_known(text)}
        group = row.get("group", "")
        record = Record(image_id, label, self._split(row), group, metadata)
        mask = row.get("mask")
        return record, self.table.parent / mask if mask else None

    def _split(self, row: Row) -> str:
        dealing = self._rules.dealing
        if "split" not in row or (dealing is not None and dealing.whole):
            return SPLITS[-1]
        split = row["split"]
        if split not in SPLITS:
            near = suggestion(split, SPLITS)
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got '{split}'{near}")
        return split


def _check_spelling(table: Path, row: Row) -> None:
    """Raise `InputError` for a column that is missing, with another that is nearly called so."""
    for column in COLUMNS:
        near = suggestion(column, row.keys() - set(COLUMNS))
        if column not in row and near:
            raise InputError(
                f"{table.name} has no column '{column}'{near}; "
                f"its first line names: {', '.join(row)}"
            )
