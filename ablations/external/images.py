"""The images of an external set: read from whatever people have, decoded once for all models."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from masll.common.errors import InputError
from masll.common.machine import default_cache, usable_cores
from masll.common.progress import Progress
from masll.common.storage import any_path
from masll.data.arrays import BLOCK, Block, SplitArrays
from masll.data.files import is_there, label_of, read_picture, read_table
from masll.data.listing import image_files, is_image
from masll.data.sources import find_source
from masll.data.split import Split
from masll.data.types import UNKNOWN, Picture, Record, is_table

_SPLIT = "test"  # what an external set is to a study: images to be judged by
SPLITS = ("all", "train", "validation", "test")


@dataclass(frozen=True)
class ExternalSet:
    """Images that took no part in a study."""

    name: str
    records: Sequence[Record]
    read: Callable[[Record, int, str], Picture]  # as `Source.read`

    @property
    def labelled(self) -> bool:
        """Whether every image has a label."""
        return all(record.label != UNKNOWN for record in self.records)


def find_set(data: str, *, split: str = "all", partial: bool = False) -> ExternalSet:
    """The images that `--data` means.

    Args:
        data: what `find_source` takes; or a CSV file without the column `split`, or without
            `label`; or a folder of image files, which then have no labels.
        split: of the set's own splits the one that is taken, or all.
        partial: see `find_source`.

    Raises:
        InputError: no such data, its content breaks the format, or the split has no images.
    """
    whole = _plain_set(data) or _of_source(data, partial)
    records = [record for record in whole.records if split in ("all", record.split)]
    if not records:
        raise InputError(f"{data} has no images of the split '{split}'; choose another --split")
    unlabelled = sum(record.label == UNKNOWN for record in records)
    if 0 < unlabelled < len(records):
        raise InputError(
            f"{unlabelled} of {len(records)} images of {data} have no label; label all, or none"
        )
    return ExternalSet(whole.name, records, whole.read)


@contextlib.contextmanager
def decoded(
    images: ExternalSet, size: int, fit: str, progress: Progress | None = None
) -> Iterator[tuple[Split, list[str]]]:
    """All images at one size, decoded once and kept on the disk while the block lasts.

    Args:
        size: side of the squares in pixels.
        fit: how an image becomes a square: squash, pad or crop.
        progress: called after each image.

    Returns:
        The images as one split, in the order of the set, and the digests of their content.

    Raises:
        InputError: an image cannot be read; names it.
    """
    cache = default_cache()
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".external-", dir=cache) as name:
        folder = Path(name)
        blocks = _decode(images, size, fit, folder, progress)
        masked = np.array([has for block in blocks for has in block.masked], dtype=bool)
        split = Split(
            _SPLIT,
            tuple(record.image_id for record in images.records),
            np.array([record.label for record in images.records], dtype=np.int64),
            np.load(folder / f"{_SPLIT}-images.npy", mmap_mode="r"),
            np.load(folder / f"{_SPLIT}-masks.npy", mmap_mode="r") if masked.any() else None,
            masked if masked.any() else None,
            fit,
        )
        yield split, [digest for block in blocks for digest in block.digests]


def _decode(
    images: ExternalSet, size: int, fit: str, folder: Path, progress: Progress | None
) -> list[Block]:
    starts = range(0, len(images.records), BLOCK)
    with (
        SplitArrays(folder, _SPLIT, images.records, size, write=True) as arrays,
        ThreadPoolExecutor(usable_cores()) as threads,
    ):

        def write(start: int) -> Block:
            records = images.records[start : start + BLOCK]
            return arrays.write(start, [images.read(record, size, fit) for record in records])

        blocks = []
        try:
            for block in threads.map(write, starts):
                blocks.append(block)
                if progress is not None:
                    progress(block.start + len(block.digests), len(images.records))
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise
    return blocks


def _of_source(data: str, partial: bool) -> ExternalSet:
    source = find_source(data, partial=partial)
    return ExternalSet(source.name, source.records, source.read)


def _plain_set(data: str) -> ExternalSet | None:
    """Images without labels or splits; None where `--data` means something else."""
    path = Path(data)
    if any_path(data).remote:
        return None
    if is_table(data):
        columns = read_table(path, ("image",))[0][1].keys()
        return None if {"label", "split"} <= columns else _of_table(path, "label" in columns)
    if not path.is_dir() or not any(map(is_image, path.iterdir())):
        return None
    files = {str(file.relative_to(path)): file for file in image_files([path])}
    return _of_files(path.resolve().name, files, {}, {})


def _of_table(table: Path, labelled: bool) -> ExternalSet:
    files: dict[str, Path] = {}
    masks: dict[str, Path] = {}
    labels: dict[str, int] = {}
    for where, row in read_table(table, ("image",)):
        image_id = row["image"]
        if image_id in files:
            raise InputError(f"{where}: {image_id} stands twice; remove one row")
        files[image_id] = table.parent / image_id
        if not is_there(files[image_id]):
            raise InputError(f"{where}: there is no {files[image_id]}; put it in place")
        if row.get("mask"):
            masks[image_id] = table.parent / row["mask"]
        if labelled:
            try:
                labels[image_id] = label_of(row["label"], "label")
            except ValueError as error:
                raise InputError(f"{where}: {error}") from error
    return _of_files(table.stem, files, masks, labels)


def _of_files(
    name: str, files: dict[str, Path], masks: dict[str, Path], labels: dict[str, int]
) -> ExternalSet:
    def read(record: Record, size: int, fit: str) -> Picture:
        return read_picture(files[record.image_id], masks.get(record.image_id), size, fit)

    records = [Record(each, labels.get(each, UNKNOWN), _SPLIT) for each in files]
    return ExternalSet(name, records, read)
