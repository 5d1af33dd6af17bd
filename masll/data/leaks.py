"""What makes a test split tell less than it seems: one group, or one image, in several places."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from masll.data.types import UNKNOWN, Problem, Record


def shared_groups(records: Iterable[Record]) -> list[Problem]:
    """Groups (patients, say) with images in more than one split."""
    splits: dict[str, set[str]] = defaultdict(set)
    for record in records:
        if record.group:
            splits[record.group].add(record.split)
    return [
        Problem("mismatching", f"group '{group}' is in {' and '.join(sorted(names))}")
        for group, names in sorted(splits.items())
        if len(names) > 1
    ]


def same_content(records: Sequence[Record], digests: Sequence[str | None]) -> list[Problem]:
    """Images with the very same file, by their splits and labels.

    Args:
        digests: of each record's file; None where it has none.
    """
    alike: dict[str, list[Record]] = defaultdict(list)
    for record, digest in zip(records, digests, strict=True):
        if digest is not None:
            alike[digest].append(record)
    return [
        Problem(
            "mismatching" if {0, 1} <= {record.label for record in group} else "repeated",
            "the same file: "
            + " and ".join(f"{r.image_id} ({r.split}, {_label_of(r)})" for r in group),
        )
        for group in alike.values()
        if len(group) > 1
    ]


def _label_of(record: Record) -> str:
    return "no label" if record.label == UNKNOWN else f"label {record.label}"
