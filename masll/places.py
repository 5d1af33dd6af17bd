"""Folders on this machine or on S3, through the same few methods.

`place("studies/paper")` is a `pathlib.Path`; `place("s3://bucket/paper")` an `S3Path`, which offers
what a study needs of pathlib. What has to differ are the functions below: a file appears whole or
not at all, by rename here, and on S3 as one object always does.

Only what lies on S3 needs pyarrow. Credentials and region are found in the usual ways of AWS
(AWS_PROFILE, AWS_ACCESS_KEY_ID, AWS_REGION, ~/.aws, the role of an instance), another endpoint than
AWS's own by AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL.
"""

import contextlib
import errno
import fnmatch
import functools
import os
import re
import tempfile
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from masll.errors import InputError

_SCHEME = "s3://"
_ATTEMPTS = 8  # of a request, with longer and longer pauses: S3 asks clients to slow down
_THREADS = 32  # requests at once where there are many: each waits some ten milliseconds
_CHUNK = 2**23


class Stored(NamedTuple):
    """A file below a folder on S3, as a listing tells it."""

    name: str  # from that folder
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class S3Path:
    """A folder or an object on S3: bucket and key, with pathlib's methods as far as we use them.

    Failures are `OSError`s like those of pathlib, with one line for a person in `strerror`.
    """

    key: str  # bucket/path

    def __str__(self) -> str:
        return _SCHEME + self.key

    def __truediv__(self, name: str) -> "S3Path":
        return S3Path(f"{self.key}/{name}")

    @property
    def bucket(self) -> str:
        return self.key.partition("/")[0]

    @property
    def name(self) -> str:
        return PurePosixPath(self.key).name

    @property
    def stem(self) -> str:
        return PurePosixPath(self.key).stem

    @property
    def parent(self) -> "S3Path":
        return S3Path(str(PurePosixPath(self.key).parent))

    def resolve(self) -> "S3Path":
        """Itself: there are no links, and no working directory."""
        return self

    def exists(self) -> bool:
        """Whether there is an object of this name, or one below it."""
        with _told(self):
            from pyarrow.fs import FileType

            return file_system().get_file_info(self.key).type != FileType.NotFound

    def is_dir(self) -> bool:
        """Whether there is an object below this name."""
        with _told(self):
            from pyarrow.fs import FileType

            return file_system().get_file_info(self.key).type == FileType.Directory

    def read_bytes(self) -> bytes:
        with _told(self), file_system().open_input_stream(self.key) as stream:
            return stream.read()

    def read_text(self, encoding: str = "utf-8") -> str:
        return self.read_bytes().decode(encoding)

    def write_bytes(self, content: bytes) -> None:
        """Put the object, whole or not at all."""
        with _told(self), file_system().open_output_stream(self.key) as stream:
            stream.write(content)

    def unlink(self, missing_ok: bool = False) -> None:
        try:
            with _told(self):
                file_system().delete_file(self.key)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def glob(self, pattern: str) -> "Iterator[S3Path]":
        """The objects right below this name, by a pattern of their names, with one listing."""
        names = [stored.name for stored in self.listed(recursive=False)]
        return (self / name for name in fnmatch.filter(names, pattern))

    def listed(self, *, recursive: bool = True) -> list[Stored]:
        """All objects below this name, in the order of their names: a request for each thousand."""
        with _told(self):
            from pyarrow.fs import FileSelector, FileType

            chosen = FileSelector(self.key, recursive=recursive, allow_not_found=True)
            return sorted(
                Stored(info.path.removeprefix(f"{self.key}/"), info.size, info.mtime_ns)
                for info in file_system().get_file_info(chosen)
                if info.type == FileType.File
            )


Place = Path | S3Path


def place(name: str | Place) -> Place:
    """The folder or file of that name.

    Raises:
        InputError: `s3://` without a bucket.
    """
    if not isinstance(name, str):
        return name
    if not on_s3(name):
        return Path(name)
    key = "/".join(part for part in name.removeprefix(_SCHEME).split("/") if part)
    if not key:
        raise InputError(f"'{name}' names no bucket; write it like s3://bucket/folder")
    return S3Path(key)


def on_s3(name: str) -> bool:
    """Whether a name means a place on S3."""
    return name.startswith(_SCHEME)


