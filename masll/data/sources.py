"""The one place that tells which source a name or a folder means."""

from masll.common.errors import InputError
from masll.common.storage import any_path
from masll.data.csv_source import CsvSource
from masll.data.fetch import fetch
from masll.data.layouts import FolderSource, published_files, recognise
from masll.data.rules import AS_THEY_ARE, Rules
from masll.data.synthetic_source import WORDS, SyntheticSource
from masll.data.types import Source, is_table


def find_source(data: str, *, partial: bool = False, rules: Rules = AS_THEY_ARE) -> Source:
    """The source that `--data` means, if it is sound.

    Args:
        data: the word `synthetic` or `synthetic-fine`, a CSV file (see `csv_source`), or a folder
            with a data set of `layouts`; either of these on S3 is brought into the cache first
            (see `fetch`).
        partial: leave out rows that lack their image, and images that lack a row.
        rules: what label texts mean, and whether images are dealt out to splits.

    Raises:
        InputError: no such data, or its content breaks the format.
    """
    source = survey_source(data, rules)
    check_sound(source, partial=partial)
    return source


def check_sound(source: Source, *, partial: bool = False) -> None:
    """Raise `InputError` for the first fault of a source's rows and files, if there is one.

    Args:
        partial: rows that lack their image, and images that lack a row, are no fault.
    """
    forgiven = ("missing", "extra") if partial else ()
    faults = [problem for problem in source.problems if problem.kind not in forgiven]
    if faults:
        more = (
            f" (and {len(faults) - 1} more: python -m masll.data verify lists them)"
            if len(faults) > 1
            else ""
        )
        raise InputError(faults[0].text + more)


def survey_source(data: str, rules: Rules = AS_THEY_ARE) -> Source:
    """Like `find_source`, with the problems of single rows and files told, not raised."""
    if data in WORDS:
        if rules != AS_THEY_ARE:
            raise InputError(
                f"--data {data} has labels and splits of its own; leave --positive, --labels and "
                "--split-by out"
            )
        return SyntheticSource(kind=WORDS[data])
    path = fetch(any_path(data), published_files)
    if is_table(data):
        return CsvSource(path, rules)
    return FolderSource(path, recognise(path), rules)
