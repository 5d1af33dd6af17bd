"""What the parts cost: a gated-fusion step against two baseline steps, and localization within it.

And what a network that is laid out for the device (`masll.devices.lay_out`) gains over channels
last alone.

    python -m tests.benchmarks.step                      # resnet18 and efficientnet_lite0
    python -m tests.benchmarks.step --image-size 224 --repeats 20

Steps of the two variants alternate, so that a machine whose speed drifts slows both alike; the
figures are medians of ratios within one run. Target: at most 1.05, and 2 %; below 1.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import torch

from masll import ModelConfig, build_model
from masll.config import TrainConfig
from masll.devices import find_device, keep_freed_memory, lay_out
from masll.localization import crop_and_resize
from masll.optimization import classification_loss, make_optimizer


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--backbones", nargs="+", default=["resnet18", "efficientnet_lite0"])
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=15)
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    device = find_device()
    keep_freed_memory()
    print(f"{device}, {given.threads} threads, batch {given.batch_size}, {given.image_size} pixels")
    for backbone in given.backbones:
        measure(backbone, given.image_size, given.batch_size, given.repeats, device)


def measure(backbone: str, size: int, batch: int, repeats: int, device: torch.device) -> None:
    images = torch.randn(batch, 3, 2 * size, 2 * size, device=device)
    labels = torch.arange(batch, device=device) % 2
    networks = {
        variant: build_model(ModelConfig(variant, backbone, False, image_size=size)).to(device)
        for variant in ("baseline", "gated-fusion")
    }
    usual = networks["baseline"].to(memory_format=torch.channels_last)
    as_usual = stepper(copy.deepcopy(usual), images, labels)
    baseline, gated_fusion = (
        stepper(lay_out(network, device), images, labels) for network in networks.values()
    )
    model = networks["gated-fusion"]
    with torch.no_grad():
        features = model.global_branch(images[..., :size, :size])

    def localization() -> None:
        found = model.locate(features, images.shape[3])
        crop_and_resize(images, found.boxes, size)

    costs: list[float] = []
    shares: list[float] = []
    gains: list[float] = []
    for repeat in range(repeats + 1):
        first = seconds(baseline, device)
        gated = seconds(gated_fusion, device)
        second = seconds(baseline, device)
        located = seconds(localization, device)
        plain = seconds(as_usual, device)
        if repeat:  # the first round warms up
            costs.append(gated / (first + second))
            shares.append(located / gated)
            gains.append((first + second) / 2 / plain)
    print(
        f"{backbone:20} gated-fusion step / two baseline steps {statistics.median(costs):.3f} "
        f"({min(costs):.3f} to {max(costs):.3f})   "
        f"localization and crop / step {100 * statistics.median(shares):.2f} %   "
        f"laid out / channels last {statistics.median(gains):.2f}"
    )


def stepper(
    model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor
) -> Callable[[], None]:
    optimizer = make_optimizer(model, TrainConfig())

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        classification_loss(model(images), labels).backward()
        optimizer.step()

    return step


def seconds(work: Callable[[], None], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
