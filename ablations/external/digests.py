"""Which model an external set's rows are of: the digest of its files, kept with the rows."""

import hashlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq

from masll.common.errors import InputError
from masll.common.storage import AnyPath
from tuning.study.damage import in_words
from tuning.study.reader import Files

_KEY = b"model_sha256"  # in the metadata of a Parquet file's schema
_FILES = ("config.json", "model.safetensors")
_THREADS = 8  # that read files on S3, where each request waits some ten milliseconds


def model_digest(folder: AnyPath) -> str:
    """SHA-256, in hexadecimal, of a model's configuration and weights.

    Raises:
        InputError: one of its files cannot be read.
    """
    whole = hashlib.sha256()
    for name in _FILES:
        try:
            whole.update(hashlib.sha256((folder / name).read_bytes()).digest())
        except (OSError, ValueError) as error:
            raise InputError(
                f"{folder} holds no readable model: {name}: {in_words(error)}; restore it, or "
                "name another"
            ) from error
    return whole.hexdigest()


def with_digest(rows: pa.Table, digest: str) -> pa.Table:
    """Rows that say which model they are of."""
    return rows.replace_schema_metadata({**(rows.schema.metadata or {}), _KEY: digest.encode()})


def digests_in(folder: AnyPath, files: Files, names: Iterable[str]) -> Mapping[str, str]:
    """The digest of the model that each file's rows are of; "" where the file does not say.

    Args:
        files: of the folder, see `tuning.study.reader.row_files`.
        names: of those that are looked into.

    Raises:
        InputError: a file cannot be read.
    """

    def read(name: str) -> tuple[str, str]:
        try:
            with files[name].open() as stream:
                metadata = pq.read_schema(stream).metadata or {}
        except (pa.ArrowException, OSError, ValueError) as error:
            raise damaged(folder / name, in_words(error)) from error
        return name, metadata.get(_KEY, b"").decode(errors="replace")

    with ThreadPoolExecutor(_THREADS) as threads:
        return dict((threads.map if folder.remote else map)(read, names))


def damaged(path: AnyPath, reason: str) -> InputError:
    """The error of a file of rows that is no good: the rows can be had again."""
    return InputError(f"{path}: {reason}; remove it, and the model is evaluated again")
