"""Folders and objects on S3, with the methods of a path on this machine.

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
import shutil
import tempfile
import urllib.parse
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, NamedTuple

from masll.common.errors import InputError
from masll.common.storage.local import Stored, is_parquet, parquet_format, whole_file
from masll.common.storage.regular import MOST_BYTES, check_size

SCHEME = "s3://"
_ATTEMPTS = 8  # of a request, with longer and longer pauses: S3 asks clients to slow down
THREADS = 32  # requests at once where there are many: each waits some ten milliseconds
_CHUNK = 2**23


@dataclass(frozen=True)
class S3Path:
    """A folder or an object on S3: bucket and key, with pathlib's methods as far as we use them.

    Failures are `OSError`s like those of pathlib, with one line for a person in `strerror`.
    """

    key: str  # bucket/path
    remote: ClassVar = True  # each request waits some ten milliseconds, so many go out at once

    def __str__(self) -> str:
        return SCHEME + self.key

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
        with _plain_errors(self):
            from pyarrow.fs import FileType

            return file_system().get_file_info(self.key).type != FileType.NotFound

    def is_dir(self) -> bool:
        """Whether there is an object below this name."""
        with _plain_errors(self):
            from pyarrow.fs import FileType

            return file_system().get_file_info(self.key).type == FileType.Directory

    def read_bytes(self, most: int = MOST_BYTES) -> bytes:
        """The content of an object of at most so many bytes."""
        with _plain_errors(self), file_system().open_input_stream(self.key) as stream:
            content: bytes = stream.read()
        check_size(str(self), len(content), most)
        return content

    def read_text(self, encoding: str = "utf-8", most: int = MOST_BYTES) -> str:
        return self.read_bytes(most).decode(encoding)

    def move_to(self, target: Any) -> None:
        """Move an object: S3 can only copy and delete."""
        with _plain_errors(self):
            file_system().copy_file(self.key, target.key)
            file_system().delete_file(self.key)

    def write_whole(self, content: bytes | str, *, many_writers: bool = False) -> None:
        """Put the object: it appears whole or not at all, as one object always does."""
        del many_writers  # each puts an object of its own, and the last one stays
        data = content.encode() if isinstance(content, str) else content
        with _plain_errors(self), file_system().open_output_stream(self.key) as stream:
            stream.write(data)

    @contextlib.contextmanager
    def whole(self) -> Iterator[Path]:
        """A file on this machine to be written, which is put here at the end, or never."""
        with tempfile.TemporaryDirectory(prefix="masll-file-") as folder:
            path = Path(folder) / self.name
            yield path
            with (
                path.open("rb") as file,
                _plain_errors(self),
                file_system().open_output_stream(self.key) as stream,
            ):
                shutil.copyfileobj(file, stream, 2**20)

    def remove_partials(
        self, unwritten: float | None = None, but: Collection[str] = frozenset()
    ) -> None:
        """Nothing: an object appears whole or not at all."""

    def unlink(self, missing_ok: bool = False) -> None:
        try:
            with _plain_errors(self):
                file_system().delete_file(self.key)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def glob(self, pattern: str) -> "Iterator[S3Path]":
        """The objects below this name, by a pattern of their names from it, with one listing.

        As on this machine, `*` stands for no `/`.
        """
        depth = pattern.count("/")
        names = [stored.name for stored in self.listed(recursive=depth > 0)]
        level = [name for name in names if name.count("/") == depth]
        return (self / name for name in fnmatch.filter(level, pattern))

    def content(self) -> "Iterator[S3Path]":
        """The objects below this name; none where there is nothing."""
        return (self / stored.name for stored in self.listed())

    def listed(self, *, recursive: bool = True) -> list[Stored]:
        """All objects below this name, in the order of their names: a request for each thousand."""
        with _plain_errors(self):
            from pyarrow.fs import FileSelector, FileType

            chosen = FileSelector(self.key, recursive=recursive, allow_not_found=True)
            return sorted(
                Stored(info.path.removeprefix(f"{self.key}/"), info.size, info.mtime_ns)
                for info in file_system().get_file_info(chosen)
                if info.type == FileType.File
            )

    @contextlib.contextmanager
    def local_file(self) -> Iterator[Path]:
        """A file on this machine that is put here at the end."""
        with tempfile.TemporaryDirectory(prefix="masll-file-") as folder:
            path = Path(folder) / self.name
            yield path
            if path.exists():
                self.write_whole(path.read_bytes())

    def check_reachable(self) -> None:
        """Raise `InputError` unless the bucket exists, and is ours to look into."""
        try:
            with _plain_errors(self):
                from pyarrow.fs import FileType

                bucket = file_system(attempts=2).get_file_info(self.bucket)
        except OSError as error:
            raise InputError(f"cannot reach {self}: {error.strerror}") from error
        if bucket.type == FileType.NotFound:
            raise InputError(
                f"cannot reach {self}: there is no bucket '{self.bucket}'; make it, or name "
                "another one"
            )

    def check_writable(self, flag: str) -> None:
        """Nothing: only writing shows whether S3 lets us write."""

    def parquet_files(self) -> "dict[str, S3Parquet]":
        """See `LocalPath.parquet_files`."""
        listed = self.listed(recursive=False)
        return {
            each.name: S3Parquet(each, self / each.name) for each in listed if is_parquet(each.name)
        }


class S3Parquet(NamedTuple):
    """An object of rows."""

    stored: Stored
    path: S3Path

    def open(self) -> Any:
        """What pyarrow reads from."""
        # With its size from the listing, an object is read without asking for it once more.
        return (
            parquet_format()
            .make_fragment(self.path.key, file_system(), file_size=self.stored.size)
            .open()
        )


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
        source = folder / stored.name
        with (
            whole_file(path) as partial,
            partial.open("wb") as file,
            _plain_errors(source),
            file_system().open_input_stream(source.key) as stream,
        ):
            while chunk := stream.read(_CHUNK):
                file.write(chunk)
            file.flush()
            if partial.stat().st_size != stored.size:
                reason = f"has not the {stored.size} bytes of its listing"
                raise OSError(errno.EIO, reason, str(source))
            os.utime(partial, ns=(stored.mtime_ns, stored.mtime_ns))
        progress()

    with ThreadPoolExecutor(THREADS) as threads:
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

    pyarrow.set_io_thread_count(max(THREADS, pyarrow.io_thread_count()))
    settings: dict[str, Any] = {}
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:  # pyarrow does not look for it
        parts = urllib.parse.urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/"):
            raise InputError(
                f"the endpoint of S3 must be a scheme, a host and a port, got '{endpoint}'; write "
                "AWS_ENDPOINT_URL like http://host:9000"
            )
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
def _plain_errors(path: S3Path) -> Iterator[None]:
    """Turn pyarrow's errors into such as pathlib raises, with one line for a person."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(f"{path} needs pyarrow; install it, or name a local folder") from error
    except OSError as error:
        # A copy of what is not there is no FileNotFoundError of pyarrow's, as all else is.
        if isinstance(error, FileNotFoundError) or "NO_SUCH_KEY" in str(error):
            text = os.strerror(errno.ENOENT)
            raise FileNotFoundError(errno.ENOENT, text, str(path)) from error
        if error.filename is not None:  # of a local file
            raise
        raise OSError(errno.EIO, _reason(str(error)), str(path)) from error


def _reason(message: str) -> str:
    match = re.search(
        r"AWS Error (\w+)(?: \(HTTP status (\d+)\))? during \w+ operation: (.*)", message
    )
    if not match:
        return message.splitlines()[0]
    code, status, text = match.groups()
    if status in ("301", "400") and "HTTP status" in message:
        return f"answered {status}: set AWS_REGION to the region of the bucket"
    return _REASONS.get(code) or f"{code}: {text.splitlines()[0]}"
