"""Cross-validation: a mean over folds in which nobody is judged by what it has learnt."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from masll import ModelConfig
from masll.config import TrainConfig
from masll.cross_validation import CrossValidator, mean_result
from masll.data import find_source, open_store
from masll.data.split import pool
from masll.results import EpochResult
from masll.training import Trainer
from tests.support import TINY_BACKBONE

CPU = torch.device("cpu")
FOLDS = np.arange(36) % 3


@pytest.fixture(scope="module")
def images(isic_master, cache):
    store = open_store(find_source(str(isic_master)), 64, cache=cache)
    return pool("validation", [store.split("train"), store.split("validation")])


def configs(variant="concat-fusion", **settings) -> tuple[ModelConfig, TrainConfig]:
    return (
        ModelConfig(variant=variant, backbone=TINY_BACKBONE, pretrained=False, image_size=32),
        TrainConfig(**{"epochs": 3, "batch_size": 8, "lr": 0.01, **settings}),
    )


def test_how_far_an_epoch_is_rises_to_the_whole_over_all_folds(images):
    shares: list[float] = []
    CrossValidator(*configs(), images, FOLDS, CPU).run_epoch(shares.append)
    assert shares == sorted(shares) and len(shares) == 3 * 3  # of 24 images, 8 in a step
    assert shares[2] == pytest.approx(1 / 3) and shares[-1] == pytest.approx(1)


def comparable(result: EpochResult) -> EpochResult:
    return dataclasses.replace(result, seconds=0)


def test_each_fold_is_what_a_trainer_of_the_other_folds_gives(images):
    validator = CrossValidator(*configs(), images, FOLDS, CPU)
    seen = [validator.run_epoch() for _ in range(2)]
    alone = []
    for fold in range(3):
        held, rest = (
            images.select(np.flatnonzero(fold == FOLDS)),
            images.select(np.flatnonzero(fold != FOLDS)),
        )
        trainer = Trainer(*configs(), rest, held, CPU)
        alone.append([trainer.run_epoch() for _ in range(2)])
    for epoch, result in enumerate(seen):
        for field in ("train_loss", "val_loss", "val_auc", "box_area", "box_fallback_rate"):
            mean = np.mean([getattr(results[epoch], field) for results in alone])
            assert getattr(result, field) == pytest.approx(mean, abs=1e-9)
        assert result.gate_local_mean is None and result.epoch == epoch + 1
    assert validator.images_per_epoch == 2 * 36


def test_predictions_are_those_of_the_chosen_epoch_in_the_order_of_the_images(images):
    validator = CrossValidator(*configs(lr=0.05), images, FOLDS, CPU)
    results = [validator.run_epoch() for _ in range(3)]
    assert validator.done and validator.best.val_auc == max(r.val_auc for r in results)
    made = validator.best_validation
    assert made.ids == images.ids and (made.labels == images.labels).all()
    assert made.boxes.shape == (36, 4)
    aucs = [
        roc_auc_score(made.labels[fold == FOLDS], made.scores[fold == FOLDS]) for fold in range(3)
    ]
    assert validator.best.val_auc == pytest.approx(np.mean(aucs), abs=1e-12)


def test_stopping_and_going_on_changes_nothing(images, tmp_path):
    straight = CrossValidator(*configs(), images, FOLDS, CPU)
    results = [straight.run_epoch() for _ in range(3)]
    first = CrossValidator(*configs(), images, FOLDS, CPU)
    first.run_epoch()
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second = CrossValidator(*configs(), images, FOLDS, CPU)
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert second.best == first.best
    assert (second.best_validation.scores == first.best_validation.scores).all()
    rest = [second.run_epoch() for _ in range(2)]
    assert [*map(comparable, rest)] == [*map(comparable, results[1:])]
    assert second.best.epoch == straight.best.epoch


def test_one_fold_that_diverges_ends_all(images):
    validator = CrossValidator(*configs(lr=1e30, warmup=0.0), images, FOLDS, CPU)
    result = validator.run_epoch()
    assert validator.done and validator.diverged and math.isnan(result.val_auc)
    assert validator.best is None and validator.best_validation is None


def test_seconds_add_up_and_what_is_missing_stays_missing():
    one = EpochResult(2, 0.1, 1.0, 2.0, 0.5, None, None, None, None, None, None, 3.0)
    other = dataclasses.replace(one, train_loss=2.0, val_auc=0.75, seconds=4.0)
    assert mean_result([one, other]) == dataclasses.replace(
        one, train_loss=1.5, val_auc=0.625, seconds=7.0
    )
