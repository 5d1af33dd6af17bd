"""From the options of a command to an image store, with a progress bar while there is work."""

import sys
from pathlib import Path

from masll.common.progress import progress_bar
from masll.data.leaks import shared_groups
from masll.data.options import DataOptions
from masll.data.sources import find_source
from masll.data.store import ImageStore, open_store
from masll.data.types import Source


def prepare(options: DataOptions, source_size: int, cache: Path | None = None) -> ImageStore:
    """The store of the images that the options name, made now if it is not there.

    Raises:
        InputError: as `find_source` and `open_store` do.
    """
    source = find_source(options.data, partial=options.partial)
    with progress_bar("preparing images") as progress:
        store = open_store(
            source,
            source_size,
            fit=options.fit,
            cache=cache,
            progress=progress,
            waiting=lambda: print(
                "another process is preparing the same images; waiting for it", file=sys.stderr
            ),
        )
    _tell_partial(source)
    _tell_leaks(source, store)
    return store


def _tell_leaks(source: Source, store: ImageStore) -> None:
    found = [problem.text for problem in shared_groups(source.records)]
    found += store.index["same_content"]
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        print(
            f"{source.name}: {found[0]}{more}; python -m masll.data verify lists such",
            file=sys.stderr,
        )


def _tell_partial(source: Source) -> None:
    if source.problems:
        print(
            f"{source.name} is partial: {len(source.problems)} rows or images left out, "
            f"such as: {source.problems[0].text.split(';')[0]}",
            file=sys.stderr,
        )
    for split, (images, melanomas) in source.official.items():
        labels = [record.label for record in source.records if record.split == split]
        if (len(labels), sum(labels)) != (images, melanomas):
            print(
                f"{source.name} is partial: {split} has {len(labels)} images and {sum(labels)} "
                f"melanomas, officially {images} and {melanomas}",
                file=sys.stderr,
            )
