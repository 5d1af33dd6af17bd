"""The one place that tells which source a name or a folder means."""

from masll.common.errors import InputError
from masll.common.storage import any_path
from masll.data.csv_source import CsvSource
from masll.data.fetch import fetch
from masll.data.isic2017 import Isic2017, is_official
from masll.data.synthetic_source import WORDS, SyntheticSource
from masll.data.types import Source, is_table


def find_source(data: str, *, partial: bool = False) -> Source:
    """The source that `--data` means, if it is sound.

    Args:
        data: the word `synthetic` or `synthetic-fine`, a CSV file (see `csv_source`), or an ISIC
            2017 folder; either of these on S3 is brought into the cache first (see `fetch`).
        partial: leave out rows that lack their image, and images that lack a row.

    Raises:
        InputError: no such data, or its content breaks the format.
    """
    source = survey_source(data)
    forgiven = ("missing", "extra") if partial else ()
    faults = [problem for problem in source.problems if problem.kind not in forgiven]
    if faults:
        more = (
            f" (and {len(faults) - 1} more: python -m masll.data verify lists them)"
            if len(faults) > 1
            else ""
        )
        raise InputError(faults[0].text + more)
    return source


def survey_source(data: str) -> Source:
    """Like `find_source`, with the problems of single rows and files told, not raised."""
    if data in WORDS:
        return SyntheticSource(kind=WORDS[data])
    path = fetch(any_path(data), is_official)
    return CsvSource(path) if is_table(data) else Isic2017(path)
