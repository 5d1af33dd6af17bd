"""Decisions, calibration, partial areas and the best of so many trials: each by plain counts."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import scipy.special
import scipy.stats
from dcurves import dca
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from ablations.statistics import (
    Calibration,
    best_quantile,
    calibration,
    expected_best,
    mcnemar,
    partial_auc,
)
from ablations.statistics.calibration import equal_bins
from ablations.statistics.decisions import net_benefit, treat_all

Case = tuple[list[int], list[float], list[float]]


def test_mcnemar_is_the_sign_test_on_the_images_that_only_one_gets_right():
    labels = np.array([1] * 20 + [0] * 20)
    a, b = labels.copy(), labels.copy()
    a[:3] = 0
    b[3:15] = 0
    b[20] = a[20] = 1  # both wrong: says nothing
    only_a, only_b, p = mcnemar(labels, a, b)
    assert (only_a, only_b) == (12, 3)
    by_hand = 2 * sum(math.comb(15, k) for k in range(4)) / 2**15
    assert p == pytest.approx(by_hand, abs=1e-12)
    assert mcnemar(labels, a, a) == (0, 0, 1.0)


@pytest.mark.parametrize("seed", range(3))
def test_net_benefit_is_that_of_the_package_of_decision_curves(seed):
    rng = np.random.default_rng(seed)
    labels = (rng.random(300) < 0.2).astype(int)
    scores = rng.beta(1 + labels, 3)
    scores = scores.round(2) if seed else scores  # ties, some of them at a threshold
    thresholds = np.arange(1, 100, 3) / 100
    rows = pd.DataFrame({"melanoma": labels, "score": scores})
    by_model = dca(
        data=rows, outcome="melanoma", modelnames=["score"], thresholds=thresholds
    ).pivot(index="threshold", columns="model", values="net_benefit")
    ours = [float(net_benefit(labels, scores, threshold)) for threshold in thresholds]
    assert ours == pytest.approx(by_model["score"].to_list(), abs=1e-12)
    all_referred = [treat_all(labels.mean(), threshold) for threshold in thresholds]
    assert all_referred == pytest.approx(by_model["all"].to_list(), abs=1e-12)
    assert (by_model["none"] == 0).all()


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=4, max_size=40),
    st.sampled_from([0.0, 0.5, 0.8]),
)
def test_a_partial_area_is_that_of_the_curve_s_upper_part(rows, least):
    labels, scores = (np.array(column) for column in zip(*rows, strict=True))
    labels = labels.astype(int)
    assume(0 < labels.sum() < len(labels))
    alarms, sensitivity, _ = roc_curve(labels, scores, drop_intermediate=False)
    # Between the curve and the line sensitivity = least, summed over fine horizontal strips.
    heights = least + (1 - least) * (np.arange(20_000) + 0.5) / 20_000
    width = [1 - np.interp(height, sensitivity, alarms) for height in heights[::100]]
    assert partial_auc(labels, scores, least) == pytest.approx(np.mean(width), abs=0.02)


def test_calibration_knows_a_right_a_shifted_and_a_too_extreme_risk():
    rng = np.random.default_rng(17)
    logits = rng.normal(-1, 1, 40_000)
    labels = (rng.random(40_000) < scipy.special.expit(logits)).astype(int)
    right = calibration(labels, scipy.special.expit(logits))
    assert right == pytest.approx((0, 1, 0), abs=0.04)
    shifted = calibration(labels, scipy.special.expit(logits + 0.7))
    assert shifted.intercept == pytest.approx(-0.7, abs=0.04)
    assert shifted.slope == pytest.approx(1, abs=0.04) and shifted.error > 0.1
    extreme = calibration(labels, scipy.special.expit(2 * logits))
    assert extreme.slope == pytest.approx(0.5, abs=0.03)
    assert np.isnan(calibration([1, 1], [0.2, 0.3])).all()
    for scores in ([0.3, 0.3], [0.6, 0.4], [0.4, 0.6]):  # all equal, or classes that never overlap
        assert np.isnan(calibration([1, 0], scores).slope)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 9)), min_size=4, max_size=60), st.randoms())
def test_no_calibration_depends_on_the_order_of_the_images(rows, random):
    def figures() -> Calibration:
        return calibration([label for label, _ in rows], [score / 10 for _, score in rows])

    before = figures()
    random.shuffle(rows)
    assert figures() == pytest.approx(before, nan_ok=True, rel=1e-6, abs=1e-6)


def test_the_prevalence_as_everybody_s_probability_is_calibrated():
    labels = np.arange(600) < 117  # all ill ones first
    assert calibration(labels, np.full(600, 117 / 600)).error == pytest.approx(0, abs=1e-12)


def test_bins_are_of_equal_number_but_where_scores_are_equal():
    scores = np.random.default_rng(0).permutation(25) / 25
    sizes = np.bincount(equal_bins(scores))
    assert list(sizes) == [3] * 5 + [2] * 5
    assert list(equal_bins(np.array([0.1, 0.5, 0.5, 0.5, 0.9]), 2)) == [0, 0, 0, 0, 1]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=5), st.integers(1, 4))
def test_the_expected_best_is_the_mean_over_all_draws(values, budget):
    brute = [
        np.mean([max(drawn) for drawn in itertools.product(values, repeat=trials)])
        for trials in range(1, budget + 1)
    ]
    assert expected_best(values, budget) == pytest.approx(brute, abs=1e-9)


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=5),
    st.integers(1, 4),
    st.sampled_from([0.25, 0.5, 0.75]),
)
def test_a_quantile_of_the_best_is_that_of_all_draws(values, budget, quantile):
    brute = [
        np.quantile(
            [max(drawn) for drawn in itertools.product(values, repeat=trials)],
            quantile,
            method="inverted_cdf",
        )
        for trials in range(1, budget + 1)
    ]
    assert list(best_quantile(values, budget, quantile)) == brute
