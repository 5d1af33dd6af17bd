"""How a new gate starts out: loss curves of concat-fusion and gated-fusion over the learning rates.

    python -m tests.benchmarks.gate --data ISIC2017 --out gate.png

The same images in the same order from the same weights. `not scaled` is gated-fusion with its full
slope and eq. 6 as it stands, `closed` that of versions before 0.2. Spread is the gate's standard
deviation over images at the end, mean over channels: what it says beyond a constant.
"""

import argparse
import itertools
import statistics

import torch
from matplotlib.figure import Figure

from masll import ModelConfig, build_model
from masll.augment import random_turns, turn
from masll.config import BEFORE
from masll.data import find_source, open_store
from masll.devices import keep_freed_memory
from masll.optimization import classification_loss

ARMS: dict[str, dict] = {
    "concat-fusion": {"variant": "concat-fusion"},
    "gated-fusion": {},
    "not scaled": {},
    "closed": dict(BEFORE),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", default="synthetic")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--rates", nargs="+", type=float, default=[0.005, 0.03, 0.1])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--out", help="PNG to draw the curves into")
    given = parser.parse_args()
    keep_freed_memory()
    store = open_store(find_source(given.data), 128)
    print("rate   arm              mean loss by quarter            highest  spread")
    curves = {}
    for rate, arm in itertools.product(given.rates, ARMS):
        curve, spread = losses(arm, rate, given.steps, given.backbone, store)
        curves[rate, arm] = curve
        quarter = len(curve) // 4
        means = [statistics.mean(curve[i * quarter : (i + 1) * quarter]) for i in range(4)]
        shown = "  ".join(f"{mean:6.3f}" for mean in means)
        print(f"{rate:<7g}{arm:<16} {shown}   {max(curve):7.3f} {spread:7.4f}", flush=True)
    if given.out:
        draw(curves, given.rates, given.out)


def losses(arm: str, rate: float, steps: int, backbone: str, store) -> tuple[list[float], float]:
    torch.manual_seed(0)
    model = build_model(ModelConfig(backbone=backbone, image_size=64, **ARMS[arm]))
    if arm == "not scaled":
        model.fusion.factor = 1.0
    train = store.split("train")
    draws = torch.Generator().manual_seed(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9, weight_decay=1e-4)
    mean, std = (
        torch.tensor(values).view(3, 1, 1) for values in (model.inputs.mean, model.inputs.std)
    )
    curve = []
    for _ in range(steps):
        chosen = torch.randint(len(train), (15,), generator=draws).numpy()
        images = (torch.from_numpy(train.images[chosen]) / 255 - mean) / std
        labels = torch.from_numpy(train.labels[chosen])
        turned = turn(images, random_turns(len(images), draws))
        out = model(turned)
        loss = classification_loss(out, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        curve.append(loss.item())
    return curve, 0.0 if out.gate is None else float(out.gate.detach().std(dim=0).mean())


def draw(curves: dict, rates: list[float], path: str) -> None:
    figure = Figure(figsize=(4 * len(rates), 3), layout="constrained")
    for axes, rate in zip(figure.subplots(1, len(rates), squeeze=False)[0], rates, strict=True):
        for arm in ARMS:
            axes.plot(curves[rate, arm], label=arm)
        axes.set(title=f"learning rate {rate:g}", xlabel="step", ylim=(0, 3))
    figure.axes[0].set_ylabel("training loss")
    figure.axes[0].legend()
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