def write_whole(path: Place, content: bytes | str, *, many_writers: bool = False) -> None:
    """Write a file, whole or not at all; its folder is made.

    Args:
        many_writers: whether several processes may write it at once.
    """
    if isinstance(content, str):
        content = content.encode()
    if isinstance(path, S3Path):
        path.write_bytes(content)
        return
    # A leading dot: readers of a Parquet folder pass such files over.
    partial = path.with_name(f".{path.name}{f'.{os.getpid()}' * many_writers}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def append_line(path: Place, line: str) -> None:
    """Add a line to a file that one process writes."""
    if isinstance(path, Path):
        with path.open("a") as file:
            file.write(line + "\n")
        return
    try:
        before = path.read_text()
    except FileNotFoundError:
        before = ""
    write_whole(path, before + line + "\n")  # an object cannot grow


def parquet_fragments(folder: Place) -> dict[str, Any]:
    """The Parquet files right in a folder, by their names in order, for a pyarrow dataset.

    Like pandas and Arrow, passes over files that begin with a dot or an underscore.
    """
    from pyarrow.dataset import ParquetFileFormat
    from pyarrow.fs import LocalFileSystem

    form = ParquetFileFormat()
    if isinstance(folder, S3Path):
        # With its size from the listing, a file is read without asking for it once more.
        found = {
            stored.name: form.make_fragment(
                f"{folder.key}/{stored.name}", file_system(), file_size=stored.size
            )
            for stored in folder.listed(recursive=False)
        }
    else:
        here = LocalFileSystem()
        found = {path.name: form.make_fragment(str(path), here) for path in folder.glob("*")}
    return {
        name: found[name]
        for name in sorted(found)
        if name.endswith(".parquet") and not name.startswith((".", "_"))
    }


def check_bucket(folder: S3Path) -> None:
    """Raise `InputError` unless the bucket of a folder is there, and ours to look into."""
    try:
        with _told(folder):
            from pyarrow.fs import FileType

            found = file_system(attempts=2).get_file_info(folder.bucket).type != FileType.NotFound
    except OSError as error:
        raise InputError(f"cannot reach {folder}: {error.strerror}") from error
    if not found:
        raise InputError(f"cannot reach {folder}: there is no bucket '{folder.bucket}'; "
                         "make it, or name another one")  # fmt: skip


@contextlib.contextmanager
def local_copy(folder: Place) -> Iterator[Path]:
    """A folder as it is on this machine: itself, or a copy for as long as it is looked at."""
    if isinstance(folder, Path):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="masll-copy-") as copy:
        download(folder, folder.listed(), Path(copy))
        yield Path(copy)


def upload(folder: Path, to: S3Path, names: Iterable[str]) -> None:
    """Put files of a folder below a place on S3, in that order, each whole or not at all."""
    for name in names:
        # Read first: an upload that an error ends is closed, and so put there as far as it came.
        (to / name).write_bytes((folder / name).read_bytes())


def download(
    folder: S3Path,
    files: Iterable[Stored],
    to: Path,
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Bring files below a place on S3 into a local folder, many at once, with their times.

    Each appears whole or not at all.

    Raises:
        OSError: one that cannot be read or written, or that ended before its size.
    """

    def bring(stored: Stored) -> None:
        path = to / stored.name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        source = folder / stored.name
        with (
            partial.open("wb") as file,
            _told(source),
            file_system().open_input_stream(source.key) as stream,
        ):
            while chunk := stream.read(_CHUNK):
                file.write(chunk)
        if partial.stat().st_size != stored.size:
            raise OSError(errno.EIO, f"has not the {stored.size} bytes of its listing", str(source))
        os.utime(partial, ns=(stored.mtime_ns, stored.mtime_ns))
        partial.replace(path)
        progress()

    with ThreadPoolExecutor(_THREADS) as threads:
        bringing = [threads.submit(bring, stored) for stored in files]
        try:
            for each in bringing:
                each.result()
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise


@functools.cache
def file_system(attempts: int = _ATTEMPTS) -> Any:
    """pyarrow's S3 file system, one for the process."""
    import pyarrow
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    pyarrow.set_io_thread_count(max(_THREADS, pyarrow.io_thread_count()))
    settings: dict[str, Any] = {}
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:  # pyarrow does not look for it
        parts = urllib.parse.urlsplit(endpoint)
        settings = {"endpoint_override": parts.netloc, "scheme": parts.scheme}
    return S3FileSystem(
        allow_delayed_open=True,  # one request for a small object instead of three
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=attempts),
        **settings,
    )


_REASONS = {
    "NO_SUCH_BUCKET": "there is no such bucket; make it, or name another one",
    "ACCESS_DENIED": "access denied; it takes credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID, or the "
    "role of an instance) that may list, get, put and delete there",
    "INVALID_ACCESS_KEY_ID": "AWS knows no such access key; see AWS_ACCESS_KEY_ID, AWS_PROFILE",
    "SIGNATURE_DOES_NOT_MATCH": "the secret access key is not that of the access key",
    "NETWORK_CONNECTION": "the endpoint is not reachable; see AWS_ENDPOINT_URL and AWS_REGION",
}


@contextlib.contextmanager
def _told(path: S3Path) -> Iterator[None]:
    """Turn pyarrow's errors into such as pathlib raises, with one line for a person."""
    try:
        yield
    except FileNotFoundError as error:
        text = os.strerror(errno.ENOENT)
        raise FileNotFoundError(errno.ENOENT, text, str(path)) from error
    except ModuleNotFoundError as error:
        raise InputError(f"{path} needs pyarrow; install it, or name a local folder") from error
    except OSError as error:
        if error.filename is not None:  # of a local file
            raise
        raise OSError(errno.EIO, _reason(str(error)), str(path)) from error


def _reason(message: str) -> str:
    found = re.search(r"AWS Error (\w+)(?: \(HTTP status (\d+)\))? during \w+ operation: (.*)",
                      message)  # fmt: skip
    if not found:
        return message.splitlines()[0]
    code, status, text = found.groups()
    if status in ("301", "400") and "HTTP status" in message:
        return f"answered {status}: set AWS_REGION to the region of the bucket"
    return _REASONS.get(code) or f"{code}: {text.splitlines()[0]}"
