"""The image store: a source decoded once into uint8 arrays that every process memory-maps.

The pages of a mapped file are the operating system's, so any number of trials on a machine share
one copy, and a second study finds the images ready. One process of a machine fills a store (see
`filling`) while others wait for its lock, which dies with it.
"""

import contextlib
import functools
import hashlib
import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from masll.common.checks import check_choice
from masll.common.errors import InputError
from masll.common.machine import default_cache, locked, usable_cores
from masll.common.progress import Progress
from masll.data.arrays import BLOCK, SplitArrays
from masll.data.filling import fill_store
from masll.data.reading import FITS
from masll.data.split import Split
from masll.data.types import SPLITS, Record, Source

_FORMAT = 5  # raised when the files of a store change their meaning


@dataclass(frozen=True)
class ImageStore:
    """A folder of decoded images. Cheap to pass to another process: it maps files when asked."""

    folder: Path

    @functools.cached_property
    def index(self) -> dict[str, Any]:
        """What index.json says of the whole.

        source, source_size, fit, fingerprint; and in words, images of one content, and what was
        left out.
        """
        return json.loads((self.folder / "index.json").read_text())

    def listed(self, name: str) -> dict[str, Any]:
        """What a split's own file says.

        ids, labels, groups, digests, masked, checksums: lists; metadata: a list for each column,
        such as age, sex and site, "" where it is not known (stores of before have none).
        """
        return json.loads((self.folder / f"{name}.json").read_text())

    def split(self, name: str) -> Split:
        """Map one split. Files of the other splits are not opened, nor are their labels read."""
        listed = self.listed(name)
        masked = np.array(listed["masked"], dtype=bool)
        masks = np.load(self.folder / f"{name}-masks.npy", mmap_mode="r") if masked.any() else None
        return Split(
            name,
            tuple(listed["ids"]),
            np.array(listed["labels"], dtype=np.int64),
            np.load(self.folder / f"{name}-images.npy", mmap_mode="r"),
            masks,
            masked if masked.any() else None,
            self.index["fit"],
        )

    @property
    def records(self) -> list[Record]:
        """All images, split by split."""
        return [record for name in SPLITS for record in _records(name, self.listed(name))]

    def damage(self) -> str | None:
        """The first block of images whose checksum is not the recorded one; None if all agree."""
        try:
            splits = {name: self.listed(name) for name in SPLITS}
            arrays = {
                name: SplitArrays(self.folder, name, listed["ids"], self.index["source_size"])
                for name, listed in splits.items()
            }
            blocks = [
                (name, start, checksum)
                for name, listed in splits.items()
                for start, checksum in zip(
                    range(0, len(listed["ids"]), BLOCK), listed["checksums"], strict=True
                )
            ]
        except (OSError, ValueError, KeyError) as error:
            return f"index: {error}"
        with contextlib.ExitStack() as files, ThreadPoolExecutor(usable_cores()) as threads:
            try:
                opened = {name: files.enter_context(each) for name, each in arrays.items()}
                checksums = threads.map(lambda block: opened[block[0]].checksum(block[1]), blocks)
                for (name, start, checksum), actual in zip(blocks, checksums, strict=True):
                    if actual != checksum:
                        return f"{name}-images.npy or {name}-masks.npy, from image {start} on"
            except OSError as error:
                return f"{error.filename}: {error.strerror}"
        return None


def open_store(
    source: Source,
    source_size: int,
    *,
    fit: str = "squash",
    cache: Path | None = None,
    progress: Progress | None = None,
    waiting: Callable[[], None] | None = None,
) -> ImageStore:
    """The store of `source` at `source_size` pixels a side, prepared if it is not there yet.

    A store that is there is compared with its checksums, and made anew if it is damaged.

    Args:
        fit: how an image becomes a square: squash, pad or crop.
        cache: the folder of all stores; `default_cache()` by default.
        progress: called after each image that had to be decoded, and once for those that an
            earlier process had done.
        waiting: called if another process is preparing the same store.

    Raises:
        InputError: an image cannot be read, the cache cannot be written.
    """
    check_choice("fit", fit, FITS)
    identity = json.dumps([_FORMAT, source_size, fit, source.identity()]).encode()
    key = hashlib.sha256(identity).hexdigest()[:12]
    store = ImageStore((cache or default_cache()) / f"{source.name}-{source_size}px-{fit}-{key}")
    if _whole(store):
        return store
    try:
        store.folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(store.folder.parent / f".{store.folder.name}.lock", waiting):
            if not _whole(store):  # unless another process has made it while this one waited
                shutil.rmtree(store.folder, ignore_errors=True)
                fill_store(source, source_size, fit, store.folder, progress)
    except OSError as error:
        raise InputError(
            f"cannot write the image store {store.folder}: {error.strerror or error}; "
            f"make room, or set MASLL_CACHE to another folder"
        ) from error
    return ImageStore(store.folder)


def _records(split: str, listed: dict[str, Any]) -> list[Record]:
    known = listed.get("metadata", {})
    return [
        Record(image_id, label, split, group, {name: known[name][row] for name in known})
        for row, (image_id, label, group) in enumerate(
            zip(listed["ids"], listed["labels"], listed["groups"], strict=True)
        )
    ]


def _whole(store: ImageStore) -> bool:
    return (store.folder / "index.json").exists() and store.damage() is None
