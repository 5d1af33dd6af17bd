"""The two .npy files of a split in a store, read and written block by block with checksums."""

import hashlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from masll.data.types import Picture

BLOCK = 16  # images that are written, and checked, together


class Block(NamedTuple):
    """Some consecutive images of a split, as the journal of a preparation has them."""

    split: str
    start: int
    checksum: str
    digests: list[str]
    masked: list[bool]


class SplitArrays:
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

    def __enter__(self) -> "SplitArrays":
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

    def write(self, start: int, pictures: list[Picture]) -> Block:
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
        return Block(
            self._split,
            start,
            _checksum(images.tobytes(), masks.tobytes()),
            [picture.digest for picture in pictures],
            [picture.mask is not None for picture in pictures],
        )

    def checksum(self, start: int) -> str:
        """The checksum of a block as it lies on disk; without masks, that of empty ones."""
        n = min(BLOCK, self._n - start)
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
