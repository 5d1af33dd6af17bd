"""The image store: a source decoded once into uint8 arrays that every process memory-maps.

The pages of a mapped file are the operating system's, so any number of trials on a machine share
one copy, and a second study finds the images ready. A store folder appears whole or not at all:
it is filled beside its place, block by block with a checksum each, and renamed when it is complete.
What a killed process has left is checked and gone on with. A lock that dies with its process makes
one process prepare while others wait.
"""

import contextlib
import fcntl
import functools
import hashlib
import io
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from masll.cli import check_choice, option
from masll.data.reading import FITS
from masll.data.sources import SPLITS, Picture, Record, Source
from masll.errors import InputError

_FORMAT = 4  # raised when the files of a store change their meaning
_BLOCK = 16  # images that are written, and checked, together

Progress = Callable[[int, int], None]  # images done, images in all


@dataclass(frozen=True)
class DataOptions:
    """Which images, and how they are stored. Shared by every command that reads images."""

    data: str = option(
        "synthetic",
        "ISIC 2017 folder or CSV file, here or on s3://, or the word synthetic",
        metavar="PATH",
    )
    source_size: int | None = option(
        None, "side of the stored images, which crops are cut from (default: twice the image size)"
    )
    fit: str = option(
        "squash", "how an image becomes a square: squash (the paper), pad or crop", choices=FITS
    )
    partial: bool = option(False, "leave out rows without an image and images without a row")


class Pixels:
    """Rows of one or more arrays of images as if they were one array, copied when asked for."""

    def __init__(
        self, parts: Sequence[npt.NDArray[np.uint8]], rows: npt.NDArray[np.int64] | None = None
    ) -> None:
        self._parts = parts
        self._starts = np.cumsum([0, *map(len, parts)])
        self._rows = np.arange(self._starts[-1]) if rows is None else rows
        self.shape = (len(self._rows), *parts[0].shape[1:])

    def __len__(self) -> int:
        return len(self._rows)

    def select(self, rows: npt.NDArray[np.int64]) -> "Pixels":
        """Some of the rows, still not copied."""
        return Pixels(self._parts, self._rows[rows])

    def __getitem__(self, chosen: Any) -> npt.NDArray[np.uint8]:
        """Images by index array or slice: (n, 3, S, S)."""
        rows = self._rows[chosen]
        part_of = np.searchsorted(self._starts, rows, side="right") - 1
        images = np.empty((len(rows), *self.shape[1:]), np.uint8)
        for part in np.unique(part_of):
            here = part_of == part
            images[here] = self._parts[part][rows[here] - self._starts[part]]
        return images


@dataclass(frozen=True)
class Split:
    """The images of one split, or of a part of one or more."""

    name: str
    ids: tuple[str, ...]
    labels: npt.NDArray[np.int64]  # (N,), 1 = melanoma
    images: npt.NDArray[np.uint8] | Pixels  # (N, 3, S, S), memory-mapped, read only
    masks: npt.NDArray[np.uint8] | None = None  # (N, S, S), 1 = lesion; None without any mask
    masked: npt.NDArray[np.bool_] | None = None  # (N,), which images have a mask
    fit: str = "squash"  # how the images became squares

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, rows: npt.NDArray[np.int64]) -> "Split":
        """Some of the images, in the order of `rows`; without their masks."""
        ids = tuple(self.ids[row] for row in rows)
        if isinstance(self.images, Pixels):
            images = self.images.select(rows)
        else:
            images = Pixels([self.images], rows)
        return Split(self.name, ids, self.labels[rows], images, fit=self.fit)


def pool(name: str, splits: Sequence[Split]) -> Split:
    """Several splits one after the other; without their masks."""
    return Split(
        name,
        tuple(image_id for split in splits for image_id in split.ids),
        np.concatenate([split.labels for split in splits]),
        Pixels([part for split in splits for part in _parts(split)]),
        fit=splits[0].fit,
    )


def _parts(split: Split) -> list[npt.NDArray[np.uint8]]:
    if isinstance(split.images, Pixels):
        raise TypeError("pool whole splits, then select from the pool")
    return [split.images]


