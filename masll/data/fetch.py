"""Images that lie on S3, brought into the cache of this machine once.

One process of a machine fetches, many files at once, while the others wait. What is there with the
size and the time of its object is not fetched again, so that an interrupted one goes on.
"""

import csv
import functools
import hashlib
import sys
from collections.abc import Callable, Collection
from pathlib import Path

from masll.common.errors import InputError
from masll.common.machine import default_cache, locked
from masll.common.progress import progress_bar
from masll.common.storage import AnyPath, LocalPath, S3Path, Stored, download
from masll.data.types import is_table


@functools.singledispatch
def fetch(source: AnyPath, chosen: Callable[[Collection[str]], Collection[str]]) -> Path:
    """A data set on this machine: where it is, or brought here or up to date.

    Args:
        source: a folder, or a CSV file: from S3 then the files that its rows name, too.
        chosen: of the files of such a folder, by their paths in it, those of the data set.

    Returns:
        The folder, or the CSV file.

    Raises:
        InputError: nothing there, no access, or no room.
    """
    raise NotImplementedError(type(source))


@fetch.register
def _stay(source: LocalPath, chosen: Callable[[Collection[str]], Collection[str]]) -> Path:
    del chosen
    return source


@fetch.register
def _fetch(source: S3Path, chosen: Callable[[Collection[str]], Collection[str]]) -> Path:
    source.check_reachable()
    folder = source.parent if is_table(source.name) else source
    name = f"{folder.name}-{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    here = default_cache() / "fetched" / name
    try:
        here.parent.mkdir(parents=True, exist_ok=True)
        with locked(here.parent / f".{name}.lock", _tell_waiting):
            stored = folder.listed()
            if folder == source:
                named = chosen([each.name for each in stored])
            else:
                _bring(folder, [each for each in stored if each.name == source.name], here)
                named = _named(here / source.name)
            wanted = [each for each in stored if each.name in named]
            if not wanted:
                raise InputError(
                    f"no data at {source}; name a folder or a CSV file on S3 that holds a data set"
                )
            _bring(folder, wanted, here)
            if folder == source:
                _forget_others(here, {each.name for each in wanted})
    except OSError as error:
        raise InputError(f"cannot fetch {source}: {error.filename}: {error.strerror}") from error
    return here if folder == source else here / source.name


def _bring(folder: S3Path, files: list[Stored], here: Path) -> None:
    missing = [each for each in files if not _is_there(here / each.name, each)]
    if not missing:
        return
    done = len(files) - len(missing)
    with progress_bar(f"fetching {folder}", unit="files") as show:

        def one_more() -> None:
            nonlocal done
            done += 1
            show(done, len(files))

        download(folder, missing, here, one_more)


def _is_there(path: Path, stored: Stored) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (stored.size, stored.mtime_ns)


def _named(table: Path) -> set[str]:
    """The table itself, and the files that its rows name."""
    if not table.is_file():
        return set()
    with table.open(newline="", encoding="utf-8-sig", errors="replace") as lines:
        rows = list(csv.DictReader(lines))
    return {table.name} | {
        (row.get(kind) or "").strip() for row in rows for kind in ("image", "mask")
    }


def _forget_others(here: Path, names: set[str]) -> None:
    """Remove what an earlier fetch brought and S3 has no more."""
    for path in here.rglob("*"):
        if path.is_file() and path.relative_to(here).as_posix() not in names:
            path.unlink()


def _tell_waiting() -> None:
    print("another process is fetching the same data; waiting for it", file=sys.stderr)
