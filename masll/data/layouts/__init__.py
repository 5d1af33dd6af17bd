"""Published data sets, read from the folders that they come in.

`layout` says what a declaration is, `isic` and `clinics` declare the sets, and `folder_source`
reads any of them. docs/datasets.md shows where each file goes.
"""

from collections.abc import Collection
from pathlib import Path

from masll.common.errors import InputError
from masll.data.layouts.clinics import DERM7PT, HAM10000, MED_NODE, PH2
from masll.data.layouts.folder_source import FolderSource
from masll.data.layouts.isic import ARCHIVE, ISIC2016, ISIC2017, ISIC2018, ISIC2019, ISIC2020
from masll.data.layouts.layout import Layout

__all__ = ["LAYOUTS", "FolderSource", "Layout", "published_files", "recognise"]

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        *(ISIC2016, ISIC2017, ISIC2018, ISIC2019, ISIC2020),
        *(HAM10000, PH2, DERM7PT, MED_NODE, ARCHIVE),
    )
}


def published_files(paths: Collection[str]) -> set[str]:
    """Of the files of a folder, by their paths in it, those that a reader reads."""
    known = set(paths)
    told = [layout for layout in LAYOUTS.values() if any(p.is_told_by(known) for p in layout.parts)]
    return {path for path in known if any(layout.named(path) for layout in told)}


def recognise(folder: Path) -> Layout:
    """The data set in a folder, told by its label file.

    Raises:
        InputError: no such folder, none of the label files is there, or those of two data sets.
    """
    if not folder.is_dir():
        raise InputError(
            f"no data folder '{folder}'; give a folder with a data set of docs/datasets.md, "
            "a CSV file, or the word synthetic"
        )
    told = _told_in(folder)
    if len(told) > 1:  # the HAM10000 archive also has a table of ISIC 2018
        told = [layout for layout in told if _has_images(folder, layout)] or told
    if len(told) == 1:
        return told[0]
    if told:
        names = " and ".join(layout.name for layout in told)
        raise InputError(
            f"{folder} holds {names}; write a CSV file of one of them: "
            f"python -m masll.data import {told[0].name} {folder} {folder / told[0].name}.csv"
        )
    below = next((sub for sub in sorted(folder.iterdir()) if sub.is_dir() and _told_in(sub)), None)
    if below is not None:
        raise InputError(f"no data set in {folder}, but in {below}; name that")
    files = ", ".join(f"{layout.name} ({layout.looked_for})" for layout in LAYOUTS.values())
    raise InputError(f"no data set in {folder}; looked for {files}; or give a CSV file")


def _told_in(folder: Path) -> list[Layout]:
    return [
        layout
        for layout in LAYOUTS.values()
        if any(part.is_told_in(folder) for part in layout.parts)
    ]


def _has_images(folder: Path, layout: Layout) -> bool:
    return any(pattern.found_in(folder) for part in layout.parts for pattern in part.images)
