"""How long a study will take at most, from one measured step of each arm."""

import dataclasses
import time
from collections.abc import Mapping

import numpy as np
import torch

from masll.data.store import ImageStore
from masll.devices import find_device
from masll.training import Trainer
from tuning.images import FOLDS, StudyImages
from tuning.options import SearchOptions
from tuning.plan import StudyPlan
from tuning.study.arm import Arm
from tuning.study.trial import Stage

_STEPS = 2  # measured, after one that warms up
_LOOKED_AT = 30  # validation images


def epoch_seconds(
    arm: Arm, options: SearchOptions, cores: int, store: ImageStore, images: StudyImages
) -> dict[Stage, float]:
    """Seconds of an epoch by stage, on this machine's first GPU, or on so many of its cores."""
    torch.set_num_threads(cores)
    train, validation = images.train_and_validation(store)
    few = [np.arange(min(n * options.batch_size, len(train))) for n in (1, _STEPS)]
    looked_at = validation.select(np.arange(min(_LOOKED_AT, len(validation))))
    recipe = dataclasses.replace(options.recipe, epochs=3, pretrained=False)
    trainer = Trainer(
        *recipe.configs(arm, seed=options.seed),
        train.select(few[0]),
        looked_at,
        find_device("cpu" if options.num_gpus == 0 else "auto"),
        keep_best_weights=False,
    )
    trainer.run_epoch()
    trainer.train = train.select(few[1])
    both = trainer.run_epoch().seconds
    started = time.perf_counter()
    trainer.predict(looked_at)
    looking = time.perf_counter() - started
    per_step = (both - looking) / len(few[1])  # of each image
    per_look = looking / len(looked_at)
    official = per_step * len(train) + per_look * len(validation)
    if not images.cross_validated or images.folds is None:
        return {Stage.SEARCH: official, Stage.CONFIRM: official}
    pooled = len(images.folds)
    return {Stage.SEARCH: pooled * ((FOLDS - 1) * per_step + per_look), Stage.CONFIRM: official}


def study_seconds(plan: StudyPlan, per_epoch: Mapping[Arm, Mapping[Stage, float]]) -> float:
    """Seconds of one slot for what is left of a study, if no trial is stopped early."""
    total = 0.0
    for arm, of_arm in plan.arms.items():
        for stage, budget in ((Stage.SEARCH, of_arm.trials), (Stage.CONFIRM, of_arm.seeds)):
            left = budget - of_arm.count(stage)
            total += max(0, left) * of_arm.epochs * per_epoch[arm][stage]
    return total
