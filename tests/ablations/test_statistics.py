"""DeLong's variance and test, and Holm's correction, against computations written otherwise."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from ablations.statistics import (
    auc_confidence_interval,
    auc_difference,
    delong_test,
    detectable_difference,
    holm,
    mean_auc,
)

Case = tuple[list[int], list[float], list[float]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Labels with two of each class at least, and two scores full of ties."""
    more = draw(st.lists(st.integers(0, 1), max_size=30))
    labels = draw(st.permutations([0, 0, 1, 1, *more]))
    score = st.lists(st.integers(0, 6), min_size=len(labels), max_size=len(labels))
    scores = [[value / 6 for value in draw(score)] for _ in range(2)]
    return labels, scores[0], scores[1]


def direct(labels: list[int], *scores: list[float]) -> tuple[list[float], np.ndarray]:
    """Areas and DeLong's covariance matrix, from every pair of a positive and a negative."""
    is_positive = np.array(labels) == 1
    wins = []
    for each in map(np.array, scores):
        x, y = each[is_positive][:, None], each[~is_positive][None, :]
        wins.append((x > y) + 0.5 * (x == y))  # (positives, negatives)
    wins = np.array(wins)
    m, n = wins.shape[1:]
    s10 = np.atleast_2d(np.cov(wins.mean(axis=2)))
    s01 = np.atleast_2d(np.cov(wins.mean(axis=1)))
    return list(wins.mean(axis=(1, 2))), s10 / m + s01 / n


@given(cases())
def test_difference_and_error_agree_with_a_count_over_all_pairs(case: Case) -> None:
    labels, a, b = case
    difference, error, p = delong_test(labels, a, b)
    areas, covariance = direct(labels, a, b)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert difference == pytest.approx(areas[0] - areas[1], abs=1e-12)
    assert error**2 == pytest.approx(variance, abs=1e-12)
    if variance > 1e-9:
        assert p == pytest.approx(math.erfc(abs(difference) / math.sqrt(2 * variance)), abs=1e-9)


