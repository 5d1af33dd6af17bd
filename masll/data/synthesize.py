"""Drawn lesions as an official ISIC 2017 folder, so that every command can be tried on files."""

import csv
import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from PIL import Image

from masll.common.errors import InputError
from masll.common.machine import usable_cores
from masll.common.outputs import check_output
from masll.common.progress import Progress
from masll.common.storage import any_path, whole_folder
from masll.data.layouts.isic import PREFIXES_2017 as PREFIXES
from masll.data.layouts.layout import DRAWN
from masll.data.synthetic import label_of, synthesize

_SHARES = {"validation": 150 / 2750, "test": 600 / 2750}  # of ISIC 2017; the rest is for training
FEWEST = 60  # of all splits together: below, a class has hardly an image for each split


def synthesize_folder(
    folder: Path,
    images: int,
    size: int,
    seed: int = 0,
    progress: Progress | None = None,
) -> None:
    """Draw lesions into a folder that did not exist; it appears whole or not at all.

    Args:
        images: of all splits together, dealt out as in ISIC 2017.
        size: side of each square image in pixels.
        progress: called after each image, with images done and images in all.

    Raises:
        InputError: the folder is there already or cannot be written, or the numbers make no sense.
    """
    if os.path.lexists(folder):
        raise InputError(f"{folder} exists already; name a new folder")
    check_output(any_path(folder), "OUT")
    rows = _deal(images, seed)
    try:
        with whole_folder(folder) as partial:
            for leftover in partial.iterdir():  # of other lesions, perhaps
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
            _write(partial, rows, size, seed, progress)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror or error}") from error


def _deal(images: int, seed: int) -> dict[str, list[tuple[int, int]]]:
    """Number and label of every lesion of every split: each class is dealt out by itself, so that
    no split is without it."""
    rows: dict[str, list[tuple[int, int]]] = {split: [] for split in PREFIXES}
    for label in (0, 1):
        numbers = [number for number in range(images) if label_of(number, seed) == label]
        if len(numbers) < len(PREFIXES):
            raise InputError(
                f"--images {images} with --seed {seed} gives {len(numbers)} lesions with label "
                f"{label}, too few for three splits; raise --images"
            )
        counts = {split: max(1, round(len(numbers) * share)) for split, share in _SHARES.items()}
        counts["train"] = len(numbers) - sum(counts.values())
        dealt = iter(numbers)
        for split in PREFIXES:
            rows[split] += [(number, label) for number in islice(dealt, counts[split])]
    return {split: sorted(of_split) for split, of_split in rows.items()}


def _write(
    folder: Path,
    rows: Mapping[str, Sequence[tuple[int, int]]],
    size: int,
    seed: int,
    progress: Progress | None,
) -> None:
    (folder / DRAWN).write_text(f"Drawn by masll.data synthesize, seed {seed}.\n", encoding="utf-8")
    for split, of_split in rows.items():
        (folder / f"{PREFIXES[split]}_Data").mkdir(parents=True)
        (folder / f"{PREFIXES[split]}_Part1_GroundTruth").mkdir()
        table = folder / f"{PREFIXES[split]}_Part3_GroundTruth.csv"
        with table.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["image_id", "melanoma", "seborrheic_keratosis"])
            writer.writerows([_id(number), float(label), 0.0] for number, label in of_split)

    def draw(split: str, number: int) -> None:
        lesion = synthesize(number, size, seed)
        prefix = PREFIXES[split]
        path = folder / f"{prefix}_Data" / f"{_id(number)}.jpg"
        Image.fromarray(lesion.image).save(path, quality=95)
        mask = folder / f"{prefix}_Part1_GroundTruth" / f"{_id(number)}_segmentation.png"
        Image.fromarray(lesion.mask).save(mask)

    with ThreadPoolExecutor(usable_cores()) as threads:
        drawing = [
            threads.submit(draw, split, number)
            for split, of_split in rows.items()
            for number, _ in of_split
        ]
        try:
            for done, future in enumerate(drawing, start=1):
                future.result()
                if progress is not None:
                    progress(done, len(drawing))
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise


def _id(number: int) -> str:
    return f"ISIC_{number:07d}"
