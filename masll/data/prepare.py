"""From the options of a command to an image store, with a progress bar while there is work."""

import sys
from pathlib import Path

from masll.common.errors import InputError
from masll.common.progress import progress_bar
from masll.data.leaks import shared_groups
from masll.data.options import DataOptions
from masll.data.sources import find_source
from masll.data.store import ImageStore, open_store
from masll.data.types import SPLITS, UNKNOWN, Source, count_positive


def prepare(
    options: DataOptions,
    source_size: int,
    cache: Path | None = None,
    *,
    for_training: bool = False,
) -> ImageStore:
    """The store of the images that the options name, made now if it is not there.

    Args:
        for_training: as `find_images`.

    Raises:
        InputError: as `find_images` and `open_store` do.
    """
    source = find_images(options, for_training=for_training)
    return prepare_images(source, options, source_size, cache)


def find_images(options: DataOptions, *, for_training: bool = False) -> Source:
    """The images that the options name, of which none is decoded yet.

    Args:
        for_training: refuse images that no model can be trained and judged on: each split needs
            images of both classes, and a label for every one.

    Raises:
        InputError: as `find_source` does; or there are no images.
    """
    source = find_source(options.data, partial=options.partial, rules=options.rules)
    if for_training:
        _check_for_training(source)
    elif not source.records:
        raise InputError(f"{source.name} has no images; python -m masll.data verify says why")
    return source


def prepare_images(
    source: Source, options: DataOptions, source_size: int, cache: Path | None = None
) -> ImageStore:
    """The store of what `find_images` has found, made now if it is not there.

    Raises:
        InputError: as `open_store` does.
    """
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


def _check_for_training(source: Source) -> None:
    labels = {split: [r.label for r in source.records if r.split == split] for split in SPLITS}
    for split, of_split in labels.items():
        if not of_split:
            deal = "group 0.7 0.1 0.2"
            if split == "validation" and labels["train"] and labels["test"]:
                deal = "group 0.9 0.1 takes some of the training images, group 0.7 0.1 0.2 of all"
            raise InputError(
                f"{source.name} has no {split} images; deal some out: --split-by {deal}"
            )
        if UNKNOWN in of_split:
            raise InputError(
                f"{of_split.count(UNKNOWN)} {split} images of {source.name} have no label; "
                "leave them out by dealing out the others: --split-by group 0.7 0.1 0.2"
            )
        if len(set(of_split)) < 2:
            raise InputError(
                f"the {split} split of {source.name} needs images with and without melanoma, "
                f"got labels {sorted(set(of_split))}"
            )


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
        records = [record for record in source.records if record.split == split]
        positive = count_positive(records)
        if (len(records), positive) != (images, melanomas):
            print(
                f"{source.name} is partial: {split} has {len(records)} images and {positive} "
                f"melanoma{'s' * (positive != 1)}, officially {images} and {melanomas}",
                file=sys.stderr,
            )
