"""Folders on this machine or on S3, through the same few methods.

`any_path("studies/paper")` is a `LocalPath`, which is a `pathlib.Path`; `any_path("s3://bucket/x")`
an `S3Path`, which offers what a study needs of pathlib. Nobody else asks which one it has.
"""

import re
from pathlib import Path

from masll.common.errors import InputError
from masll.common.storage.local import LocalParquet, LocalPath, Stored, whole_file, whole_folder
from masll.common.storage.s3 import SCHEME, S3Parquet, S3Path, download

__all__ = [
    "AnyPath",
    "LocalPath",
    "ParquetSource",
    "S3Path",
    "Stored",
    "any_path",
    "download",
    "local_path",
    "whole_file",
    "whole_folder",
]

AnyPath = LocalPath | S3Path
_ADDRESS = re.compile(r"\w+://")
ParquetSource = LocalParquet | S3Parquet  # what `parquet_files` of either finds


def any_path(name: str | Path | S3Path) -> AnyPath:
    """The folder or file of that name.

    >>> any_path("s3://lab//studies/paper/")
    S3Path(key='lab/studies/paper')
    >>> (any_path("studies") / "paper").name
    'paper'

    Raises:
        InputError: `s3://` without a bucket, or another address, such as http://.
    """
    if isinstance(name, S3Path):
        return name
    if not str(name).startswith(SCHEME):
        if _ADDRESS.match(str(name)):
            raise InputError(f"'{name}' is neither on this machine nor on s3://; name what is")
        return LocalPath(name)
    key = "/".join(part for part in str(name).removeprefix(SCHEME).split("/") if part)
    if not key:
        raise InputError(f"'{name}' names no bucket; write it like s3://bucket/folder")
    return S3Path(key)


def local_path(name: str, flag: str, instead: str = "name a folder here") -> LocalPath:
    """The path of that name on this machine, where a command reads or writes no other.

    Args:
        flag: the option or place that names it.
        instead: what to do where it is an address.

    Raises:
        InputError: an address, such as s3:// or http://.
    """
    if _ADDRESS.match(name):
        raise InputError(f"{flag} {name} is not on this machine; {instead}")
    return LocalPath(name)