@dataclass(frozen=True)
class ImageStore:
    """A folder of decoded images. Cheap to pass to another process: it maps files when asked."""

    folder: Path

    @functools.cached_property
    def index(self) -> dict[str, Any]:
        """What index.json says of the whole: source, source_size, fit, fingerprint, left_out."""
        return json.loads((self.folder / "index.json").read_text())

    def listed(self, name: str) -> dict[str, list[Any]]:
        """What a split's own file says: ids, labels, groups, digests, masked, and checksums."""
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
        return [
            Record(image_id, label, name, group)
            for name, listed in ((name, self.listed(name)) for name in SPLITS)
            for image_id, label, group in zip(
                listed["ids"], listed["labels"], listed["groups"], strict=True
            )
        ]

    def damage(self) -> str | None:
        """The first block of images whose checksum is not the recorded one; None if all agree."""
        try:
            splits = {name: self.listed(name) for name in SPLITS}
            arrays = {name: _Arrays(self.folder, name, listed["ids"], self.index["source_size"])
                      for name, listed in splits.items()}  # fmt: skip
            blocks = [
                (name, start, checksum)
                for name, listed in splits.items()
                for start, checksum in zip(
                    range(0, len(listed["ids"]), _BLOCK), listed["checksums"], strict=True
                )
            ]
        except (OSError, ValueError, KeyError) as error:
            return f"index: {error}"
        with contextlib.ExitStack() as files, ThreadPoolExecutor(usable_cores()) as threads:
            try:
                opened = {name: files.enter_context(each) for name, each in arrays.items()}
                found = threads.map(lambda block: opened[block[0]].checksum(block[1]), blocks)
                for (name, start, checksum), actual in zip(blocks, found, strict=True):
                    if actual != checksum:
                        return f"{name}-images.npy or {name}-masks.npy, from image {start} on"
            except OSError as error:
                return f"{error.filename}: {error.strerror}"
        return None


def default_cache() -> Path:
    """Where stores lie: $MASLL_CACHE, or `masll` in the user's cache folder."""
    user_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("MASLL_CACHE") or Path(user_cache) / "masll")


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
        InputError: a split lacks a class, an image cannot be read, the cache cannot be written.
    """
    check_choice("fit", fit, FITS)
    for split in SPLITS:
        classes = {record.label for record in source.records if record.split == split}
        if len(classes) < 2:
            raise InputError(
                f"the {split} split of {source.name} needs images with and without melanoma, "
                f"got labels {sorted(classes)}"
            )
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
                _prepare(source, source_size, fit, store.folder, progress)
    except OSError as error:
        raise InputError(
            f"cannot write the image store {store.folder}: {error.strerror or error}; "
            f"make room, or set MASLL_CACHE to another folder"
        ) from error
    return ImageStore(store.folder)


def _whole(store: ImageStore) -> bool:
    return (store.folder / "index.json").exists() and store.damage() is None


@contextlib.contextmanager
def locked(path: Path, waiting: Callable[[], None] | None) -> Iterator[None]:
    """Hold a lock that other processes wait for, and that ends with this process at the latest."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting is not None:
                waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


class _Block(NamedTuple):
    """Some consecutive images of a split, as the journal of a preparation has them."""

    split: str
    start: int
    checksum: str
    digests: list[str]
    masked: list[bool]


def _prepare(source: Source, size: int, fit: str, folder: Path, progress: Progress | None) -> None:
    """Fill a folder beside `folder`, going on with what is in it, then rename it."""
    partial = folder.parent / f".{folder.name}.partial"
    partial.mkdir(exist_ok=True)
    records = {name: [r for r in source.records if r.split == name] for name in SPLITS}
    try:
        with contextlib.ExitStack() as files:
            arrays = {
                name: files.enter_context(_Arrays(partial, name, of_split, size, write=True))
                for name, of_split in records.items()
            }
            blocks = _fill(source, records, arrays, size, fit, partial, progress)
            for each in arrays.values():
                each.sync()
        index, splits = _index(source, records, blocks, size, fit)
        for name, listed in {"index": index, **splits}.items():
            (partial / f"{name}.json").write_text(json.dumps(listed))
        (partial / "journal.jsonl").unlink()
        for name, listed in splits.items():
            if not any(listed["masked"]):
                (partial / f"{name}-masks.npy").unlink()
        partial.rename(folder)
    except (InputError, OSError):  # no use to go on from: the input has to change, or the disk
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _fill(
    source: Source,
    records: dict[str, list[Record]],
    arrays: dict[str, "_Arrays"],
    size: int,
    fit: str,
    partial: Path,
    progress: Progress | None,
) -> dict[tuple[str, int], _Block]:
    """Decode and write every block that is not there yet, and note each in the journal."""
    done = {
        (block.split, block.start): block
        for block in _read_journal(partial / "journal.jsonl")
        if arrays[block.split].checksum(block.start) == block.checksum
    }
    count = sum(len(block.digests) for block in done.values())
    total = sum(map(len, records.values()))
    counting = threading.Lock()

    def note(images: int) -> None:
        nonlocal count
        with counting:
            count += images
            if progress is not None:
                progress(count, total)

    def write(split: str, start: int) -> _Block:
        pictures = []
        for record in records[split][start : start + _BLOCK]:
            pictures.append(source.read(record, size, fit))
            note(1)
        return arrays[split].write(start, pictures)

    if done:
        note(0)
    missing = [
        (split, start)
        for split, of_split in records.items()
        for start in range(0, len(of_split), _BLOCK)
        if (split, start) not in done
    ]
    # Threads are enough: decoding, resizing and hashing release the interpreter's lock.
    with (
        (partial / "journal.jsonl").open("a") as journal,
        ThreadPoolExecutor(usable_cores()) as threads,
    ):
        writing = [threads.submit(write, split, start) for split, start in missing]
        try:
            for future in as_completed(writing):
                block = future.result()
                done[block.split, block.start] = block
                journal.write(json.dumps(block) + "\n")
                journal.flush()
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise
    return done


