"""Is a data set whole? Official counts, and every file that is missing, extra or broken."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from masll.common.machine import usable_cores
from masll.data.types import SPLITS, Problem, Record, Source


@dataclass(frozen=True)
class SplitCount:
    """How many images of a split there are, and how many there should be."""

    split: str
    images: int
    melanomas: int
    official: tuple[int, int] | None  # images and melanomas; None where nothing is prescribed

    @property
    def partial(self) -> bool:
        """Whether there are other numbers of images than the official ones."""
        return self.official is not None and self.official != (self.images, self.melanomas)


@dataclass(frozen=True)
class Report:
    """What `verify` found."""

    counts: list[SplitCount]
    problems: list[Problem]

    @property
    def partial(self) -> bool:
        return any(count.partial for count in self.counts)


def verify(source: Source, progress: Callable[[int, int], None] | None = None) -> Report:
    """Count the images of a source, and decode every file.

    Args:
        progress: called after each image, with images done and images in all.
    """
    problems = [*source.problems, *source.mask_problems()]
    done = 0

    def inspect(record: Record) -> list[Problem]:
        return list(source.inspect(record))

    with ThreadPoolExecutor(usable_cores()) as threads:
        for of_record in threads.map(inspect, source.records):
            problems += of_record
            done += 1
            if progress is not None:
                progress(done, len(source.records))
    counts = []
    for split in SPLITS:
        labels = [record.label for record in source.records if record.split == split]
        counts.append(SplitCount(split, len(labels), sum(labels), source.official.get(split)))
    return Report(counts, problems + _shared_groups(source))


def _shared_groups(source: Source) -> list[Problem]:
    """Groups (patients, say) with images in more than one split: the test would leak."""
    splits: dict[str, set[str]] = {}
    for record in source.records:
        if record.group:
            splits.setdefault(record.group, set()).add(record.split)
    return [
        Problem("mismatching", f"group '{group}' is in {' and '.join(sorted(names))}")
        for group, names in sorted(splits.items())
        if len(names) > 1
    ]
