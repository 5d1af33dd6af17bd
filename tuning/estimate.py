"""How long a study will take at most, from one measured step of each arm."""

import time
from collections.abc import Mapping

import numpy as np

from masll.config import ModelConfig, TrainConfig
from masll.data.store import ImageStore
from masll.training import Trainer, find_device
from tuning.cases import FOLDS, Cases
from tuning.options import SearchOptions
from tuning.plan import Arm, StudyPlan

_STEPS = 2  # measured, after one that warms up
_LOOKED_AT = 30  # validation images


def epoch_seconds(
    arm: Arm, options: SearchOptions, store: ImageStore, cases: Cases
) -> dict[str, float]:
    """Seconds of an epoch by stage, on this machine's first device with all of its cores."""
    train, validation = cases.train(store), store.split("validation")
    few = [np.arange(min(n * options.batch_size, len(train))) for n in (1, _STEPS)]
    looked_at = validation.select(np.arange(min(_LOOKED_AT, len(validation))))
    trainer = Trainer(
        ModelConfig(variant=arm.variant, backbone=arm.backbone, pretrained=options.pretrained,
                    image_size=options.image_size),
        TrainConfig(epochs=3, batch_size=options.batch_size, seed=options.seed),
        train.select(few[0]), looked_at, find_device(), keep_best_weights=False,
    )  # fmt: skip
    trainer.run_epoch()
    trainer.train = train.select(few[1])
    both = trainer.run_epoch().seconds
    started = time.perf_counter()
    trainer.predict(looked_at)
    looking = time.perf_counter() - started
    per_step = (both - looking) / len(few[1])  # of each image
    per_look = looking / len(looked_at)
    official = per_step * len(train) + per_look * len(validation)
    if cases.folds is None:
        return {"search": official, "confirm": official}
    pooled = len(cases.folds)
    return {"search": pooled * ((FOLDS - 1) * per_step + per_look), "confirm": official}


def study_seconds(plan: StudyPlan, per_epoch: Mapping[Arm, Mapping[str, float]]) -> float:
    """Seconds of one slot for what is left of a study, if no trial is stopped early."""
    total = 0.0
    for arm, of_arm in plan.arms.items():
        for stage, budget in (("search", of_arm.trials), ("confirm", of_arm.seeds)):
            left = budget - of_arm.count(stage)
            total += max(0, left) * of_arm.epochs * per_epoch[arm][stage]
    return total
