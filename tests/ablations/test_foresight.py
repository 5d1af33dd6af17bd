"""What the report says of validation against test AUC, over models, arms and seeds."""

import numpy as np
import pytest
from scipy.stats import rankdata

from ablations.foresight import foresight, rank_correlation
from ablations.rows import read_study

ARMS = [(variant, "resnet18") for variant in ("baseline", "global-only", "gated-fusion")]


def with_areas(build, areas):
    """A study whose confirmed models have these (validation, test) AUCs, by arm and seed."""
    build.whole(arms=ARMS, seeds=areas.shape[1])
    for arm, seeds in zip(ARMS, areas, strict=True):
        for seed, (validation, test) in enumerate(seeds, 1):
            name = f"{arm[0]}-{arm[1]}-confirm-{seed}"
            area = {"val_auc": validation, "test_auc": test}
            build.change("trials", name, lambda rows, area=area: rows.assign(**area))
            build.change("epochs", name, lambda rows, v=validation: rows.assign(val_auc=[0.4, v]))
    return foresight(read_study(build.path)).set_index("over")


def test_the_rank_correlation_is_the_correlation_of_the_ranks(build):
    areas = np.random.default_rng(5).uniform(0.5, 0.9, (3, 4, 2)).round(2)
    table = with_areas(build, areas)
    validation, test = areas.reshape(-1, 2).T
    by_hand = np.corrcoef(rankdata(validation), rankdata(test))[0, 1]
    assert table.loc["models", "rho"] == pytest.approx(by_hand)
    assert table.loc["models", "optimism"] == pytest.approx((validation - test).mean())
    assert table.loc["models", "n"] == 12 and "arms" not in table.index  # 3 are too few


def test_what_tells_arms_apart_and_not_their_seeds_is_said_to(build):
    seeds = np.array([-1, 0, 1, 0]) / 100, np.array([0, -1, 0, 1]) / 100  # unrelated
    areas = np.stack([np.array([level + seed for seed in seeds]).T for level in (0.6, 0.7, 0.8)])
    table = with_areas(build, areas)
    assert table.loc["models", "rho"] > 0.8
    assert table.loc["seeds of an arm", "rho"] == pytest.approx(0, abs=1e-12)
    assert table.loc["models", "rho_low"] > 0 > table.loc["seeds of an arm", "rho_low"]


def test_the_interval_covers_a_rank_correlation_of_nought():
    rng = np.random.default_rng(11)
    drawn = (rank_correlation(*rng.normal(size=(2, 20)))[1:] for _ in range(1000))
    assert 0.92 < np.mean([low < 0 < high for low, high in drawn]) < 0.98


def test_areas_that_are_all_the_same_have_no_order():
    assert np.isnan(rank_correlation(np.full(6, 0.7), np.arange(6.0))).all()
    rho, low, high = rank_correlation(np.arange(6.0), np.arange(6.0))
    assert rho == pytest.approx(1) and low < 1 and high == pytest.approx(1)
