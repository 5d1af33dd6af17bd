"""Contrasts between groups of images, against a reference that compares every pair of images."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from ablations.statistics import ImageGroup, change_between_sets, contrast, contrast_between_groups

WEIGHTS = (1.0, -1.0)


def drawn_group(rng: np.random.Generator, seeds: tuple[int, ...], n: int = 24) -> ImageGroup:
    labels = np.arange(n) % 3 == 0
    scores = [np.round(rng.normal(labels, 1.0, (count, n)), 1) for count in seeds]  # with ties
    return ImageGroup(labels.astype(int), scores)


def reference(groups, between, weights):
    """Value, variance and degrees of freedom by their definitions, from all pairs of images."""
    value, terms = 0.0, []  # of the variance: (value, degrees of freedom)
    by_seed = [np.zeros(len(arm)) for arm in groups[0].scores]
    interactions = np.zeros(len(weights))
    images = []
    for group, u in zip(groups, between, strict=True):
        positive = np.asarray(group.labels) == 1
        fewest = min(positive.sum(), (~positive).sum())
        kernels = []
        for arm in group.scores:
            a, b = arm[:, positive][:, :, None], arm[:, ~positive][:, None]
            kernels.append((a > b) + 0.5 * (a == b))  # (seeds, P, N)
        mean = sum(w * k.mean(axis=0) for w, k in zip(weights, kernels, strict=True))
        value += u * mean.mean()
        images.append((u**2 * variance(mean), fewest - 1))
        for arm, kernel in enumerate(kernels):
            by_seed[arm] += u * kernel.mean(axis=(1, 2))
            if len(kernel) > 1:
                apart = sum(variance(k - kernel.mean(axis=0)) for k in kernel)
                interactions[arm] += u**2 * apart / (len(kernel) - 1)
    by_images = sum(part for part, _ in images)
    image_df = by_images**2 / sum(part**2 / df for part, df in images)
    terms.append((by_images, image_df))
    for w, areas, interaction in zip(weights, by_seed, interactions, strict=True):
        if len(areas) > 1:
            seeds = len(areas)
            terms.append((w**2 * areas.var(ddof=1) / seeds, seeds - 1))
            terms.append((-(w**2) * interaction / seeds, (seeds - 1) * image_df))
    total = sum(part for part, _ in terms)
    if len(terms) == 1:
        return value, by_images, math.inf
    if total <= by_images:
        return value, by_images, image_df
    return value, total, total**2 / sum(part**2 / df for part, df in terms)


def variance(kernel: np.ndarray) -> float:
    """DeLong's, of the mean of a kernel (P, N)."""
    p, n = kernel.shape
    return float(kernel.mean(axis=1).var(ddof=1) / p + kernel.mean(axis=0).var(ddof=1) / n)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([(1, 1), (3, 3), (2, 5), (1, 4)]),
    st.sampled_from([(1.0, -1.0), (1.0, -0.25, -0.75)]),
)
def test_value_variance_and_degrees_of_freedom_are_those_of_the_definitions(seed, seeds, between):
    rng = np.random.default_rng(seed)
    groups = [drawn_group(rng, seeds, n) for n in (24, 30, 45)[: len(between)]]
    found = contrast_between_groups(groups, between, WEIGHTS)
    value, total, df = reference(groups, between, WEIGHTS)
    assert found.value == pytest.approx(value, abs=1e-12)
    assert found.error == pytest.approx(math.sqrt(total), rel=1e-9)
    assert found.df == pytest.approx(df, rel=1e-9)
    t = abs(value) / math.sqrt(total)
    tail = scipy.stats.norm.sf(t) if math.isinf(df) else scipy.stats.t.sf(t, df)
    assert found.p_value == pytest.approx(2 * tail, rel=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_of_one_group_it_is_the_contrast_and_turned_about_it_is_minus_itself(seed):
    rng = np.random.default_rng(seed)
    a, b = drawn_group(rng, (3, 3)), drawn_group(rng, (3, 3), 36)
    alone = contrast_between_groups([a], [1.0], WEIGHTS)
    assert alone == pytest.approx(contrast(a.labels, a.scores, WEIGHTS))
    there = contrast_between_groups([a, b], [1.0, -1.0], WEIGHTS)
    back = contrast_between_groups([b, a], [1.0, -1.0], WEIGHTS)
    assert (back.value, back.error, back.p_value) == pytest.approx(
        (-there.value, there.error, there.p_value)
    )
    change = change_between_sets(a.labels, a.scores[0], b.labels, b.scores[0])
    (own, other) = (contrast(g.labels, g.scores[:1], [1.0]).value for g in (a, b))
    assert change.value == pytest.approx(own - other)


def test_what_a_seed_does_to_all_groups_alike_cancels():
    rng = np.random.default_rng(3)
    groups = [drawn_group(rng, (1, 1), 60), drawn_group(rng, (1, 1), 60)]
    # Three seeds of an arm that rank all images alike, but one of them the other way round.
    turned = [
        ImageGroup(g.labels, [np.concatenate([g.scores[0]] * 2 + [-g.scores[0]])]) for g in groups
    ]
    each = [contrast(g.labels, g.scores, [1.0]).error for g in turned]
    between = contrast_between_groups(turned, [1.0, -1.0], [1.0]).error
    assert between < 0.8 * math.hypot(*each)


def test_alike_arms_have_no_gap_and_a_missing_class_or_a_single_image_no_test():
    rng = np.random.default_rng(0)
    a, b = drawn_group(rng, (3, 3)), drawn_group(rng, (3, 3))
    same = [ImageGroup(g.labels, [g.scores[0], g.scores[0]]) for g in (a, b)]
    assert contrast_between_groups(same, [1, -1], WEIGHTS)[:2] == (0, 0)
    assert contrast_between_groups(same, [1, -1], WEIGHTS).p_value == 1
    missing = b._replace(labels=np.zeros(24, dtype=int))
    assert all(map(math.isnan, contrast_between_groups([a, missing], [1, -1], WEIGHTS)[:5]))
    single = b._replace(labels=(np.arange(24) == 3).astype(int))
    found = contrast_between_groups([a, single], [1, -1], WEIGHTS)
    assert not math.isnan(found.value) and math.isnan(found.error) and math.isnan(found.p_value)
    with pytest.raises(ValueError, match="one number for each group"):
        contrast_between_groups([a, b], [1.0], WEIGHTS)
