"""Several trials of one arm trained as one network: is it the same, and what would it gain?

    python -m tests.benchmarks.fused [--backbone resnet18] [--pixels 64] [--trials 4]

Trials of an arm that differ in learning rate, threshold scale and seed have weights of the same
shapes. `torch.func` stacks them and maps the network over the stack: a convolution of K trials is
then one grouped convolution. docs/fused.md says what follows from the figures.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from masll import ModelConfig, build_model
from masll.devices import find_device, keep_freed_memory
from masll.localization import BoxRule, Localization, localize
from masll.model import Masll
from masll.optimization import classification_loss

_MOMENTUM = 0.9
Weights = dict[str, Tensor]


class Scaled(nn.Module):
    """SLL whose threshold scale is a buffer, so that each trial of a stack has its own."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(scale))

    def forward(self, features: Tensor, _: float, source_size: int, rule: BoxRule) -> Localization:
        return localize(features, self.scale, source_size, rule)


def trial(backbone: str, pixels: int, scale: float, seed: int) -> Masll:
    """The network of a trial, in training mode."""
    torch.manual_seed(seed)
    config = ModelConfig("gated-fusion", backbone, False, image_size=pixels)
    model = build_model(config)
    model.localizer = Scaled(scale)
    return model.train()


def single(model: Masll, lr: float) -> Callable[[Tensor, Tensor], Tensor]:
    """A step of one trial by SGD with momentum; returns its loss."""
    weights = dict(model.named_parameters())
    velocity = {name: torch.zeros_like(weight) for name, weight in weights.items()}

    def step(images: Tensor, labels: Tensor) -> Tensor:
        loss = classification_loss(model(images), labels)
        gradients = torch.autograd.grad(loss, list(weights.values()))
        with torch.no_grad():
            for (name, weight), gradient in zip(weights.items(), gradients, strict=True):
                velocity[name].mul_(_MOMENTUM).add_(gradient)
                weight.sub_(lr * velocity[name])
        return loss.detach()

    return step


def fused(models: list[Masll], rates: Tensor) -> tuple[Weights, Callable[[Tensor, Tensor], Tensor]]:
    """A step of all trials at once, each on images of its own: (K, B, 3, S, S), (K, B) -> (K,)."""
    weights, buffers = stack_module_state(models)
    weights = {name: weight.detach() for name, weight in weights.items()}
    velocity = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    network = models[0]

    def loss(of_one: Weights, its_buffers: Weights, images: Tensor, labels: Tensor) -> Tensor:
        out = functional_call(network, (of_one, its_buffers), (images,))
        return classification_loss(out, labels)

    mapped = vmap(grad_and_value(loss), randomness="different")

    def step(images: Tensor, labels: Tensor) -> Tensor:
        gradients, losses = mapped(weights, buffers, images, labels)
        for name, weight in weights.items():
            velocity[name].mul_(_MOMENTUM).add_(gradients[name])
            weight.sub_(rates.view(-1, *[1] * (weight.ndim - 1)) * velocity[name])
        return losses

    return weights, step


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--pixels", type=int, default=64)
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=15)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    keep_freed_memory()
    device = find_device()
    scales = torch.linspace(0.8, 1.4, given.trials).tolist()
    rates = torch.logspace(-3, -2, given.trials, device=device)

    def make() -> list[Masll]:
        made = [trial(given.backbone, given.pixels, s, n) for n, s in enumerate(scales)]
        return [model.to(device) for model in made]

    alone = make()
    steps = [single(model, float(rate)) for model, rate in zip(alone, rates, strict=True)]
    weights, together = fused(make(), rates)
    shape = (given.trials, given.batch_size, 3, 2 * given.pixels, 2 * given.pixels)
    draws = torch.Generator().manual_seed(0)
    ratios, off = [], 0.0
    for number in range(given.steps):
        images = torch.randn(shape, generator=draws).to(device)
        labels = torch.randint(0, 2, shape[:2], generator=draws).to(device)
        began = clock(device)
        losses = [step(x, y) for step, x, y in zip(steps, images, labels, strict=True)]
        between = clock(device)
        fused_losses = together(images, labels)
        ended = clock(device)
        off = max(off, float((torch.stack(losses) - fused_losses).abs().max()))
        if number:  # the first warms up
            ratios.append((ended - between) / (between - began))
    worst = max(
        float((weights[name][n] - weight.detach()).abs().max() / weight.detach().abs().max())
        for n, model in enumerate(alone)
        for name, weight in model.named_parameters()
    )
    print(
        f"{given.trials} trials of gated-fusion on {given.backbone}, {given.pixels} pixels, "
        f"{device}: fused / one after another {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f}); after {given.steps} steps losses differ by "
        f"{off:.1e} at most, a weight by {worst:.1e} of the largest of its tensor"
    )


def clock(device: torch.device) -> float:
    """Seconds, of the processor or, on a GPU that has done its work, of the clock."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


if __name__ == "__main__":
    main()