@given(cases(), st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_the_interval_lies_in_0_to_1_and_holds_the_area(case: Case, level: float) -> None:
    labels, scores, _ = case
    area, low, high = auc_confidence_interval(labels, scores, level)
    assert area == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert 0 <= low <= area <= high <= 1


@given(cases())
def test_the_interval_is_symmetric_on_the_logit_scale(case: Case) -> None:
    labels, scores, _ = case
    (area,), covariance = direct(labels, scores)
    if 0 < area < 1:
        # Pepe (2003): the logit's variance is var / (area (1 - area))^2.
        half = 1.959963984540054 * math.sqrt(covariance[0, 0]) / (area * (1 - area))
        odds = area / (1 - area)
        expected = [o / (1 + o) for o in (odds * math.exp(-half), odds * math.exp(half))]
        assert auc_confidence_interval(labels, scores)[1:] == pytest.approx(expected, abs=1e-9)


@given(cases())
def test_swapping_the_scores_changes_the_sign_only(case: Case) -> None:
    labels, a, b = case
    there, back = delong_test(labels, a, b), delong_test(labels, b, a)
    assert (there[0], *there[1:]) == pytest.approx((-back[0], *back[1:]), nan_ok=True)


@given(cases())
def test_only_the_order_of_the_scores_counts(case: Case) -> None:
    labels, a, b = case
    grown = [math.exp(3 * value) - 7 for value in a]
    assert delong_test(labels, a, grown) == (0, 0, 1)
    assert delong_test(labels, grown, b) == delong_test(labels, a, b)


def test_an_example_worked_out_by_hand() -> None:
    # Positives 3, 1 and negatives 2, 0. Placements of positives: 1, 1/2; of negatives: 1/2, 1.
    # Each has variance 1/8; area 3/4, variance 1/8 / 2 + 1/8 / 2 = 1/8.
    labels, scores = [1, 1, 0, 0], [3, 1, 2, 0]
    half = scipy.stats.norm.ppf(0.975) * math.sqrt(1 / 8) / (3 / 16)
    middle = math.log(3)
    low, high = (1 / (1 + math.exp(-logit)) for logit in (middle - half, middle + half))
    assert auc_confidence_interval(labels, scores) == pytest.approx((0.75, low, high), abs=1e-12)
    # Constant scores have no variance: the difference keeps that of the first.
    difference, error, p = delong_test(labels, scores, [1, 1, 1, 1])
    assert (difference, error) == pytest.approx((0.25, math.sqrt(1 / 8)), abs=1e-12)
    assert p == pytest.approx(math.erfc(0.25 / math.sqrt(2 / 8)), abs=1e-12)


# DeLong, DeLong and Clarke-Pearson's own example, as SAS/STAT's manual prints it (PROC LOGISTIC,
# "Comparing Receiver Operating Characteristic Curves"): 43 patients with ovarian cancer; albumin,
# total protein, K-G score (10 minus it is better), and whether surgery helped.
_TABLE = """
    3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0
    1.6 5.6 5 1  3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1
    4.3 7.0 4 1  3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0  4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1
    3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1  3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1
    3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1
    3.5 6.2 5 1  2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1
    3.6 6.6 5 1
"""
PATIENTS = np.array(_TABLE.split(), dtype=float).reshape(-1, 4)


def test_the_published_figures_of_delong_s_own_example() -> None:
    albumin, protein, score, helped = PATIENTS.T
    for test, area, error in [
        (albumin, 0.7366, 0.0927),
        (protein, 0.6478, 0.1000),
        (10 - score, 0.7258, 0.1028),
    ]:
        # Against constant scores, which have no variance, the error is that of the area alone.
        difference, found, _ = delong_test(helped, test, np.zeros(43))
        assert (0.5 + difference, found) == pytest.approx((area, error), abs=5e-5)
    for test, published in [
        (albumin, (0.0108, 0.0953, 0.9102)),
        (protein, (-0.0780, 0.1046, 0.4561)),
    ]:
        assert delong_test(helped, test, 10 - score) == pytest.approx(published, abs=5e-5)


@pytest.mark.parametrize("decimals", [2, 12], ids=["ties", "no ties"])
def test_a_study_s_size_agrees_with_a_count_over_all_pairs_to_1e_12(decimals: int) -> None:
    rng = np.random.default_rng(20)
    labels = (np.arange(600) < 117).astype(int)
    for _ in range(20):
        a, b = (rng.normal(size=(2, 600)) + labels + rng.normal(size=600)).round(decimals)
        areas, covariance = direct(labels, a, b)
        difference, error, _ = delong_test(labels, a, b)
        variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
        assert (difference, error**2) == pytest.approx((areas[0] - areas[1], variance), abs=1e-12)


def test_p_is_uniform_where_there_is_no_difference() -> None:
    rng = np.random.default_rng(20170301)
    labels = np.repeat([1, 0], [60, 240])
    p_values = []
    for _ in range(1500):
        shared = rng.normal(size=300) + 1.2 * labels
        a, b = shared + rng.normal(size=(2, 300))
        p_values.append(delong_test(labels, a, b)[2])
    assert scipy.stats.kstest(p_values, "uniform").pvalue > 0.01


def test_the_interval_covers_the_true_area() -> None:
    rng = np.random.default_rng(5)
    truth = scipy.stats.norm.cdf(1.2 / math.sqrt(2))
    labels = np.repeat([1, 0], [60, 240])
    held = 0
    for _ in range(1500):
        _, low, high = auc_confidence_interval(labels, rng.normal(size=300) + 1.2 * labels)
        held += low <= truth <= high
    assert 0.93 <= held / 1500 <= 0.97


def test_a_large_sample_takes_no_table_of_pairs() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 200_000)  # all pairs of it would fill 80 GB
    a, b = rng.normal(size=(2, labels.size)) + 0.01 * labels
    difference, error, p = delong_test(labels, a, b)
    assert abs(difference) < 0.01
    assert error == pytest.approx(math.sqrt(2 / 12 * 4 / labels.size), rel=0.01)
    assert 0 <= p <= 1


@pytest.mark.parametrize(
    ("scores", "inside"),
    [
        ([0, 0, 0, 1, 1], (1.0, 0.025 ** (1 / 2), 1.0)),
        ([1, 1, 1, 0, 0], (0.0, 0.0, 1 - 0.025 ** (1 / 2))),
        ([1, 1, 1, 1, 1], (0.5, 0.5, 0.5)),
    ],
)
def test_extreme_areas_have_a_defined_interval(
    scores: list[float], inside: tuple[float, float, float]
) -> None:
    assert auc_confidence_interval([0, 0, 0, 1, 1], scores) == pytest.approx(inside)


