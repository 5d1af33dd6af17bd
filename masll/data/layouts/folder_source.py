"""A folder with a published data set, as a source: one reader for all layouts."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from masll.common.errors import InputError
from masll.data.files import Row, check_inside, identity_of, inspect, read_picture
from masll.data.labelling import MELANOMA
from masll.data.layouts.layout import DRAWN, Layout, Part, Pattern, first_of, known_values
from masll.data.layouts.rows import rows_of, text_of
from masll.data.rules import AS_THEY_ARE, Rules
from masll.data.types import Inspection, Picture, Problem, Record

_REMEDY = "put it in place, or leave such out with --partial"


class FolderSource:
    """The images of a published data set; an image's id is its name in the label file.

    Raises:
        InputError: a label file or a folder of images is missing, or a table lacks a column.
    """

    def __init__(self, folder: Path, layout: Layout, rules: Rules = AS_THEY_ARE) -> None:
        self.folder, self.layout, self.name = folder, layout, layout.name
        self.problems: list[Problem] = []
        self._rules = rules
        self._images: dict[str, str] = {}  # path from the folder by id
        self._masks: dict[str, Pattern] = {}
        self._seen: dict[str, str] = {}  # split by id, of all rows
        self._beside: set[str] = set()  # images that rows name, and that are not read
        self._texts: set[str] = set()  # of labels
        records: list[Record] = []
        self._present: dict[tuple[Pattern, ...], dict[str, str]] = {}
        parts = [part for part in layout.parts if self._is_there(part)]
        for part in parts:
            records += self._read(part)
        for part in parts:
            self._tell_extra(part)
        rules.labelling.check(sorted(self._texts), layout.classes, layout.name)
        self.records = rules.in_splits(records)

    @property
    def official(self) -> Mapping[str, tuple[int, int]]:
        """Images and melanomas by split; empty where another class counts, or other splits.

        Nor is any number prescribed where the lesions were drawn.
        """
        rules = self._rules
        if (self.folder / DRAWN).exists():
            return {}
        if rules.labelling.positive != (MELANOMA,) or rules.labelling.meanings or rules.dealing:
            return {}
        return {
            part.split: part.official
            for part in self.layout.parts
            if part.official and part.is_told_in(self.folder)
        }

    def identity(self) -> Any:
        return identity_of(self.folder, self.records, self.image_path, self.mask_path)

    def image_path(self, record: Record) -> Path:
        return self.folder / self._images[record.image_id]

    def mask_path(self, record: Record) -> Path | None:
        pattern = self._masks.get(record.image_id)
        return self.folder / pattern.fill(record.image_id) if pattern else None

    def read(self, record: Record, size: int, fit: str = "squash") -> Picture:
        return read_picture(self.image_path(record), self.mask_path(record), size, fit)

    def inspect(self, record: Record) -> Inspection:
        return inspect(self.image_path(record), self.mask_path(record))

    def mask_problems(self) -> list[Problem]:
        images: dict[Pattern, set[str]] = defaultdict(set)
        for record in self.records:
            if record.image_id in self._masks:
                images[self._masks[record.image_id]].add(record.image_id)
        problems = []
        for pattern, names in images.items():
            masks = pattern.found_in(self.folder)
            if not masks:
                continue
            problems += [
                Problem("missing", f"{pattern.folder}: no mask of {name}")
                for name in sorted(names - masks.keys())
            ]
            problems += [
                Problem("extra", f"{masks[name]} is of no image")
                for name in sorted(masks.keys() - names)
            ]
        return problems

    def _is_there(self, part: Part) -> bool:
        told, has_images = part.is_told_in(self.folder), part.has_images_in(self.folder)
        where = f"{self.folder} ({self.layout.title})"
        if has_images and not told:
            raise InputError(f"{where} has no file {part.tables[0]}; see docs/datasets.md")
        if told and not has_images and all(pattern.folder for pattern in part.images):
            others = "".join(f" or {pattern.folder}" for pattern in part.images[1:])
            raise InputError(
                f"{where} has no folder {part.images[0].folder}{others}; see docs/datasets.md"
            )
        return told

    def _read(self, part: Part) -> list[Record]:
        if part.images not in self._present:
            self._present[part.images] = self._find(part)
        present = self._present[part.images]
        records = []
        for where, row in rows_of(self.folder, self.layout, part):
            try:
                record = self._record(row, part)
            except ValueError as error:
                self.problems.append(Problem("malformed", f"{where}: {error}"))
                continue
            name = record.image_id
            if name not in present:
                text = f"{where}: there is no {part.images[0].fill(name)}; {_REMEDY}"
                self.problems.append(Problem("missing", text))
                continue
            self._images[name] = present[name]
            if part.masks is not None:
                self._masks[name] = part.masks
            records.append(record)
        return records

    def _find(self, part: Part) -> dict[str, str]:
        found: dict[str, str] = {}
        for pattern in reversed(part.images):  # the first pattern counts
            here = pattern.found_in(self.folder)
            # Where folders are the labels, two of them may have images of one name.
            found |= {path: path for path in here.values()} if part.folders else here
        return found

    def _record(self, row: Row, part: Part) -> Record:
        """A row's record; raises ValueError with what is wrong."""
        labelling = self._rules.labelling
        name = first_of(row, self.layout.ids)
        if not name:
            raise ValueError(f"{self.layout.ids[0]} is empty; name an image")
        check_inside(self.layout.ids[0], name)
        if name in self._seen:
            raise ValueError(f"{name} stands twice, first in {self._seen[name]}; remove one row")
        self._seen[name] = part.split
        self._beside.update(row[column] for column in self.layout.others if row.get(column))
        column, text = text_of(row, self.layout, labelling)
        self._texts.add(text)
        label = labelling.label(text, self.layout.classes, column)
        of_class = (text and labelling.class_of(text, self.layout.classes)) or ""
        metadata = {"diagnosis": of_class} if of_class else {}
        metadata |= known_values(row, self.layout)
        return Record(name, label, part.split, first_of(row, self.layout.groups), metadata)

    def _tell_extra(self, part: Part) -> None:
        present = self._present.pop(part.images, {})  # once, if several parts share the images
        table = part.table_in(self.folder)
        for name in sorted(present.keys() - self._seen.keys() - self._beside):
            text = f"{present[name]} has no row in {table.name if table else 'the data set'}"
            self.problems.append(Problem("extra", f"{text}; {_REMEDY}"))
