"""The images of an external set: read from whatever people have, decoded once for all models."""

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from masll.common.errors import InputError
from masll.common.machine import default_cache, usable_cores
from masll.common.progress import Progress
from masll.common.scratch import scratch_folder
from masll.common.storage import any_path
from masll.data.arrays import BLOCK, Block, SplitArrays
from masll.data.files import read_picture
from masll.data.layouts import published_files
from masll.data.listing import is_image
from masll.data.rules import AS_THEY_ARE, Rules
from masll.data.sources import find_source
from masll.data.split import Split
from masll.data.types import UNKNOWN, Picture, Record

_SPLIT = "test"  # what an external set is to a study: images to be judged by
SPLITS = ("all", "train", "validation", "test")
_OF_LABELS = ("positive", "labels", "split_by")  # options of `SourceOptions`


@dataclass(frozen=True)
class ExternalSet:
    """Images that took no part in a study."""

    name: str
    records: Sequence[Record]
    read: Callable[[Record, int, str], Picture]  # as `Source.read`

    @property
    def groups(self) -> dict[str, str]:
        """Lesion or patient of each image that names one, by its id."""
        return {record.image_id: record.group for record in self.records if record.group}


def find_set(
    data: str,
    rules: Rules = AS_THEY_ARE,
    *,
    split: str = "all",
    partial: bool = False,
    given: Collection[str] = (),
) -> ExternalSet:
    """The images that `--data` means; some of them, or all, may be without a label.

    Args:
        data: what `find_source` takes; or a folder of image files, which then have no labels.
        rules: see `find_source`.
        split: of the set's own splits the one that is taken, or all.
        partial: see `find_source`.
        given: which options of `SourceOptions` somebody gave.

    Raises:
        InputError: no such data, its content breaks the format, the split has no images, or
            something is said of the labels or splits of a folder that has none.
    """
    whole = _plain_folder(data)
    if whole is None:
        source = find_source(data, partial=partial, rules=rules)
        whole = ExternalSet(source.name, source.records, source.read)
    else:
        for name in (name for name in _OF_LABELS if name in given):
            raise InputError(
                f"--{name.replace('_', '-')}: {data} is a folder of image files, without labels "
                "or splits; leave it out"
            )
    records = [record for record in whole.records if split in ("all", record.split)]
    if not records:
        raise InputError(f"{data} has no images of the split '{split}'; choose another --split")
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
    with scratch_folder(cache, ".external-") as folder:
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


def _plain_folder(data: str) -> ExternalSet | None:
    """The image files of a folder that is no known data set; None for anything else."""
    folder = Path(data)
    if any_path(data).remote or not folder.is_dir():
        return None
    if published_files([path.name for path in folder.iterdir()]):
        return None
    files = {path.name: path for path in folder.iterdir() if is_image(path)}
    if not files:
        return None

    def read(record: Record, size: int, fit: str) -> Picture:
        return read_picture(files[record.image_id], None, size, fit)

    records = [Record(name, UNKNOWN, _SPLIT) for name in sorted(files)]
    return ExternalSet(folder.resolve().name, records, read)