def _read_journal(path: Path) -> list[_Block]:
    """The blocks that a killed process has noted; its last line may be cut off."""
    blocks = []
    for line in path.read_text().splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError, TypeError):
            blocks.append(_Block(*json.loads(line)))
    return blocks


def _index(
    source: Source,
    records: dict[str, list[Record]],
    blocks: dict[tuple[str, int], _Block],
    size: int,
    fit: str,
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """What is written of the whole, and of each split: a search never opens the test split's."""
    content = hashlib.sha256()
    splits = {}
    for name, of_split in records.items():
        of_blocks = [blocks[name, start] for start in range(0, len(of_split), _BLOCK)]
        digests = [digest for block in of_blocks for digest in block.digests]
        for record, digest in zip(of_split, digests, strict=True):
            line = f"{record.image_id},{record.label},{record.split},{digest}\n"
            content.update(line.encode())
        splits[name] = {
            "ids": [record.image_id for record in of_split],
            "labels": [record.label for record in of_split],
            "groups": [record.group for record in of_split],
            "digests": digests,
            "masked": [has for block in of_blocks for has in block.masked],
            "checksums": [block.checksum for block in of_blocks],
        }
    index = {
        "source": source.name,
        "source_size": size,
        "fit": fit,
        "fingerprint": content.hexdigest(),  # of ids, labels, splits and original content
        "left_out": [problem.text for problem in source.problems],
    }
    return index, splits


class _Arrays:
    """The two .npy files of a split, read or written block by block.

    Plain reads and writes at an offset, not a mapping: a full disk is then an error, not a bus
    fault. Threads may use one object at once.
    """

    def __init__(
        self, folder: Path, split: str, entries: Sequence[Any], size: int, *, write: bool = False
    ) -> None:
        n = len(entries)
        self._split, self._n, self._write = split, n, write
        self._shapes = {"images": (n, 3, size, size), "masks": (n, size, size)}
        self._headers = {kind: _header(shape) for kind, shape in self._shapes.items()}
        self._paths = {kind: folder / f"{split}-{kind}.npy" for kind in self._shapes}
        self._files: dict[str, int] = {}

    def __enter__(self) -> "_Arrays":
        try:
            self._open()
        except OSError:
            self.__exit__()
            raise
        return self

    def _open(self) -> None:
        for kind, path in self._paths.items():
            if not self._write:
                if path.exists():
                    self._files[kind] = os.open(path, os.O_RDONLY)
                continue
            file = self._files[kind] = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            header = self._headers[kind]
            room = len(header) + int(np.prod(self._shapes[kind]))
            if hasattr(os, "posix_fallocate"):  # a full disk is found now, not after an hour
                os.posix_fallocate(file, 0, room)
            os.pwrite(file, header, 0)

    def __exit__(self, *error: object) -> None:
        for file in self._files.values():
            os.close(file)

    def write(self, start: int, pictures: list[Picture]) -> _Block:
        """Write consecutive pictures; an image without a mask gets an empty one."""
        size = self._shapes["masks"][1]
        empty = np.zeros((size, size), np.uint8)
        # One plane a colour, as networks want them: turned round here once, and not in every epoch.
        images = np.stack([picture.image.transpose(2, 0, 1) for picture in pictures])
        masks = np.stack([empty if p.mask is None else p.mask.astype(np.uint8) for p in pictures])
        for kind, values in (("images", images), ("masks", masks)):
            content = memoryview(values.tobytes())
            offset = self._offset(kind, start)
            while content:
                written = os.pwrite(self._files[kind], content, offset)
                content, offset = content[written:], offset + written
        return _Block(
            self._split,
            start,
            _checksum(images.tobytes(), masks.tobytes()),
            [picture.digest for picture in pictures],
            [picture.mask is not None for picture in pictures],
        )

    def checksum(self, start: int) -> str:
        """The checksum of a block as it lies on disk; without masks, that of empty ones."""
        n = min(_BLOCK, self._n - start)
        contents = []
        for kind, shape in self._shapes.items():
            length = n * int(np.prod(shape[1:]))
            if kind in self._files:
                contents.append(os.pread(self._files[kind], length, self._offset(kind, start)))
            else:
                contents.append(bytes(length))
        return _checksum(*contents)

    def sync(self) -> None:
        """Wait until everything is on the disk."""
        for file in self._files.values():
            os.fsync(file)

    def _offset(self, kind: str, start: int) -> int:
        return len(self._headers[kind]) + start * int(np.prod(self._shapes[kind][1:]))


def _checksum(images: bytes, masks: bytes) -> str:
    whole = hashlib.sha256(images)
    whole.update(masks)
    return whole.hexdigest()


def _header(shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    layout = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, layout)
    return file.getvalue()


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