def test_the_interval_of_a_perfect_area_is_that_of_clopper_and_pearson() -> None:
    exact = scipy.stats.binomtest(10, 10).proportion_ci(0.9, method="exact")
    area, low, high = auc_confidence_interval([0] * 30 + [1] * 10, range(40), level=0.9)
    assert (area, low, high) == pytest.approx((1, exact.low, exact.high))


def test_what_cannot_be_known_is_nan() -> None:
    for labels in ([1, 1, 1], [0, 0, 0], []):
        scores = [0.1, 0.2, 0.3][: len(labels)]
        assert np.isnan(auc_confidence_interval(labels, scores)).all()
        assert np.isnan(delong_test(labels, scores, scores)).all()
    area, low, high = auc_confidence_interval([1, 0, 0], [2, 1, 3])
    assert area == 0.5 and math.isnan(low) and math.isnan(high)
    difference, error, p = delong_test([1, 0, 0], [2, 1, 3], [3, 1, 2])
    assert difference == -0.5 and math.isnan(error) and math.isnan(p)


def test_a_difference_without_variance_supports_no_test() -> None:
    difference, error, p = delong_test([1, 1, 0, 0], [3, 2, 1, 0], [1, 1, 1, 1])
    assert (difference, error) == (0.5, 0) and math.isnan(p)


