"""Synthetic lesions as a source: enough to try every part of the system without any files."""

import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from masll.data import synthetic
from masll.data.types import Inspection, Picture, Problem, Record

# What `--data` says, and the kind of lesions that it means.
WORDS: Mapping[str, str] = MappingProxyType({"synthetic": "abcd", "synthetic-fine": "fine"})
# Sized for a demonstration of a few minutes on two cores.
_COUNTS = {
    "abcd": {"train": 320, "validation": 120, "test": 250},
    "fine": {"train": 320, "validation": 120, "test": 400},
}


class SyntheticSource:
    """Lesions 0, 1, 2, ... of `masll.data.synthetic`, dealt out to the splits in order."""

    official: Mapping[str, tuple[int, int]] = MappingProxyType({})
    problems: tuple[Problem, ...] = ()

    def __init__(
        self, counts: dict[str, int] | None = None, seed: int = 0, kind: str = "abcd"
    ) -> None:
        self.counts = dict(counts or _COUNTS[kind])
        self.seed, self.kind = seed, kind
        self.name = next(name for name, of_name in WORDS.items() if of_name == kind)

    @functools.cached_property
    def records(self) -> list[Record]:
        splits = [split for split, count in self.counts.items() for _ in range(count)]
        return [
            Record(f"SYN_{index:07d}", synthetic.label_of(index, self.seed, self.kind), split)
            for index, split in enumerate(splits)
        ]

    def identity(self) -> Any:
        return {"generator": self._generator, "counts": self.counts, "seed": self.seed}

    def read(self, record: Record, size: int, fit: str = "squash") -> Picture:
        del fit  # drawn as a square
        index = int(record.image_id.removeprefix("SYN_"))
        lesion = synthetic.synthesize(index, size, self.seed, self.kind)
        digest = f"{self._generator}/{self.seed}/{index}"
        return Picture(lesion.image, lesion.mask, digest)

    @property
    def _generator(self) -> int | str:
        """What has drawn these lesions; of the first kind a number, as stores have had it."""
        version = synthetic.GENERATOR_VERSIONS[self.kind]
        return version if self.kind == "abcd" else f"{self.kind} {version}"

    def inspect(self, record: Record) -> Inspection:
        del record
        return Inspection([], digest=None)

    def mask_problems(self) -> tuple[Problem, ...]:
        return ()
