"""Parity with the official scorer of the ISIC challenges, where both define a figure.

`isic-challenge-scoring` is an extra (`pip install -e .[parity]`), as one of the packages it needs
is compiled on installation. Its rules stand here once more in plain counts, so that the figures are
held to them without it too.
"""

import numpy as np
import pandas as pd
import pytest

from ablations.operating_points import predictive_values
from ablations.statistics import partial_auc
from masll.metrics import binary_metrics

SAMPLES = range(8)


def sample(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """600 images, 117 melanoma; every other sample is full of ties, none at 0.5 exactly.

    The scorer calls an image positive above 0.5, this project at 0.5 too.
    """
    rng = np.random.default_rng(seed)
    labels = (np.arange(600) < 117).astype(int)
    scores = 1 / (1 + np.exp(1 - 1.2 * labels - rng.normal(size=600)))
    scores = scores.round(2) if seed % 2 else scores
    return labels, np.where(scores == 0.5, 0.51, scores)


def ours(labels: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Our figures by the scorer's names."""
    found = binary_metrics(labels, scores)
    ppv, npv = predictive_values(found["sen"], found["spe"], labels.mean())
    return {
        "accuracy": found["acc"],
        "sensitivity": found["sen"],
        "specificity": found["spe"],
        "ppv": ppv,
        "npv": npv,
        "auc": found["auc"],
        "auc_sens_80": partial_area(labels, scores, 0.8),
    }


def partial_area(labels: np.ndarray, scores: np.ndarray, least: float) -> float:
    """The scorer's partial area from ours.

    It takes the whole height under the curve to the right of where the sensitivity is reached;
    ours is the share of the strip above that sensitivity. Both know the place where it is reached.
    """
    strip = partial_auc(labels, scores, least) * (1 - least)
    return strip + least * (1 - alarms_at(labels, scores, least))


def alarms_at(labels: np.ndarray, scores: np.ndarray, least: float) -> float:
    """The share of negatives called where the curve reaches a sensitivity, in plain counts."""
    before = (0.0, 0.0)
    for threshold in sorted(set(scores), reverse=True):
        point = tuple((scores[labels == of] >= threshold).mean() for of in (1, 0))
        if point[0] >= least:
            share = (least - before[0]) / (point[0] - before[0])
            return before[1] + share * (point[1] - before[1])
        before = point
    raise AssertionError("every curve ends at a sensitivity of 1")


@pytest.mark.parametrize("seed", SAMPLES)
def test_figures_are_those_of_the_official_scorer(seed):
    classification = pytest.importorskip(
        "isic_challenge_scoring.classification", reason="needs the extra 'parity'"
    )
    labels, scores = sample(seed)
    of_images = [pd.Series(values, name="melanoma", dtype=float) for values in (labels, scores)]
    official = classification.ClassificationScore._category_score(
        *of_images, pd.Series(np.ones(len(labels))), "melanoma"
    )
    for name, figure in ours(labels, scores).items():
        assert figure == pytest.approx(official[name], abs=1e-12), name


@pytest.mark.parametrize("seed", SAMPLES)
def test_figures_follow_the_rules_of_the_official_scorer(seed):
    labels, scores = sample(seed)
    called, ill = scores > 0.5, labels == 1
    tp, tn = (called & ill).sum(), (~called & ~ill).sum()
    fp, fn = (called & ~ill).sum(), (~called & ill).sum()
    wins = (scores[ill][:, None] > scores[~ill]) + 0.5 * (scores[ill][:, None] == scores[~ill])
    curve = [(0.0, 0.0)] + [
        ((scores[~ill] >= t).mean(), (scores[ill] >= t).mean())
        for t in sorted(set(scores), reverse=True)
    ]
    alarms, found = np.array(curve).T
    right = [(alarms_at(labels, scores, 0.8), 0.8)]
    right += [point for point in zip(alarms, found, strict=True) if point[1] >= 0.8]
    rules = {
        "accuracy": (tp + tn) / 600,
        "sensitivity": tp / (tp + fn),
        "specificity": tn / (tn + fp),
        "ppv": tp / (tp + fp),
        "npv": tn / (tn + fn),
        "auc": wins.mean(),
        "auc_sens_80": np.trapezoid([y for _, y in right], [x for x, _ in right]),
    }
    assert ours(labels, scores) == pytest.approx(rules, abs=1e-12)
