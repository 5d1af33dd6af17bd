"""A small ablation as it is usually written, to measure ours against: see `end_to_end`.

The networks are ours: they are what is compared. All decode and augment on the CPU in a DataLoader,
on one thread a training. Three ways:

- `plain`: a script with every Optuna study in one process, by somebody who knows what costs nothing
  and helps: channels last, fused AdamW.
- `tune`: Ray Tune's function API as its own example has it ("How to use Tune with PyTorch"): the
  default layout, AdamW as it comes, and a checkpoint after each epoch of the search.
- `tune-fast`: the same with the plain script's layout and optimizer, and no checkpoint.

    python -m tests.benchmarks.usual {plain,tune,tune-fast} DATA.csv RESULTS.csv
"""

import math
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from masll import ModelConfig, build_model
from masll.variants import VARIANTS

BACKBONE, PIXELS, SOURCE, BATCH = "efficientnet_lite0", 64, 192, 15
TRIALS, EPOCHS, SEEDS = 2, 2, 1
LOW, HIGH = 2e-4, 5e-3  # learning rates
FAST, USUAL = torch.channels_last, torch.contiguous_format
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_LAYOUTS = {"tune": USUAL, "tune-fast": FAST}
Report = Callable[[float, torch.nn.Module, torch.optim.Optimizer], None]


class Lesions(Dataset):
    """The images of one split, decoded when they are asked for."""

    def __init__(self, table: Path, split: str) -> None:
        rows = pd.read_csv(table)
        self.rows = rows[rows["split"] == split].reset_index(drop=True)
        self.folder = table.parent
        turns = [v2.RandomRotation(180), v2.RandomHorizontalFlip(), v2.RandomVerticalFlip()]
        self.transform = v2.Compose(
            [
                v2.ToImage(),
                v2.Resize((SOURCE, SOURCE), antialias=True),
                *(turns if split == "train" else []),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        row = self.rows.iloc[index]
        with Image.open(self.folder / row["image"]) as image:
            return self.transform(image.convert("RGB")), int(row["label"])


def loader(table: Path, split: str, workers: int) -> DataLoader:
    train = split == "train"
    return DataLoader(
        Lesions(table, split),
        batch_size=BATCH,
        shuffle=train,
        drop_last=train,
        num_workers=workers,
        persistent_workers=workers > 0,
    )


def auc(model: torch.nn.Module, batches: DataLoader, layout: torch.memory_format) -> float:
    model.eval()
    labels: list[int] = []
    scores: list[float] = []
    with torch.inference_mode():
        for images, label in batches:
            out = model(images.to(memory_format=layout))
            scores += out.logits.softmax(1)[:, 1].tolist()
            labels += label.tolist()
    return float(roc_auc_score(labels, scores))


def train(
    variant: str,
    params: dict[str, float],
    seed: int,
    data: dict[str, DataLoader],
    report: Report,
    layout: torch.memory_format = FAST,
) -> tuple[torch.nn.Module, float]:
    """A network of a variant, and its best validation AUC."""
    torch.manual_seed(seed)
    config = ModelConfig(
        variant=variant,
        backbone=BACKBONE,
        image_size=PIXELS,
        threshold_scale=params.get("threshold_scale", 1.0),
    )
    model = build_model(config).to(memory_format=layout)
    optimizer = torch.optim.AdamW(
        model.parameters(), params["lr"], weight_decay=1e-4, fused=layout is FAST or None
    )
    steps = EPOCHS * len(data["train"])
    warm = round(0.1 * steps)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: (
            (step + 1) / (warm + 1)
            if step < warm
            else 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))
        ),
    )
    best, kept = -1.0, model.state_dict()
    for _ in range(EPOCHS):
        model.train()
        for images, labels in data["train"]:
            optimizer.zero_grad(set_to_none=True)
            out = model(images.to(memory_format=layout))
            loss = torch.nn.functional.cross_entropy(out.logits, labels)
            if out.auxiliary_logits is not None:
                loss = loss + torch.nn.functional.cross_entropy(out.auxiliary_logits, labels)
            loss.backward()
            optimizer.step()
            schedule.step()
        score = auc(model, data["validation"], layout)
        report(score, model, optimizer)
        if score > best:
            best, kept = score, {name: t.clone() for name, t in model.state_dict().items()}
    model.load_state_dict(kept)
    return model, best