BAD: list[tuple[Callable[[], object], str]] = [
    (lambda: auc_confidence_interval([0, 1], [0.5]), "2 labels but 1 scores"),
    (lambda: delong_test([0, 1], [0.5, 0.1], [0.5]), "2 labels but 1 scores"),
    (lambda: auc_confidence_interval([0, 2], [0.5, 0.1]), "labels must be 0 or 1, got .*2"),
    (lambda: auc_confidence_interval([0, math.nan], [0.5, 0.1]), "labels must be .* got .*nan"),
    (lambda: delong_test([0, 1], [0.5, 0.1], [0.5, math.nan]), "score 1 is nan"),
    (lambda: auc_confidence_interval([0, 1], [0, 1], level=95), "level .* got 95"),
    (lambda: holm([0.2, 1.5]), "got 1.5"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input_is_named_in_one_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def plain_holm(p_values: list[float]) -> list[float]:
    """Holm's rule as a loop: the k-th smallest times the number of those left."""
    adjusted, floor = [0.0] * len(p_values), 0.0
    for k, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        floor = max(floor, min(1.0, p_values[place] * (len(p_values) - k)))
        adjusted[place] = floor
    return adjusted


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_agrees_with_a_plain_loop(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert list(adjusted) == pytest.approx(plain_holm(p_values), abs=1e-15)
    assert all(after >= before for before, after in zip(p_values, adjusted, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()


def test_holm_by_hand() -> None:
    assert list(holm([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_does_not_count_tests_that_were_not_made() -> None:
    assert list(holm([0.02, math.nan, 0.03])) == pytest.approx([0.04, math.nan, 0.04], nan_ok=True)


def binormal(rng, labels, seeds, *, separation=1.4, between_seeds=0.1, own_noise=0.3, images=None):
    """Scores of some seeds' models on the same images: (seeds, n), normal in both classes."""
    images = rng.normal(size=len(labels)) if images is None else images
    separations = separation + between_seeds * rng.normal(size=(seeds, 1))
    return separations * labels + images + own_noise * rng.normal(size=(seeds, len(labels)))


@pytest.mark.soak
def test_intervals_of_a_mean_over_seeds_cover_the_truth_in_93_to_97_per_cent():
    rng = np.random.default_rng(11)
    labels = (np.arange(600) < 117).astype(int)
    separations = 1.4 + 0.1 * rng.normal(size=400_000)
    truth = scipy.stats.norm.cdf(separations / np.sqrt(2 * (1 + 0.3**2))).mean()
    covered = 0
    for _ in range(2000):
        found = mean_auc(labels, binormal(rng, labels, 5))
        covered += found.low <= truth <= found.high
    assert 0.93 <= covered / 2000 <= 0.97


@pytest.mark.slow
def test_p_values_of_arms_that_do_not_differ_are_uniform():
    rng = np.random.default_rng(12)
    labels = (np.arange(300) < 100).astype(int)
    p_values = []
    for _ in range(300):
        images = rng.normal(size=300)
        a, b = (binormal(rng, labels, 4, images=images) for _ in range(2))
        p_values.append(auc_difference(labels, a, b).p_value)
    assert scipy.stats.kstest(p_values, "uniform").pvalue > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("between_seeds", [0.1, 0.2])
def test_two_seeds_do_not_see_differences_that_are_not_there(between_seeds):
    # A bootstrap of two seeds and a normal distribution reject 17 and 26 %. Arms that share all
    # effects of images are the hardest for two seeds: 6 to 7 % (tests/benchmarks/contrasts.py has
    # arms with effects of their own, and .03 to .07).
    rng = np.random.default_rng(21)
    labels = (np.arange(300) < 100).astype(int)
    rejected = 0
    for _ in range(1500):
        images = rng.normal(size=300)
        a, b = (
            binormal(rng, labels, 2, images=images, between_seeds=between_seeds) for _ in range(2)
        )
        rejected += auc_difference(labels, a, b).p_value < 0.05
    assert 0.03 <= rejected / 1500 <= 0.085


def test_degrees_of_freedom_are_those_of_what_makes_up_the_error():
    rng = np.random.default_rng(22)
    labels = (np.arange(400) < 120).astype(int)
    one = binormal(rng, labels, 1)
    of_images = mean_auc(labels, np.repeat(one, 4, axis=0))
    assert of_images.df == pytest.approx(119), "seeds that do not differ leave the images"
    of_seeds = mean_auc(labels, binormal(rng, labels, 3, between_seeds=2))
    assert 2 <= of_seeds.df < 4, "seeds that differ by far more than images leave the seeds"
    assert mean_auc(labels, one).df == math.inf
    narrow, wide = (detectable_difference(0.01, df) for df in (math.inf, 2))
    assert wide > 1.5 * narrow


def test_seeds_that_do_not_differ_leave_delong_s_interval():
    rng = np.random.default_rng(13)
    labels = (np.arange(400) < 120).astype(int)
    scores = binormal(rng, labels, 1)
    one, three = mean_auc(labels, scores), mean_auc(labels, np.repeat(scores, 3, axis=0))
    assert three.value == pytest.approx(one.value) and three.error == pytest.approx(
        one.error, rel=1e-12
    )
    assert (one.low, one.high) == pytest.approx(auc_confidence_interval(labels, scores[0])[1:])
    assert three.low < one.low and three.high > one.high, "Student's t of 119 degrees of freedom"


def test_one_seed_each_is_delong_s_test():
    rng = np.random.default_rng(14)
    labels = (np.arange(90) < 30).astype(int)
    a, b = binormal(rng, labels, 2)
    found = auc_difference(labels, a, b)
    assert (found.value, found.error, found.p_value) == delong_test(labels, a, b)


@pytest.mark.parametrize("function", [mean_auc, lambda y, s: auc_difference(y, s, s[:1])])
def test_what_a_mean_over_seeds_cannot_say_is_nan(function):
    rng = np.random.default_rng(15)
    scores = rng.normal(size=(3, 6))
    assert np.isnan(function(np.ones(6, int), scores)[:5]).all()
    alone = function(np.array([1, 0, 0, 0, 0, 0]), scores)
    assert np.isfinite(alone.value) and np.isnan(alone.error) and np.isnan(alone.low)


def test_perfect_seeds_have_an_exact_interval_and_equal_arms_differ_by_nothing():
    labels = np.array([1] * 10 + [0] * 20)
    perfect = np.repeat(labels[None] * 1.0, 3, axis=0)
    found = mean_auc(labels, perfect)
    assert found.value == found.high == 1 and 0.6 < found.low < 0.8
    assert auc_difference(labels, perfect, perfect[:2])[:2] == (0.0, 0.0)
    assert auc_difference(labels, perfect, perfect[:2]).p_value == 1.0


def test_the_detectable_difference_is_found_four_times_in_five():
    rng = np.random.default_rng(16)
    truth = detectable_difference(0.01)
    found = np.abs(rng.normal(truth, 0.01, 100_000)) > 1.959964 * 0.01
    assert found.mean() == pytest.approx(0.8, abs=0.01)
