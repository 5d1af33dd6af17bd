"""Folds that can all be judged: both classes in each, groups together; or a line that says why."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masll.common.errors import InputError
from tuning.folds import deal_folds, lacking


@st.composite
def grouped(draw, most_groups=12):
    """(labels, groups, number of folds, seed): up to 40 images."""
    size = draw(st.integers(2, 40))
    rare = draw(st.sampled_from([0.1, 0.3, 0.5]))
    labels = draw(st.lists(st.floats(0, 1), min_size=size, max_size=size))
    group = st.integers(0, draw(st.integers(0, most_groups - 1)))
    groups = draw(st.lists(group, min_size=size, max_size=size))
    count, seed = draw(st.integers(2, 5)), draw(st.integers(0, 2**63 - 1))
    return np.array([int(x < rare) for x in labels]), np.array(groups), count, seed


@given(grouped())
@settings(max_examples=100)
def test_every_fold_has_both_classes_and_whole_groups_or_it_is_refused_in_one_line(case):
    labels, groups, count, seed = case
    try:
        folds = deal_folds(labels, groups, count, seed)
    except InputError as error:
        assert "\n" not in str(error) and "use --validation official" in str(error)
        assert f"{count} folds" in str(error)
        return
    assert set(folds) == set(range(count)) and not lacking(labels, folds, count)
    for group in np.unique(groups):
        assert len(set(folds[groups == group])) == 1


@given(grouped(most_groups=5))
@settings(max_examples=50)
def test_it_is_refused_only_where_no_way_of_dealing_would_do(case):
    labels, groups, count, seed = case
    count = min(count, 3)
    names = np.unique(groups)
    possible = any(
        not lacking(labels, np.array(dealt)[np.searchsorted(names, groups)], count)
        for dealt in itertools.product(range(count), repeat=len(names))
    )
    if possible:
        deal_folds(labels, groups, count, seed)
    else:
        with pytest.raises(InputError):
            deal_folds(labels, groups, count, seed)


def test_few_melanomas_beside_a_large_group_still_reach_every_fold():
    labels = np.array([1, 1, 1, 1, 1, *40 * [0]])
    groups = np.array([0, 1, 2, 3, 4, *30 * [5], *range(6, 16)])
    for seed in range(20):
        assert not lacking(labels, deal_folds(labels, groups, 5, seed), 5)


def test_melanomas_of_one_group_cannot_be_dealt_out():
    labels = np.array([*10 * [1], *40 * [0]])
    groups = np.array([*10 * [0], *range(1, 41)])
    with pytest.raises(InputError, match="enough for 1;"):
        deal_folds(labels, groups, 5)
