"""Filling a store: every image decoded once, in blocks that a killed process leaves usable.

A store folder appears whole or not at all: it is filled beside its place, block by block with a
checksum each, and renamed when it is complete. What a killed process has left is checked and used.
"""

import contextlib
import hashlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from masll.common.machine import usable_cores
from masll.common.progress import Progress
from masll.common.storage import whole_folder
from masll.data.arrays import BLOCK, Block, SplitArrays
from masll.data.leaks import same_content
from masll.data.types import SPLITS, Record, Source


def fill_store(
    source: Source, size: int, fit: str, folder: Path, progress: Progress | None
) -> None:
    """Fill a folder beside `folder`, going on with what is in it, then rename it."""
    records = {name: [r for r in source.records if r.split == name] for name in SPLITS}
    # An error leaves nothing to go on from: the input has to change, or the disk.
    with whole_folder(folder) as partial:
        with contextlib.ExitStack() as files:
            arrays = {
                name: files.enter_context(SplitArrays(partial, name, of_split, size, write=True))
                for name, of_split in records.items()
            }
            blocks = _fill(source, records, arrays, size, fit, partial, progress)
            for each in arrays.values():
                each.sync()
        index, splits = _index(source, records, blocks, size, fit)
        for name, listed in {"index": index, **splits}.items():
            (partial / f"{name}.json").write_text(json.dumps(listed))
        (partial / "journal.jsonl").unlink()
        for name, listed in splits.items():
            if not any(listed["masked"]):
                (partial / f"{name}-masks.npy").unlink()


def _fill(
    source: Source,
    records: dict[str, list[Record]],
    arrays: dict[str, SplitArrays],
    size: int,
    fit: str,
    partial: Path,
    progress: Progress | None,
) -> dict[tuple[str, int], Block]:
    """Decode and write every block that is not there yet, and note each in the journal."""
    done = {
        (block.split, block.start): block
        for block in _read_journal(partial / "journal.jsonl")
        if arrays[block.split].checksum(block.start) == block.checksum
    }
    count = sum(len(block.digests) for block in done.values())
    total = sum(map(len, records.values()))
    counting = threading.Lock()

    def note(images: int) -> None:
        nonlocal count
        with counting:
            count += images
            if progress is not None:
                progress(count, total)

    def write(split: str, start: int) -> Block:
        pictures = []
        for record in records[split][start : start + BLOCK]:
            pictures.append(source.read(record, size, fit))
            note(1)
        return arrays[split].write(start, pictures)

    if done:
        note(0)
    missing = [
        (split, start)
        for split, of_split in records.items()
        for start in range(0, len(of_split), BLOCK)
        if (split, start) not in done
    ]
    # Threads are enough: decoding, resizing and hashing release the interpreter's lock.
    with (
        (partial / "journal.jsonl").open("a") as journal,
        ThreadPoolExecutor(usable_cores()) as threads,
    ):
        writing = [threads.submit(write, split, start) for split, start in missing]
        try:
            for future in as_completed(writing):
                block = future.result()
                done[block.split, block.start] = block
                journal.write(json.dumps(block) + "\n")
                journal.flush()
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise
    return done


def _columns(records: list[Record]) -> dict[str, list[str]]:
    """Metadata by column; "" where an image has none."""
    names = dict.fromkeys(name for record in records for name in record.metadata)
    return {name: [record.metadata.get(name, "") for record in records] for name in names}


def _read_journal(path: Path) -> list[Block]:
    """The blocks that a killed process has noted; its last line may be cut off."""
    blocks = []
    for line in path.read_text().splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError, TypeError):
            blocks.append(Block(*json.loads(line)))
    return blocks


def _index(
    source: Source,
    records: dict[str, list[Record]],
    blocks: dict[tuple[str, int], Block],
    size: int,
    fit: str,
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """What is written of the whole, and of each split: a search never opens the test split's."""
    content = hashlib.sha256()
    splits, all_digests = {}, []
    for name, of_split in records.items():
        of_blocks = [blocks[name, start] for start in range(0, len(of_split), BLOCK)]
        digests = [digest for block in of_blocks for digest in block.digests]
        all_digests += digests
        for record, digest in zip(of_split, digests, strict=True):
            line = f"{record.image_id},{record.label},{record.split},{digest}\n"
            content.update(line.encode())
        splits[name] = {
            "ids": [record.image_id for record in of_split],
            "labels": [record.label for record in of_split],
            "groups": [record.group for record in of_split],
            "metadata": _columns(of_split),
            "digests": digests,
            "masked": [has for block in of_blocks for has in block.masked],
            "checksums": [block.checksum for block in of_blocks],
        }
    listed = [record for of_split in records.values() for record in of_split]
    index = {
        "source": source.name,
        "source_size": size,
        "fit": fit,
        "fingerprint": content.hexdigest(),  # of ids, labels, splits and original content
        "same_content": [problem.text for problem in same_content(listed, all_digests)],
        "left_out": [problem.text for problem in source.problems],
    }
    return index, splits
