"""What the report says of validation against test AUC, over models, arms and seeds."""

import dataclasses

import numpy as np
import pandas as pd
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


def test_a_perfect_order_of_few_is_no_certainty():
    rho, low, high = rank_correlation(np.arange(5.0), np.arange(5.0))
    assert rho == pytest.approx(1) and low < 0.5 < high < 1


def test_seeds_that_are_tied_within_their_arms_stay_tied(build):
    validation = np.array([[0.71, 0.72, 0.71], [0.61, 0.61, 0.62], [0.8, 0.81, 0.8]])
    areas = np.stack([validation, validation[:, ::-1]], axis=-1)
    told = with_areas(build, areas).loc["seeds of an arm", "rho"]
    centred = [
        (of - of.mean(axis=1, keepdims=True)).round(9).ravel() for of in areas.T.swapaxes(1, 2)
    ]
    assert told == pytest.approx(np.corrcoef(*map(rankdata, centred))[0, 1])


def test_models_of_an_earlier_confirmation_do_not_count(build):
    with_areas(build, np.random.default_rng(5).uniform(0.5, 0.9, (3, 2, 2)).round(2))
    study = read_study(build.path)
    again = study.trials[study.trials["arm"] == "baseline/resnet18"].assign(confirmation=2)
    both = dataclasses.replace(study, trials=pd.concat([study.trials, again], ignore_index=True))
    assert foresight(both).set_index("over").loc["models", "n"] == 6
