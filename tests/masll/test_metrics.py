"""Figures against scikit-learn and against plain counting."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from masll.metrics import binary_metrics

cases = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8)), min_size=1, max_size=40)


def reference_sensitivity(labels, scores, target):
    """Try every threshold, and count."""
    best = 0.0
    for threshold in [*set(scores), math.inf]:
        hits = sum(s >= threshold and y == 1 for y, s in zip(labels, scores, strict=True))
        spared = sum(s < threshold and y == 0 for y, s in zip(labels, scores, strict=True))
        if spared / labels.count(0) >= target:
            best = max(best, hits / labels.count(1))
    return best


@given(cases)
def test_figures_are_those_of_plain_counting(case):
    labels, scores = [y for y, _ in case], [s / 8 for _, s in case]
    figures = binary_metrics(labels, scores)
    n, positives = len(case), sum(labels)
    right = sum((s >= 0.5) == (y == 1) for y, s in zip(labels, scores, strict=True))
    assert figures["acc"] == right / n
    if 0 < positives < n:
        assert figures["auc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
        for target in (95, 90, 85):
            expected = reference_sensitivity(labels, scores, target / 100)
            assert figures[f"sen_at_spe_{target}"] == expected
    else:
        assert math.isnan(figures["auc"]) and math.isnan(figures["sen_at_spe_95"])
        assert math.isnan(figures["spe" if positives else "sen"])


def test_nineteen_of_twenty_reach_a_specificity_of_95_percent():
    labels = [0] * 20 + [1]
    scores = [*np.linspace(0, 0.5, 19), 0.9, 0.8]
    assert binary_metrics(labels, scores)["sen_at_spe_95"] == 1.0


@pytest.mark.parametrize("labels", [[0, 1, 0, 1], [1, 0, 0, 1]])
def test_equal_scores_are_a_tie_even_where_they_are_infinite(labels):
    assert binary_metrics(labels, [-math.inf, -math.inf, 0, 1])["auc"] == 0.625


def test_all_figures_of_nothing_or_of_nan_are_nan():
    assert all(map(math.isnan, binary_metrics([], []).values()))
    assert all(map(math.isnan, binary_metrics([0, 1], [0.5, math.nan]).values()))


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="got 2"):
        binary_metrics([0, 2], [0.1, 0.2])
    with pytest.raises(ValueError, match="3 labels but 2 scores"):
        binary_metrics([0, 1, 1], [0.1, 0.2])
