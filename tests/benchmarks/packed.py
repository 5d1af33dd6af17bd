"""Several trainings on one GPU at once: images a second of all of them, over that of one.

    python -m tests.benchmarks.packed --backbone densenet121 --pixels 256
    python -m tests.benchmarks.packed --mps         # with NVIDIA's MPS, started and ended here

Each process trains gated-fusion on drawn pixels. Target: four do 2.4 times as much as one.
"""

import argparse
import contextlib
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from masll import ModelConfig
from masll.config import TrainConfig
from tests.benchmarks.goals import Goal
from tuning.mps import in_use, own_mps


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--backbone", default="densenet121")
    parser.add_argument("--pixels", type=int, default=256)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--mps", action="store_true")
    given = parser.parse_args()
    with mps() if given.mps else contextlib.nullcontext():
        alone = 0.0
        for processes in given.processes:
            together = rate(given, processes)
            alone = alone or together / processes
            print(
                f"{given.backbone}, {given.pixels} pixels{', MPS' if given.mps else ''}: "
                f"{processes} at once {together:.0f} images/s, {together / alone:.2f} x one",
                flush=True,
            )


def goals() -> Iterator[Goal]:
    """Of four trainings on one GPU, with MPS where there is the program for it."""
    given = argparse.Namespace(
        backbone="densenet121", pixels=256, images=150, batch_size=15, seconds=5.0
    )
    alone = rate(given, 1)
    with mps() if shutil.which("nvidia-cuda-mps-control") else contextlib.nullcontext():
        yield Goal("four trainings on a GPU / one", rate(given, 4) / alone, 2.4, least=True)


def rate(given: argparse.Namespace, processes: int) -> float:
    """Images a second of so many processes, from when all are warm."""
    context = multiprocessing.get_context("spawn")
    barrier, rates = context.Barrier(processes), context.Queue()
    workers = [
        context.Process(target=train, args=(given, barrier, rates)) for _ in range(processes)
    ]
    for worker in workers:
        worker.start()
    total = sum(rates.get(timeout=300) for _ in workers)
    for worker in workers:
        worker.join()
    return total


def train(given: argparse.Namespace, barrier: Barrier, rates: Any) -> None:
    import torch

    from masll.devices import find_device
    from masll.training import Trainer
    from tuning.packing import noise

    torch.set_num_threads(1)
    split = noise(given.images, 2 * given.pixels)
    trainer = Trainer(
        ModelConfig("gated-fusion", given.backbone, False, image_size=given.pixels),
        TrainConfig(batch_size=given.batch_size, lr=1e-4, epochs=1000),
        split,
        split,
        find_device(),
        keep_best_weights=False,
    )
    trainer._train_one_epoch(lambda _: None)
    barrier.wait()
    started, images = time.perf_counter(), 0
    while time.perf_counter() < started + given.seconds:
        trainer._train_one_epoch(lambda _: None)
        images += len(split)
    rates.put(images / (time.perf_counter() - started))
    barrier.wait()  # whoever ends first leaves the GPU to nobody


@contextlib.contextmanager
def mps() -> Iterator[None]:
    """As the search starts it."""
    with tempfile.TemporaryDirectory() as folder, own_mps(Path(folder)):
        if not in_use():
            raise SystemExit("no nvidia-cuda-mps-control that runs here; leave --mps out")
        yield


if __name__ == "__main__":
    main()
