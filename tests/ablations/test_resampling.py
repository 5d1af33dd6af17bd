"""Figures on images drawn again: the sample's own are the library's, and intervals hold."""

import math

import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss

from ablations.statistics import calibration, partial_auc
from ablations.statistics.decisions import treat_all
from ablations.statistics.resampling import (
    NET_BENEFIT_AT,
    DrawnImages,
    DrawnModel,
    drawn_arm,
    drawn_estimate,
)
from masll.metrics import binary_metrics


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 60), st.integers(1, 12))
def test_the_first_draw_is_the_sample_with_the_figures_of_the_library(seed, n, values):
    rng = np.random.default_rng(seed)
    labels = np.append(rng.integers(0, 2, n), [0, 1])
    scores = rng.integers(0, values + 1, n + 2) / values  # with ties
    own = {k: v[0] for k, v in DrawnModel(DrawnImages(labels, 5), scores).figures().items()}
    expected = {k: v for k, v in binary_metrics(labels, scores).items() if k != "auc"}
    expected["average_precision"] = average_precision_score(labels, scores)
    expected["brier"] = brier_score_loss(labels, scores)
    expected["partial_auc"] = partial_auc(labels, scores, 0.8)
    expected |= dict(zip(("intercept", "slope", "ece"), calibration(labels, scores), strict=True))
    for name, value in expected.items():
        assert own[name] == pytest.approx(value, abs=1e-5, nan_ok=True), name


def test_a_draw_has_the_figures_of_its_images():
    rng = np.random.default_rng(1)
    labels = (np.arange(80) < 25).astype(int)
    scores = scipy.special.expit(rng.normal(size=80) + labels)
    images = DrawnImages(labels, 20, seed=4)
    drawn = DrawnModel(images, scores).figures()
    for draw in (1, 7, 20):
        rows = np.repeat(np.arange(80), images.counts[draw].astype(int))
        again = {
            k: v[0]
            for k, v in DrawnModel(DrawnImages(labels[rows], 1), scores[rows]).figures().items()
        }
        for name in (
            "acc",
            "sen_at_spe_90",
            "average_precision",
            "partial_auc",
            "brier",
            "net_benefit_10",
        ):
            assert drawn[name][draw] == pytest.approx(again[name], abs=1e-5), name
    spread = {name: values[1:].std() for name, values in drawn.items()}
    assert all(value > 0 for value in spread.values())


def test_net_benefit_is_that_of_referring_all_or_nobody_for_constant_scores():
    labels = np.array([1] * 3 + [0] * 9)
    for threshold in NET_BENEFIT_AT:
        everybody, nobody = (
            DrawnModel(DrawnImages(labels, 2), np.full(12, score)).net_benefit(threshold)[0]
            for score in (1.0, 0.0)
        )
        assert everybody == pytest.approx(treat_all(0.25, threshold)) and nobody == 0


def simulated(rng, truth, seeds, n=300, positives=90):
    """Scores of seeds whose figures vary over seeds and over images: (seeds, n)."""
    labels = (np.arange(n) < positives).astype(int)
    separation = truth + 0.15 * rng.normal(size=(seeds, 1))
    logits = (
        separation * (labels - 0.3) + rng.normal(size=n) + 0.4 * rng.normal(size=(seeds, n)) - 0.5
    )
    return labels, scipy.special.expit(logits)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 5])
def test_intervals_of_every_figure_hold_the_truth(seeds):
    rng = np.random.default_rng(seeds)
    many = []
    for _ in range(8):
        labels, scores = simulated(rng, 1.3, 10, n=30_000, positives=9000)
        sample = DrawnImages(labels, 1)
        many += [DrawnModel(sample, row).figures() for row in scores]
    truth = {name: np.mean([figures[name][0] for figures in many]) for name in many[0]}
    covered = dict.fromkeys(truth, 0)
    studies = 250
    for _ in range(studies):
        labels, scores = simulated(rng, 1.3, seeds)
        images = DrawnImages(labels, 300)
        for name, drawn in drawn_arm(images, scores).items():
            found = drawn_estimate(images, [drawn], [1.0])
            covered[name] += found.low <= truth[name] <= found.high
    for name, times in covered.items():
        if name != "ece":  # a small sample's is biased upwards
            assert 0.88 <= times / studies <= 0.99, (name, times / studies)


@pytest.mark.slow
def test_a_difference_that_is_not_there_is_found_in_5_per_cent():
    rng = np.random.default_rng(5)
    rejected = dict.fromkeys(("sen_at_spe_90", "average_precision", "brier", "acc"), 0)
    studies = 250
    for _ in range(studies):
        labels, one = simulated(rng, 1.3, 3)
        _, other = simulated(rng, 1.3, 3)
        images = DrawnImages(labels, 300)
        a, b = (drawn_arm(images, scores) for scores in (one, other))
        for name in rejected:
            found = drawn_estimate(images, [a[name], b[name]], [1.0, -1.0])
            rejected[name] += found.p_value < 0.05
    assert all(0.01 <= times / studies <= 0.09 for times in rejected.values()), rejected


def test_the_interval_of_a_share_stays_between_0_and_1_and_has_no_test():
    labels = (np.arange(60) < 20).astype(int)
    scores = np.where(np.arange(60) < 58, labels, 1 - labels) * 0.8 + 0.1
    images = DrawnImages(labels)
    found = drawn_estimate(images, [drawn_arm(images, scores)["acc"]], [1.0], share=True)
    assert 0 < found.low < found.value < found.high < 1
    assert math.isnan(found.p_value)


def test_a_share_of_0_or_1_has_the_exact_interval_of_the_rarer_class():
    labels = (np.arange(60) < 20).astype(int)
    images = DrawnImages(labels)
    drawn = drawn_arm(images, np.stack([labels * 0.8 + 0.1] * 2))
    found = drawn_estimate(images, [drawn["sen"]], [1.0], share=True)
    assert (found.low, found.high) == pytest.approx((0.025 ** (1 / 20), 1))


@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 0, 0], [0, 0, 1]])
def test_too_few_images_of_a_class_give_figures_without_intervals(labels):
    images = DrawnImages(labels, 10)
    for name, drawn in drawn_arm(images, [[0.1, 0.2, 0.7]]).items():
        found = drawn_estimate(images, [drawn], [1.0])
        assert math.isnan(found.low), name
