"""Is a data set whole? Official counts, and every file that is missing, extra, broken or odd."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from masll.common.machine import usable_cores
from masll.common.progress import Progress
from masll.data.leaks import same_content, shared_groups
from masll.data.types import SPLITS, UNKNOWN, Problem, Source, count_positive


@dataclass(frozen=True)
class SplitCount:
    """How many images of a split there are, and how many there should be."""

    split: str
    images: int
    melanomas: int  # of the positive class
    unlabelled: int
    groups: int  # patients or lesions; images that name none are one each
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
    metadata: dict[str, int]  # images that have a value, by column

    @property
    def partial(self) -> bool:
        return any(count.partial for count in self.counts)


def verify(source: Source, progress: Progress | None = None) -> Report:
    """Count the images of a source, and decode every file.

    Args:
        progress: called after each image, with images done and images in all.
    """
    problems = [*source.problems, *source.mask_problems()]
    digests: list[str | None] = []

    with ThreadPoolExecutor(usable_cores()) as threads:
        seen = threads.map(source.inspect, source.records)
        for done, inspection in enumerate(seen, start=1):
            problems += inspection.problems
            digests.append(inspection.digest)
            if progress is not None:
                progress(done, len(source.records))
    counts = []
    for split in SPLITS:
        records = [record for record in source.records if record.split == split]
        counts.append(
            SplitCount(
                split,
                len(records),
                count_positive(records),
                sum(record.label == UNKNOWN for record in records),
                len({record.group or ("", record.image_id) for record in records}),
                source.official.get(split),
            )
        )
    problems += shared_groups(source.records) + same_content(source.records, digests)
    metadata = Counter(name for record in source.records for name in record.metadata)
    return Report(counts, problems, dict(metadata))
