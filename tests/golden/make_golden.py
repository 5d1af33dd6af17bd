"""How golden.json was made, at commit 9b36b9d, with that commit's own API. Kept for provenance."""

import dataclasses
import json
import math
import sys
from pathlib import Path

import numpy as np
import torch

from masll import VARIANTS, ModelConfig
from masll.config import TrainConfig
from masll.cross_validation import CrossValidator
from masll.data import find_source, open_store
from masll.data.store import pool
from masll.training import Trainer
from tuning.plan import Arm, ArmPlan, Finished, StudyPlan
from tuning.space import DEFAULT_SPACE


def curves(trainer):
    rows = []
    while not trainer.done:
        row = dataclasses.asdict(trainer.run_epoch())
        row.pop("seconds")
        rows.append({k: v for k, v in row.items() if v is not None})
    return rows


def losses(folder: Path, cache: Path):
    store = open_store(find_source(str(folder)), 64, cache=cache)
    train, validation = store.split("train"), store.split("validation")
    cpu = torch.device("cpu")
    runs = {}
    for optimizer, lr in (("sgd", 0.001), ("adamw", 0.0001)):
        config = TrainConfig(epochs=3, batch_size=6, lr=lr, optimizer=optimizer, seed=3)
        for variant in VARIANTS:
            model = ModelConfig(
                variant=variant, backbone="test_resnet", pretrained=False, image_size=32
            )
            runs[f"{optimizer} {variant}"] = curves(Trainer(model, config, train, validation, cpu))
    both = pool("validation", [train, validation])
    model = ModelConfig(backbone="test_resnet", pretrained=False, image_size=32)
    config = TrainConfig(epochs=2, batch_size=6, seed=3)
    folds = np.arange(len(both)) % 3
    runs["folds gated-fusion"] = curves(CrossValidator(model, config, both, folds, cpu))
    return runs


def planted_auc(params, epoch):
    miss = abs(math.log10(params["lr"]) + 2) / 4
    miss += abs(params.get("threshold_scale", 1.5) - 1.5) / 4
    return (0.9 - 0.3 * miss) * (1 - 0.3 / epoch)


def search(sampler, scheduler, resumed):
    def new_plan():
        return StudyPlan(
            ArmPlan(
                Arm(v, "resnet18"),
                DEFAULT_SPACE,
                trials=12,
                epochs=9,
                seeds=2,
                seed=0,
                sampler=sampler,
                scheduler=scheduler,
            )
            for v in VARIANTS
        )

    plan, trials, done = new_plan(), [], []
    while (trial := plan.next()) is not None:
        if resumed and len(trials) == 33:
            plan.arms[trial.arm].interrupt(trial)
            plan = new_plan()
            for each in done:
                plan.arms[each.arm].replay(each)
            plan.arms[trial.arm].resume(trial)
            trial = plan.next()
            resumed = False
        of_arm, curve, status = plan.arms[trial.arm], {}, "completed"
        for epoch in range(1, of_arm.epochs + 1):
            curve[epoch] = planted_auc(trial.params, epoch)
            if of_arm.report(trial, curve):
                status = "pruned"
                break
        ended = Finished.of(trial, status, max(curve.values()), curve)
        of_arm.finish(trial, ended)
        done.append(ended)
        trials.append([trial.trial_id, trial.seed, dict(trial.params), status, len(curve)])
    return trials


if __name__ == "__main__":
    isic, cache, out = map(Path, sys.argv[1:])
    torch.set_num_threads(1)
    golden = {
        "losses": losses(isic, cache),
        "searches": {
            f"{sampler} {scheduler}{' resumed' * resumed}": search(sampler, scheduler, resumed)
            for sampler in ("tpe", "random")
            for scheduler in ("asha", "none")
            for resumed in (False, True)
        },
    }
    out.write_text(json.dumps(golden, indent=1) + "\n")
