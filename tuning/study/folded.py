"""`folded/`: the rows of many files in one, so that thousands of trials are read in a moment.

The files stay, and are what counts: a file's rows are taken from here only while it has the size
and the time of change that it had when it was folded. What cannot be read is passed over, and
folded anew by the search; the whole folder may be removed at any time.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from masll.common.storage import AnyPath, Stored
from tuning.study.checking import RowType, check_columns


@dataclass(frozen=True)
class Folded:
    """The rows of some files, one after the other.

    Attributes:
        rows: of all files.
        files: of which they are, in that order.
        places: the first row of each file, and how many it has, by its name.
    """

    rows: pa.Table
    files: Mapping[str, Stored]
    places: Mapping[str, tuple[int, int]]

    def holds(self, file: Stored) -> bool:
        """Whether the rows of a file are here, as it is now."""
        return self.files.get(file.name) == file

    def pieces(self, names: Collection[str]) -> list[pa.Table]:
        """The rows of some files, in their order; of neighbours in one piece."""
        cuts: list[list[int]] = []  # first row, and that after the last
        for first, count in (self.places[name] for name in names):
            if cuts and cuts[-1][1] == first:
                cuts[-1][1] += count
            elif count:
                cuts.append([first, first + count])
        return [self.rows.slice(first, end - first) for first, end in cuts]


NOTHING = Folded(pa.table({}), {}, {})


def read_folded(path: AnyPath, row: RowType, stage: str | None = None) -> Folded:
    """What `write_folded` wrote, checked; NOTHING where it cannot be read or is of another stage.

    Args:
        row: the dataclass of the rows.
        stage: the rows of which stage were folded; None for all.
    """
    try:
        content = path.read_bytes()
        known = json.loads(_list_of(path).read_bytes())
        if known["sha256"] != hashlib.sha256(content).hexdigest() or known["stage"] != stage:
            return NOTHING
        rows = pq.read_table(pa.BufferReader(content), use_threads=False)
        check_columns(row, 1, dict(zip(rows.column_names, rows.schema.types, strict=True)))
        files = {name: Stored(name, size, mtime) for name, size, mtime in known["files"]}
        return Folded(rows, files, _places(rows, files))
    except (OSError, ValueError, TypeError, KeyError, pa.ArrowException):
        return NOTHING


def _places(rows: pa.Table, files: Collection[str]) -> dict[str, tuple[int, int]]:
    """The first row of each file and how many it has, by the names of their trials.

    Raises:
        ValueError: rows of another file.
    """
    runs = pc.run_end_encode(rows["trial_id"].combine_chunks())
    places = dict.fromkeys(files, (0, 0))
    first = 0
    for trial_id, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        name = f"{trial_id}.parquet"
        if places.get(name) != (0, 0):
            raise ValueError(f"{name} is in two places, or in none")
        places[name] = first, end - first
        first = end
    return places


def write_folded(
    path: AnyPath, files: Iterable[Stored], rows: pa.Table, stage: str | None = None
) -> None:
    """Write the rows of some files into one.

    Args:
        files: as they were before they were read, in the order of their rows.
        rows: of all of them.
        stage: the rows of which stage these are; None for all.

    Raises:
        OSError: it cannot be written.
    """
    content = pa.BufferOutputStream()
    pq.write_table(rows, content)
    whole = content.getvalue().to_pybytes()
    known = {"sha256": hashlib.sha256(whole).hexdigest(), "stage": stage, "files": list(files)}
    path.write_whole(whole, many_writers=True)
    _list_of(path).write_whole(json.dumps(known), many_writers=True)


def _list_of(path: AnyPath) -> AnyPath:
    """Where it is written of which files the rows are, and what the file of rows must be."""
    return path.parent / f"{path.stem}.json"
