"""What `python -m ablations.external` costs: 50 models on 200 drawn lesions, and forward passes.

    python -m tests.benchmarks.external [--models 50] [--images 200] [--image-size 128]

The models differ in their seed alone; a first one is run beforehand, so that nothing is measured
that only a first call pays. The share is that of the time of all models' rows, from images to
files; what the tables take stands beside it. Target: .8 at 128 pixels, the size of the preset
laptop. At 64 pixels reading and hashing the weights takes a third.
"""

import argparse
import contextlib
import io
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ablations.external import models, whole
from ablations.external.__main__ import main as evaluate
from ablations.external.evaluation import Evaluation
from masll.config import ModelConfig
from masll.data.synthetic import synthesize
from masll.model import build_model, save_model


class Clock:
    """Seconds spent within functions."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextlib.contextmanager
    def of(self, owner: Any, name: str) -> Iterator[None]:
        """Count the seconds of a function while the block lasts."""
        function: Callable[..., Any] = getattr(owner, name)

        def timed(*values: Any, **named: Any) -> Any:
            begun = time.perf_counter()
            try:
                return function(*values, **named)
            finally:
                self.seconds += time.perf_counter() - begun

        setattr(owner, name, timed)
        try:
            yield
        finally:
            setattr(owner, name, function)


def write_models(folder: Path, count: int, backbone: str, size: int) -> list[str]:
    """Networks with drawn weights; gated-fusion, the dearest variant."""
    config = ModelConfig("gated-fusion", backbone, pretrained=False, image_size=size)
    folders = [folder / f"seed-{seed}" for seed in range(1, count + 1)]
    for seed, place in enumerate(folders, 1):
        torch.manual_seed(seed)
        save_model(build_model(config), place)
    return [*map(str, folders)]


def write_images(folder: Path, count: int, side: int) -> Path:
    """Drawn lesions as a CSV file, every fourth a melanoma."""
    folder.mkdir()
    rows = ["image,label\n"]
    for index in range(count):
        Image.fromarray(synthesize(index, side).image).save(folder / f"{index}.jpg", quality=95)
        rows.append(f"{index}.jpg,{int(index % 4 == 0)}\n")
    (folder / "set.csv").write_text("".join(rows))
    return folder / "set.csv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=50)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = write_images(folder / "data", options.images, 2 * options.image_size)
        named = write_models(
            folder / "models", options.models, options.backbone, options.image_size
        )
        command = ["--data", str(table), "--duplicates", "unchecked", "--device", "cpu"]

        def run(which: list[str], out: str) -> None:
            with contextlib.redirect_stdout(io.StringIO()):
                evaluate(["--model", *which, "--out", str(folder / out), *command])

        run(named[:1], "warm")
        forward, rows_of, tables = Clock(), Clock(), Clock()
        begun = time.perf_counter()
        with (
            forward.of(models, "evaluate"),
            rows_of.of(Evaluation, "run"),
            tables.of(whole, "_tell"),
        ):
            run(named, "out")
        whole_time = time.perf_counter() - begun
    print(
        f"{options.models} models ({options.backbone}, {options.image_size} pixels) on "
        f"{options.images} images, {torch.get_num_threads()} threads: {whole_time:.1f} s\n"
        f"rows {rows_of.seconds:.1f} s, of which forward passes {forward.seconds:.1f} s "
        f"({forward.seconds / rows_of.seconds:.2f}); tables {tables.seconds:.1f} s"
    )


if __name__ == "__main__":
    main()
