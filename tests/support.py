"""What several tests use: a small ISIC 2017 folder, and commands run as a user runs them."""

import csv
import importlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from masll.common.command import run
from masll.data.synthetic import synthesize

ROOT = Path(__file__).parents[1]
TINY_BACKBONE = "test_resnet"  # timm's own network for tests, half a million weights
# One process that has imported PyTorch, once: commands run in forks of it.
_WARM = multiprocessing.get_context("forkserver")
_WARM.set_forkserver_preload(
    [
        *("masll.train", "masll.single_run", "masll.predict", "masll.prediction"),
        *("masll.audit", "masll.localizer_audit", "masll.data.__main__"),
    ]
)
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


def run_masll(module: str, *arguments: object, cache: Path) -> subprocess.CompletedProcess:
    """The same of `masll`'s commands without Ray, without the seconds of importing PyTorch."""
    words = [module, *map(str, arguments)]
    environment = {**os.environ, "MASLL_CACHE": str(cache)}
    with tempfile.TemporaryDirectory() as folder:
        out, errors = Path(folder, "stdout"), Path(folder, "stderr")
        process = _WARM.Process(target=_in_fork, args=(words, environment, out, errors))
        process.start()
        process.join(timeout=540)
        if process.exitcode is None:
            process.kill()
            process.join()
        read = [path.read_text() if path.exists() else "" for path in (out, errors)]
        return subprocess.CompletedProcess(words, process.exitcode, *read)


def _in_fork(words: list[str], environment: dict[str, str], out: Path, errors: Path) -> None:
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in ((1, out), (2, errors)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    sys.argv = words
    run(importlib.import_module(words[0]).main)


def assert_one_line_error(result: subprocess.CompletedProcess, *words: str) -> None:
    """Exit status 2, and one line on stderr that has all the words in it."""
    assert result.returncode == 2, result
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("error: ")
    for word in words:
        assert word in result.stderr, result.stderr
