"""Images that lie on S3, brought into the cache of this machine once.

One process of a machine fetches, many files at once, while the others wait. What is there with the
size and the time of its object is not fetched again, so that an interrupted one goes on.
"""

import csv
import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

from masll.data.sources import is_table
from masll.data.store import default_cache, locked
from masll.errors import InputError
from masll.places import S3Path, Stored, check_bucket, download, place


def fetch(data: str, belongs: Callable[[str], bool]) -> Path:
    """Bring a data set to this machine, or up to date.

    Args:
        data: an `s3://` folder, or a CSV file there: then the files that its rows name, too.
        belongs: whether a file of such a folder, by its path in it, belongs to the data set.

    Returns:
        The folder, or the CSV file, in the cache.

    Raises:
        InputError: nothing there, no access, or no room.
    """
    source = place(data)
    assert isinstance(source, S3Path)
    check_bucket(source)
    folder = source.parent if is_table(data) else source
    name = f"{folder.name}-{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    here = default_cache() / "fetched" / name
    try:
        here.parent.mkdir(parents=True, exist_ok=True)
        with locked(here.parent / f".{name}.lock", _tell_waiting):
            stored = folder.listed()
            if folder == source:
                wanted = [each for each in stored if belongs(each.name)]
            else:
                _bring(folder, [each for each in stored if each.name == source.name], here)
                named = _named(here / source.name)
                wanted = [each for each in stored if each.name in named]
            if not wanted:
                raise InputError(f"no data at {data}; name a folder or a CSV file on S3 that holds "
                                 "a data set")  # fmt: skip
            _bring(folder, wanted, here)
            if folder == source:
                _forget_others(here, {each.name for each in wanted})
    except OSError as error:
        raise InputError(f"cannot fetch {data}: {error.filename}: {error.strerror}") from error
    return here if folder == source else here / source.name


def _bring(folder: S3Path, files: list[Stored], here: Path) -> None:
    missing = [each for each in files if not _is_there(here / each.name, each)]
    if not missing:
        return
    from masll.data.prepare import progress_bar  # it imports this module's callers

    done = len(files) - len(missing)
    with progress_bar(f"fetching {folder}", unit="files") as show:

        def one_more() -> None:
            nonlocal done
            done += 1
            show(done, len(files))

        download(folder, missing, here, one_more)


def _is_there(path: Path, stored: Stored) -> bool:
    try:
        found = path.stat()
    except OSError:
        return False
    return (found.st_size, found.st_mtime_ns) == (stored.size, stored.mtime_ns)


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