def _ignore(*_: object) -> None:
    """Report to nobody."""


def plain(table: Path) -> list[dict[str, Any]]:
    """Every arm's Optuna study in this process, one training after the other."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    data = {split: loader(table, split, workers=1) for split in ("train", "validation", "test")}
    rows = []
    for variant in VARIANTS:

        def objective(trial: optuna.Trial, variant: str = variant) -> float:
            params = {
                "lr": trial.suggest_float("lr", LOW, HIGH, log=True),
                "threshold_scale": trial.suggest_float("threshold_scale", 0.5, 2.0),
            }
            return train(variant, params, trial.number, data, _ignore)[1]

        study = optuna.create_study(direction="maximize")
        study.optimize(objective, n_trials=TRIALS)
        for seed in range(SEEDS):
            model, score = train(variant, study.best_params, 100 + seed, data, _ignore)
            rows.append(
                {"arm": variant, "validation": score, "test": auc(model, data["test"], FAST)}
            )
    return rows


def tuned(table: Path, layout: torch.memory_format) -> list[dict[str, Any]]:
    """The same with Ray Tune: a function, a Tuner for each arm."""
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    table = table.resolve()

    def data() -> dict[str, DataLoader]:
        return {split: loader(table, split, workers=0) for split in ("train", "validation", "test")}

    def search(config: dict[str, Any]) -> None:
        torch.set_num_threads(1)
        train(config["variant"], config, 0, data(), report, layout)

    def report(score: float, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        if layout is FAST:
            tune.report({"auc": score})
            return
        with tempfile.TemporaryDirectory() as folder:
            states = model.state_dict(), optimizer.state_dict()
            torch.save(states, Path(folder) / "checkpoint.pt")
            tune.report({"auc": score}, checkpoint=tune.Checkpoint.from_directory(folder))

    def confirm(config: dict[str, Any]) -> None:
        torch.set_num_threads(1)
        of_split = data()
        model, score = train(config["variant"], config, config["seed"], of_split, _ignore, layout)
        tune.report({"validation": score, "test": auc(model, of_split["test"], layout)})

    rows = []
    for variant in VARIANTS:
        found = tune.Tuner(
            tune.with_resources(search, {"cpu": 1}),
            param_space={
                "variant": variant,
                "lr": tune.loguniform(LOW, HIGH),
                "threshold_scale": tune.uniform(0.5, 2.0),
            },
            tune_config=tune.TuneConfig(
                metric="auc", mode="max", num_samples=TRIALS, search_alg=OptunaSearch()
            ),
            run_config=tune.RunConfig(verbose=0),
        ).fit()
        best = found.get_best_result().config
        assert best is not None
        confirmed = tune.Tuner(
            tune.with_resources(confirm, {"cpu": 1}),
            param_space={**best, "seed": tune.grid_search([100 + seed for seed in range(SEEDS)])},
            run_config=tune.RunConfig(verbose=0),
        ).fit()
        rows += [
            {"arm": variant, **{name: one.metrics[name] for name in ("validation", "test")}}
            for one in confirmed
            if one.metrics is not None
        ]
    return rows


def main() -> None:
    way, table, results = sys.argv[1:]
    torch.set_num_threads(1)
    rows = plain(Path(table)) if way == "plain" else tuned(Path(table), _LAYOUTS[way])
    pd.DataFrame(rows).to_csv(results, index=False)


if __name__ == "__main__":
    main()
