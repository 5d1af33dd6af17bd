"""What several tests use: a small ISIC 2017 folder, and commands run as a user runs them."""

import csv
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

from masll.data.synthetic import synthesize

ROOT = Path(__file__).parents[1]
TINY_BACKBONE = "test_resnet"  # timm's own network for tests, half a million weights
COUNTS = {"ISIC-2017_Training": 24, "ISIC-2017_Validation": 12, "ISIC-2017_Test_v2": 12}


def write_isic_folder(folder: Path) -> Path:
    """An official ISIC 2017 folder of 64-pixel synthetic lesions, every fourth a melanoma."""
    index = 0
    for prefix, count in COUNTS.items():
        images = folder / f"{prefix}_Data"
        masks = folder / f"{prefix}_Part1_GroundTruth"
        images.mkdir(parents=True)
        masks.mkdir()
        rows = []
        for number in range(count):
            lesion = synthesize(index, 64)
            image_id = f"ISIC_{index:07d}"
            Image.fromarray(lesion.image).save(images / f"{image_id}.jpg", quality=95)
            Image.fromarray(lesion.mask).save(masks / f"{image_id}_segmentation.png")
            rows.append([image_id, f"{float(number % 4 == 0)}", "0.0"])
            index += 1
        with (folder / f"{prefix}_Part3_GroundTruth.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["image_id", "melanoma", "seborrheic_keratosis"], *rows])
    return folder


def run_module(
    module: str, *arguments: object, cache: Path, **settings
) -> subprocess.CompletedProcess:
    """`python -m module ...` from the project's folder, output captured."""
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "MASLL_CACHE": str(cache)},
        capture_output=True,
        text=True,
        timeout=540,
        **settings,
    )


def assert_one_line_error(result: subprocess.CompletedProcess, *words: str) -> None:
    """Exit status 2, and one line on stderr that has all the words in it."""
    assert result.returncode == 2, result
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("error: ")
    for word in words:
        assert word in result.stderr, result.stderr
