"""What an epoch costs beside the network's own passes: loading, augmentation, schedule, records.

    python -m tests.benchmarks.epoch                        # on the CPU, or the first GPU
    python -m tests.benchmarks.epoch --backbones densenet121 --pixels 256 --images 600

A round is one epoch of `masll.training` on drawn pixels, then as many bare steps: forward,
backward, optimizer, on one batch that lies on the device and needs nothing. Medians of ratios of
rounds, by processor time on the CPU (target: at most 1.10), by the clock on a GPU. There the bare
steps run twice: as PyTorch runs them, and recorded as a CUDA graph. `two bare baselines` is
an epoch of gated-fusion over twice the bare steps of baseline (target: at most 1.15).
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch

from masll import VARIANTS, ModelConfig
from masll.config import TrainConfig
from masll.data.split import Split
from masll.devices import find_device, keep_freed_memory
from masll.evaluation import autocast
from masll.loading import Batch
from masll.optimization import classification_loss
from masll.stepping import CudaGraphs, PlainStep, RecordedStep, Step
from masll.training import Trainer
from tests.benchmarks.goals import Goal
from tuning.packing import noise

REFERENCE = "gated-fusion"
_SMALL = "efficientnet_lite0"


class Costs(NamedTuple):
    """Seconds of one round."""

    epoch: float
    bare: float
    recorded: float  # nan on the CPU


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--backbones", nargs="+", default=["resnet18", "efficientnet_lite0"])
    parser.add_argument("--variants", nargs="+", default=[*VARIANTS], choices=VARIANTS)
    parser.add_argument("--pixels", nargs="+", type=int, default=[64, 128])
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--batch-size", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    device = find_device()
    keep_freed_memory()
    on = torch.cuda.get_device_name(device) if device.type == "cuda" else "one core"
    print(f"{on}, batches of {given.batch_size} from {given.images} images; medians, least to most")
    print("| backbone | pixels | variant | ms a step | epoch / bare | epoch / recorded |")
    print("| --- | ---: | --- | ---: | ---: | ---: |")
    for backbone in given.backbones:
        for pixels in given.pixels:
            split = noise(given.images, 2 * pixels)
            rounds = {}
            for variant in given.variants:
                trainer = trainer_of(variant, backbone, pixels, given.batch_size, split, device)
                rounds[variant] = measure(trainer, given.rounds)
                milliseconds = 1000 / trainer.steps_per_epoch
                step = milliseconds * statistics.median(each.epoch for each in rounds[variant])
                print(
                    f"| {backbone} | {pixels} | {variant} | {step:.1f} | "
                    f"{of([each.epoch / each.bare for each in rounds[variant]])} | "
                    f"{of([each.epoch / each.recorded for each in rounds[variant]])} |",
                    flush=True,
                )
            if {"baseline", REFERENCE} <= rounds.keys():
                pairs = [*zip(rounds[REFERENCE], rounds["baseline"], strict=True)]
                print(
                    f"| {backbone} | {pixels} | two bare baselines | | "
                    f"{of([ours.epoch / (2 * one.bare) for ours, one in pairs])} | "
                    f"{of([ours.epoch / (2 * one.recorded) for ours, one in pairs])} |",
                    flush=True,
                )


def goals() -> Iterator[Goal]:
    """Of an epoch over its bare passes, for the worst variant; on a GPU also over two baselines."""
    device = find_device()
    on_gpu = device.type == "cuda"
    torch.set_num_threads(1)
    keep_freed_memory()
    cases = [("densenet121", 256)] if on_gpu else [(_SMALL, each) for each in (64, 128, 256)]
    for backbone, pixels in cases:
        rounds = all_variants(backbone, pixels, images=30, batch=15, rounds=3, device=device)
        bare = {
            variant: statistics.median(
                each.epoch / (each.recorded if on_gpu else each.bare) for each in costs
            )
            for variant, costs in rounds.items()
        }
        worst = max(bare, key=lambda variant: bare[variant])
        yield Goal(f"epoch / bare passes, {backbone}, {pixels} pixels, {worst}", bare[worst], 1.1)
        if on_gpu:
            pairs = zip(rounds[REFERENCE], rounds["baseline"], strict=True)
            two = statistics.median(ours.epoch / (2 * one.bare) for ours, one in pairs)
            yield Goal(f"epoch / two bare passes of baseline, {backbone}", two, 1.15)


def all_variants(
    backbone: str, pixels: int, images: int, batch: int, rounds: int, device: torch.device
) -> dict[str, list[Costs]]:
    """Rounds of each variant."""
    split = noise(images, 2 * pixels)
    return {
        variant: measure(trainer_of(variant, backbone, pixels, batch, split, device), rounds)
        for variant in VARIANTS
    }


def trainer_of(
    variant: str, backbone: str, pixels: int, batch: int, split: Split, device: torch.device
) -> Trainer:
    return Trainer(
        ModelConfig(variant, backbone, False, image_size=pixels),
        TrainConfig(batch_size=batch, lr=1e-4, epochs=1000),
        split,
        split,
        device,
        keep_best_weights=False,
    )


def measure(trainer: Trainer, rounds: int) -> list[Costs]:
    """Rounds in which an epoch and bare steps alternate, after one that warms up."""
    device, model = trainer.device, trainer.model
    # One of the sizes of batch; the others differ by an image at most.
    images = torch.randn(trainer.config.batch_size, 3, *trainer.train.images.shape[2:]).to(device)
    labels = torch.arange(len(images), device=device) % 2
    batch = Batch(images, images.new_zeros(0), labels, None)

    def loss(given: Batch) -> torch.Tensor:
        with autocast(device):
            return classification_loss(model(given.pixels), given.labels)

    bare: Step = PlainStep(loss, trainer.optimizer)
    recorded: Step | None = None
    if device.type == "cuda":
        recorded = RecordedStep(PlainStep(loss, trainer.optimizer), device, CudaGraphs())

    def steps(step: Step) -> None:
        for _ in range(trainer.steps_per_epoch):
            step(batch, 1e-4)

    costs = []
    for _ in range(rounds + 1):
        epoch = seconds(lambda: trainer._train_one_epoch(lambda _: None), device)
        first = seconds(lambda: steps(bare), device)
        second = float("nan") if recorded is None else seconds(lambda: steps(recorded), device)
        costs.append(Costs(epoch, first, second))
    return costs[1:]


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Of the clock on a GPU, of the processor elsewhere."""
    if device.type != "cuda":
        started = time.process_time()
        work()
        return time.process_time() - started
    torch.cuda.synchronize(device)
    started = time.perf_counter()
    work()
    torch.cuda.synchronize(device)
    return time.perf_counter() - started


def of(ratios: list[float]) -> str:
    """
    >>> of([1.0, 1.5, 1.25])
    '1.25 (1.00 to 1.50)'
    """
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    main()
