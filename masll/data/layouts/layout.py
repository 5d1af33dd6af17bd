"""How a published data set lies in its folder, as a declaration: files, columns, classes."""

import functools
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from masll.data.csv_source import COLUMNS
from masll.data.known import is_known
from masll.data.labelling import Classes

DRAWN = "drawn.txt"  # in a folder whose lesions were drawn: no number of them is prescribed


@dataclass(frozen=True)
class Pattern:
    """A path in the folder of a data set, with `{id}` where an image's name stands.

    `{path}` stands for a name that may have folders in it.

    >>> Pattern("PH2 Dataset images/{id}/{id}_lesion/{id}_lesion.bmp").fill("IMD003")
    'PH2 Dataset images/IMD003/IMD003_lesion/IMD003_lesion.bmp'
    """

    text: str

    def fill(self, name: str) -> str:
        """The path of one image."""
        return self.text.replace("{id}", name).replace("{path}", name)

    @property
    def folder(self) -> str:
        """The part that is the same for all images; "" for the folder of the data set itself."""
        return self.text.partition("{")[0].rpartition("/")[0]

    def name_in(self, path: str) -> str | None:
        """The name that a path is the path of; None if it is another kind of file."""
        match = self._expression.fullmatch(path)
        return match["name"] if match else None

    def found_in(self, folder: Path) -> dict[str, str]:
        """The files that are there: paths from `folder`, by the name in them."""
        found = {}
        wild = self.text.replace("{id}", "*").replace("{path}", "**/*")
        for file in sorted(folder.glob(wild)):
            path = file.relative_to(folder).as_posix()
            name = self.name_in(path)
            # macOS leaves files such as ._ISIC_0000000.jpg, which hold no image.
            if name is not None and not file.name.startswith(".") and file.is_file():
                found[name] = path
        return found

    @functools.cached_property
    def _expression(self) -> re.Pattern[str]:
        first, *rest = re.split(r"\{id\}|\{path\}", self.text)
        name = "(?P<name>.+)" if "{path}" in self.text else "(?P<name>[^/]+)"
        again = "".join("(?P=name)" * bool(number) + re.escape(p) for number, p in enumerate(rest))
        return re.compile(re.escape(first) + name + again)


def patterns(*texts: str) -> tuple[Pattern, ...]:
    """Places where the same file may lie: as published first, then as people unpack it."""
    return tuple(map(Pattern, texts))


@dataclass(frozen=True)
class Part:
    """The images that one table is about: all of the set, or those of one of its splits."""

    tables: tuple[str, ...]  # paths of the label file, the first that is there; () = `folders`
    images: tuple[Pattern, ...]
    split: str = "test"  # test also where a set has no splits of its own: nothing is learnt from it
    masks: Pattern | None = None
    further: tuple[str, ...] = ()  # tables with more columns of the same images, if they are there
    rows: str | None = None  # table whose `indexes` are those of the label file's rows, from 0 on
    folders: tuple[str, ...] = ()  # without a table: folders whose names are the labels
    header: tuple[str, ...] | None = None  # the columns, where the file does not name them
    labelled: bool = True  # whether the table has labels: those of some test images are secret
    official: tuple[int, int] | None = None  # images and melanomas, as published

    def named(self, path: str) -> bool:
        """Whether a path in the folder is one of a file that is read."""
        every = [*self.images, *([self.masks] if self.masks else [])]
        return path in (*self.tables, *self.further, self.rows) or any(
            pattern.name_in(path) is not None for pattern in every
        )

    def table_in(self, folder: Path) -> Path | None:
        """The label file, where it is there."""
        return next((folder / name for name in self.tables if (folder / name).is_file()), None)

    def is_told_in(self, folder: Path) -> bool:
        """Whether a folder has the label file, or the folders whose names are the labels."""
        by_name = self.folders and all((folder / name).is_dir() for name in self.folders)
        return bool(by_name) or self.table_in(folder) is not None

    def is_told_by(self, paths: Collection[str]) -> bool:
        """The same of a folder whose files are listed, by their paths in it."""
        by_name = self.folders and all(
            any(path.startswith(f"{name}/") for path in paths) for name in self.folders
        )
        return bool(by_name) or any(table in paths for table in self.tables)

    def has_images_in(self, folder: Path) -> bool:
        """Whether a folder that holds nothing but such images is there."""
        return any(p.folder and (folder / p.folder).is_dir() for p in self.images)


@dataclass(frozen=True)
class OneHot:
    """Classes in columns of 0 and 1, one for each class."""

    columns: tuple[str, ...]
    rest: str = ""  # what an image is where all are 0; "" if one has to be 1


@dataclass(frozen=True)
class Layout:
    """A published data set: its files, and what their columns mean.

    `label` names the columns of text (which of them counts: `masll.data.layouts.rows.text_of`), or
    the columns of 0 and 1. The columns of an image's name, of its group (patient before lesion) and
    of each kind of metadata are those of the set's several tables, under the names that these use.
    """

    name: str
    title: str
    parts: tuple[Part, ...]
    ids: tuple[str, ...]
    label: tuple[str, ...] | OneHot
    classes: Classes
    groups: tuple[str, ...] = ()
    metadata: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    others: tuple[str, ...] = ()  # columns that name further images of a case, which are not read
    all_columns: bool = False  # whether a column that says nothing of these is metadata, too
    plain: Callable[[str], str] = str  # makes CSV of the text of a table

    def named(self, path: str) -> bool:
        """Whether a path in the folder is one of a file that is read."""
        return any(part.named(path) for part in self.parts)

    @functools.cached_property
    def declared(self) -> frozenset[str]:
        """Columns that are read as something, and names that mean something in all sets."""
        label = self.label.columns if isinstance(self.label, OneHot) else self.label
        named = (column for columns in self.metadata.values() for column in columns)
        shared = ("diagnosis", *self.metadata, *COLUMNS)
        return frozenset((*self.ids, *label, *self.groups, *self.others, *named, *shared))

    @property
    def looked_for(self) -> str:
        """The files that tell the layout, in words."""
        first = self.parts[0]
        return first.tables[0] if first.tables else " and ".join(f"{f}/" for f in first.folders)


def first_of(row: Mapping[str, str], columns: Sequence[str]) -> str:
    """The first of some columns that is there and not empty."""
    return next((row[column] for column in columns if row.get(column)), "")


def known_values(row: Mapping[str, str], layout: Layout) -> Iterator[tuple[str, str]]:
    """Metadata of an image that somebody knows, by the names that all sets share.

    Where a layout takes all columns, the others follow, unless they are called as one of these.
    """
    for name, columns in layout.metadata.items():
        value = first_of(row, columns)
        if is_known(value):
            yield name, value
    for column, value in row.items() if layout.all_columns else ():
        name = plain_name(column)
        if name and layout.declared.isdisjoint((column, name)) and is_known(value):
            yield name, value


@functools.lru_cache(maxsize=1024)  # of as many cells as a table has
def plain_name(column: str) -> str:
    """The name of a column as metadata have theirs.

    >>> plain_name("Blue-whitish veil"), plain_name("mel_thick_mm")
    ('blue_whitish_veil', 'mel_thick_mm')
    """
    return re.sub(r"\W+", "_", column).strip("_").lower()
