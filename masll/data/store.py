"""The image store: a source decoded once into uint8 arrays that every process memory-maps.

The pages of a mapped file are the operating system's, so any number of trials on a machine share
one copy, and a second study finds the images ready. A store folder appears whole or not at all.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from masll.data.sources import Record, Source
from masll.errors import InputError

SPLITS = ("train", "validation", "test")
_FORMAT = 1  # raised when the files of a store change their meaning

Progress = Callable[[int, int], None]  # images done, images in all


@dataclass(frozen=True)
class Split:
    """The images of one split."""

    name: str
    ids: tuple[str, ...]
    labels: npt.NDArray[np.int64]  # (N,), 1 = melanoma
    images: npt.NDArray[np.uint8]  # (N, S, S, 3), memory-mapped, read only
    masks: npt.NDArray[np.uint8] | None  # (N, S, S), 1 = lesion; None unless all images have one

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class ImageStore:
    """A folder of decoded images. Cheap to pass to another process: it maps files when asked."""

    folder: Path

    @property
    def index(self) -> dict[str, Any]:
        """What index.json says: source, source_size, fingerprint, and ids and labels by split."""
        return json.loads((self.folder / "index.json").read_text())

    def split(self, name: str) -> Split:
        """Map one split. Files of the other splits are not touched."""
        listed = self.index["splits"][name]
        masks = self.folder / f"{name}-masks.npy"
        return Split(
            name,
            tuple(listed["ids"]),
            np.array(listed["labels"], dtype=np.int64),
            np.load(self.folder / f"{name}-images.npy", mmap_mode="r"),
            np.load(masks, mmap_mode="r") if masks.exists() else None,
        )


def default_cache() -> Path:
    """Where stores lie: $MASLL_CACHE, or `masll` in the user's cache folder."""
    user_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("MASLL_CACHE") or Path(user_cache) / "masll")


def open_store(
    source: Source,
    source_size: int,
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> ImageStore:
    """The store of `source` at `source_size` pixels a side, prepared if it is not there yet.

    Args:
        cache: the folder of all stores; `default_cache()` by default.
        progress: called after each image that had to be decoded.

    Raises:
        InputError: a split lacks a class, an image cannot be read, the cache cannot be written.
    """
    cache = cache or default_cache()
    for split in SPLITS:
        classes = {record.label for record in source.records if record.split == split}
        if len(classes) < 2:
            raise InputError(
                f"the {split} split of {source.name} needs images with and without melanoma, "
                f"got labels {sorted(classes)}"
            )
    identity = json.dumps([_FORMAT, source_size, source.identity()]).encode()
    key = hashlib.sha256(identity).hexdigest()[:12]
    store = ImageStore(cache / f"{source.name}-{source_size}px-{key}")
    if not (store.folder / "index.json").exists():
        try:
            _prepare(source, source_size, store.folder, progress)
        except OSError as error:
            raise InputError(
                f"cannot write the image store {store.folder}: {error.strerror or error}; "
                f"make room, or set MASLL_CACHE to another folder"
            ) from error
    return store


def _prepare(source: Source, source_size: int, folder: Path, progress: Progress | None) -> None:
    """Decode everything beside `folder`, then rename: two that do so at once do no harm."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        content = hashlib.sha256()
        splits: dict[str, Any] = {}
        done = 0
        for split in SPLITS:
            records = [record for record in source.records if record.split == split]

            def count(record: Record, digest: str) -> None:
                nonlocal done
                done += 1
                content.update(
                    f"{record.image_id},{record.label},{record.split},{digest}\n".encode()
                )
                if progress is not None:
                    progress(done, len(source.records))

            _write_split(source, records, source_size, partial / split, count)
            splits[split] = {
                "ids": [record.image_id for record in records],
                "labels": [record.label for record in records],
            }
        index = {
            "source": source.name,
            "source_size": source_size,
            "fingerprint": content.hexdigest(),  # of ids, labels, splits and original content
            "splits": splits,
        }
        (partial / "index.json").write_text(json.dumps(index))
        try:
            partial.rename(folder)
        except OSError:
            if not (folder / "index.json").exists():  # unless another process was first
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_split(
    source: Source,
    records: list[Record],
    size: int,
    prefix: Path,
    count: Callable[[Record, str], None],
) -> None:
    """Write `prefix`-images.npy and, if every record has a mask, `prefix`-masks.npy."""
    masks_path = Path(f"{prefix}-masks.npy")
    # Threads are enough: decoding and resizing release the interpreter's lock. Written as plain
    # files, not through a mapping, so that a full disk is an error and not a bus fault.
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        Path(f"{prefix}-images.npy").open("wb") as images,
        masks_path.open("wb") as masks,
    ):
        _write_header(images, (len(records), size, size, 3))
        _write_header(masks, (len(records), size, size))
        masked = 0
        pictures = pool.map(lambda record: source.read(record, size), records)
        try:
            for record, picture in zip(records, pictures, strict=True):
                images.write(np.ascontiguousarray(picture.image).data)
                if picture.mask is not None:
                    masks.write(picture.mask.astype(np.uint8).data)
                    masked += 1
                count(record, picture.digest)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if masked < len(records):
        masks_path.unlink()


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
