"""Folders and files on this machine, with the few methods that pathlib lacks for a study."""

import contextlib
import errno
import os
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from masll.common.errors import InputError
from masll.common.storage.regular import MOST_BYTES, read_regular


class Stored(NamedTuple):
    """A file below a folder, as a listing tells it."""

    name: str  # from that folder
    size: int
    mtime_ns: int


class LocalPath(type(Path())):  # type: ignore[misc]  # the class of this platform's paths
    """A path on this machine."""

    remote: ClassVar = False

    def read_bytes(self, most: int = MOST_BYTES) -> bytes:
        """The content of a regular file of at most so many bytes: see `read_regular`."""
        return read_regular(self, most)

    def read_text(self, encoding: str = "utf-8", most: int = MOST_BYTES) -> str:
        return self.read_bytes(most).decode(encoding)

    def move_to(self, target: Any) -> None:
        """Move what lies here, a file or not, on the same disk; its new folder is made."""
        make_folder(target.parent)
        self.rename(target)
        sync(target.parent)
        sync(self.parent)

    def write_whole(self, content: bytes | str, *, many_writers: bool = False) -> None:
        """Write the file, whole or not at all; its folder is made.

        Args:
            many_writers: whether several processes may write it at once.
        """
        with whole_file(self, many_writers=many_writers) as partial:
            partial.write_bytes(content.encode() if isinstance(content, str) else content)

    def whole(self) -> AbstractContextManager[Path]:
        """A file to be written, which takes this one's place at the end, or never."""
        return whole_file(self)

    def remove_partials(
        self, unwritten: float | None = None, but: Collection[str] = frozenset()
    ) -> None:
        """Remove what killed processes have left of files, here and in all folders below.

        Args:
            unwritten: only what nobody has written to for so many seconds, where others may write.
            but: names of folders right in here that are left alone.
        """
        for path in self.rglob(".*.partial"):
            if path.relative_to(self).parts[0] in but:
                continue
            with contextlib.suppress(OSError):
                if unwritten is None or time.time() - path.stat().st_mtime >= unwritten:
                    path.unlink()

    def content(self) -> "Iterator[LocalPath]":
        """What lies right in the folder; nothing where there is none."""
        return iter(self.iterdir() if self.exists() else ())

    @contextlib.contextmanager
    def local_file(self) -> Iterator[Path]:
        """The file itself; its folder is made."""
        self.parent.mkdir(parents=True, exist_ok=True)
        yield self

    def check_reachable(self) -> None:
        """Nothing: what lies on this machine can be reached."""

    def check_writable(self, flag: str) -> None:
        """Raise `InputError` unless a file can be made in the folder, or in the one it will lie in.

        Args:
            flag: the option that names the folder.
        """
        try:
            nearest = next(path for path in (self, *self.absolute().parents) if _is_there(path))
            if not nearest.is_dir():
                what = "a file" if nearest == self else f"below a file, {nearest}"
                raise InputError(f"{flag} {self} is {what}; name a folder")
            tempfile.TemporaryFile(dir=nearest).close()  # without a name, where the system can
        except OSError as error:
            raise InputError(
                f"cannot write {flag} {self}: {error.strerror}; name another folder"
            ) from error

    def parquet_files(self) -> dict[str, "LocalParquet"]:
        """The Parquet files right in the folder, by their names in order.

        Like pandas and Arrow, passes over files that begin with a dot or an underscore.
        """
        names = sorted(path.name for path in self.content() if is_parquet(path.name))
        return {name: LocalParquet(_stored(self / name), self / name) for name in names}


class LocalParquet(NamedTuple):
    """A file of rows; read at once, and only if it is a file."""

    stored: Stored
    path: LocalPath

    def open(self) -> Any:
        """What pyarrow reads from."""
        import pyarrow

        return pyarrow.BufferReader(self.path.read_bytes())


def _stored(path: LocalPath) -> Stored:
    """A file as it is now; of size -1 where nobody can tell, which reading it will explain."""
    try:
        status = path.stat()
    except OSError:
        return Stored(path.name, -1, 0)
    return Stored(path.name, status.st_size, status.st_mtime_ns)


def _is_there(path: Path) -> bool:
    """Whether a name is taken, if only by a link to nothing; raises where it cannot be one."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


@contextlib.contextmanager
def whole_file(path: Path, *, many_writers: bool = False) -> Iterator[Path]:
    """A file beside `path` to be written, which takes its place at the end, or never.

    Args:
        many_writers: whether several processes may write it at once.
    """
    # A leading dot: readers of a Parquet folder pass such files over.
    partial = path.with_name(f".{path.name}{f'.{os.getpid()}' * many_writers}.partial")
    make_folder(path.parent)
    try:
        yield partial
        sync(partial)
        partial.replace(path)
        sync(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        if isinstance(error, OSError) and error.filename is None:  # a full disk names no file
            error.filename = str(path)
        raise


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder beside `path` to be filled, which takes its place at the end, or never.

    What a killed process has left in it is there still; what an error leaves is removed.
    """
    partial = path.with_name(f".{path.name}.partial")
    make_folder(partial)
    try:
        yield partial
        for written in partial.rglob("*"):
            sync(written)
        sync(partial)
        partial.rename(path)
        sync(path.parent)
    except Exception:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def make_folder(folder: Path) -> None:
    """Make a folder, and those that it lies in, so that they outlive a loss of power."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


def sync(path: Path) -> None:
    """Have a file's content, or a folder's names, on the disk before anything that follows.

    Some file systems of networks know no such thing for a folder.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF) or not path.is_dir():
            raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(handle)


def is_parquet(name: str) -> bool:
    """Whether a file of that name holds rows."""
    return name.endswith(".parquet") and not name.startswith((".", "_"))


def parquet_format() -> Any:
    """pyarrow's reader of Parquet files."""
    from pyarrow.dataset import ParquetFileFormat

    return ParquetFileFormat()
