"""Change between sets, change under a corruption, recalibration and localization, by themselves."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
import scipy.special
import scipy.stats
from pandas.testing import assert_frame_equal
from sklearn.metrics import roc_auc_score

from ablations.external.corrupted import Condition
from ablations.external.evaluation import image_rows
from ablations.external.images import ExternalSet
from ablations.external.listing import summary
from ablations.external.overlap import Shown
from ablations.external.recalibration import recalibration
from ablations.external.robustness import robustness
from ablations.external.tables import localization, mean_over_images
from ablations.rows import read_study
from ablations.statistics import (
    change_between_sets,
    contrast,
    difference_of_changes,
    difference_of_models,
)
from masll.data.types import Record

SEEDS = 4


def condition(corruption: str) -> Condition:
    return Condition(corruption, 1)


def drawn_set(rng: np.random.Generator, n: int, seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels (n,) and scores (seeds, n) of models of which some are better than others."""
    labels = (np.arange(n) < n // 3).astype(int)
    case = rng.normal(0, 1, n)
    own = rng.normal(0, 0.7, (len(seeds), n))
    return labels, (1 + seeds[:, None]) * labels + case + own


def test_the_change_between_sets_is_the_difference_of_the_mean_areas():
    rng = np.random.default_rng(0)
    seeds = rng.normal(0, 0.3, SEEDS)
    (a, scores_a), (b, scores_b) = (drawn_set(rng, n, seeds) for n in (40, 60))
    found = change_between_sets(a, scores_a, b, scores_b)
    means = [
        np.mean([roc_auc_score(labels, row) for row in scores])
        for labels, scores in ((a, scores_a), (b, scores_b))
    ]
    assert found.value == pytest.approx(means[0] - means[1], abs=1e-12)
    assert found.low < found.value < found.high


def test_with_one_model_the_change_has_the_variances_of_both_sets():
    rng = np.random.default_rng(1)
    (a, scores_a), (b, scores_b) = (drawn_set(rng, n, np.zeros(1)) for n in (40, 60))
    found = change_between_sets(a, scores_a, b, scores_b)
    errors = [contrast(labels, [s], [1.0]).error for labels, s in ((a, scores_a), (b, scores_b))]
    assert found.error == pytest.approx(np.hypot(*errors), rel=1e-12)


def test_a_change_that_is_none_is_found_in_some_five_per_cent_of_simulations():
    rng = np.random.default_rng(2)
    p_values = []
    for _ in range(300):
        seeds = rng.normal(0, 0.3, SEEDS)
        (a, scores_a), (b, scores_b) = (drawn_set(rng, n, seeds) for n in (60, 90))
        p_values.append(change_between_sets(a, scores_a, b, scores_b).p_value)
    rejected = int(np.sum(np.array(p_values) < 0.05))
    assert scipy.stats.binom.cdf(rejected, 300, 0.05) > 1e-3, "too rarely: intervals too wide"
    assert scipy.stats.binom.sf(rejected - 1, 300, 0.05) > 1e-3, "too often"


def test_the_difference_of_changes_is_that_of_both_arms_and_against_itself_nothing():
    rng = np.random.default_rng(3)
    labels, clean = drawn_set(rng, 50, np.zeros(SEEDS))
    hurt = clean + rng.normal(0, 1, clean.shape)
    other = clean[:2] + rng.normal(0, 0.3, clean[:2].shape)
    pair, against = (hurt, clean), (other, clean[:2])
    found = difference_of_changes(labels, pair, against)
    apart = [difference_of_models(labels, *each).value for each in (pair, against)]
    assert found.value == pytest.approx(apart[0] - apart[1], abs=1e-12)
    assert difference_of_changes(labels, (clean, clean), against).value == pytest.approx(-apart[1])
    nothing = difference_of_changes(labels, (clean, clean), (clean[:2], clean[:2]))
    assert (nothing.value, nothing.error, nothing.p_value) == (0, 0, 1)


def test_recalibration_mends_a_risk_that_is_twice_as_extreme_and_shifted(build):
    build.images = 400
    build.whole((("gated-fusion", "resnet18"),), seeds=1)
    rng = np.random.default_rng(5)

    def shifted(rows: pd.DataFrame) -> pd.DataFrame:
        """Calibrated on validation; on test twice the logit, and one more."""
        logits = rng.normal(-1, 1.2, len(rows))
        label = (rng.random(len(rows)) < scipy.special.expit(logits)).astype(int)
        told = np.where(rows["split"] == "test", 2 * logits + 1, logits)
        return rows.assign(label=label, score=scipy.special.expit(told))

    name = "gated-fusion-resnet18-confirm-1"
    build.change("predictions", name, shifted)
    found = recalibration(read_study(build.path, search_predictions=False))
    by_method = found.groupby("method")[["slope", "intercept"]].mean()
    assert by_method.loc["as it is", "slope"] == pytest.approx(0.5, abs=0.1)
    assert by_method.loc["by validation", "slope"] == pytest.approx(0.5, abs=0.15)
    assert by_method.loc["intercept here", "intercept"] == pytest.approx(0, abs=0.1)
    assert by_method.loc["intercept and slope here", "slope"] == pytest.approx(1, abs=0.1)
    brier = found.groupby("method")["brier"].mean()
    assert brier["intercept and slope here"] < brier["intercept here"] < brier["as it is"]


def test_unchanged_images_take_no_part_in_holm_s_adjustment(build):
    build.whole(seeds=2)
    clean = read_study(build.path, search_predictions=False)
    rng = np.random.default_rng(7)

    def noisy(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(score=scipy.special.expit(rng.normal(0, 1, len(rows))))

    hurt = dataclasses.replace(clean, predictions=noisy(clean.predictions))
    names = ("identity", "blur", "noise")
    of_all = robustness(clean, dict(zip(map(condition, names), (clean, hurt, hurt), strict=True)))
    changed = robustness(clean, {condition(name): hurt for name in names[1:]})
    unchanged = of_all["corruption"] == "identity"
    assert of_all.loc[unchanged, "minus_p_holm"].isna().all()
    left = of_all[~unchanged].reset_index(drop=True)
    assert_frame_equal(left, changed)
    p = left["minus_p"].dropna()
    assert len(p) >= 2
    assert left["minus_p_holm"].min() == pytest.approx(min(1, p.min() * len(p)))


def test_the_mean_over_images_has_the_interval_of_a_t_test_for_one_seed():
    values = np.random.default_rng(6).normal(0.5, 0.1, (1, 30))
    found = mean_over_images(values)
    expected = scipy.stats.ttest_1samp(values[0], 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx(tuple(expected), rel=0.02)


@pytest.mark.parametrize(
    ("count", "named"),
    [
        (1, "1 show .*, and are left out: 0.jpg (as seen-0)."),
        (5, "5 show .*, and are left out: 0.jpg (as seen-0), .*, 4.jpg (as seen-4)."),
        (7, "7 show .*, and are left out: 0.jpg (as seen-0), .*, 4.jpg (as seen-4), and 2 more."),
    ],
)
def test_of_images_that_models_have_seen_five_are_named_and_the_others_counted(count, named):
    records = [Record(f"{number}.jpg", number % 2, "test") for number in range(9)]
    images = ExternalSet("clinic", records, lambda *_: pytest.fail("only the table is asked for"))
    shown = {f"{number}.jpg": Shown(f"seen-{number}", True, 1.0) for number in range(count)}
    said = summary("clinic", image_rows(images, shown))
    expected = re.escape(named).replace(re.escape(".*"), ".*")
    assert re.search(expected + "$", said), said


def test_boxes_are_measured_against_lesions(build):
    build.whole(seeds=1)
    study = read_study(build.path, search_predictions=False)
    lesions = pd.DataFrame(
        {
            "image_id": [f"test-{i:04d}" for i in range(3)],
            "x0": [0.25, 0.25, 0.75],
            "y0": [0.0, 0.0, 0.5],
            "x1": [0.75, 0.5, 1.0],
            "y1": [0.5, 0.5, 1.0],
        }
    )  # the very box of the builder, its left half, another place
    found = localization(study, lesions).set_index("box")
    row = found.loc["gated-fusion/resnet18"]
    assert row["iou"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert row["inside"] == pytest.approx((1 + 1 + 0) / 3)
    assert row["area"] == pytest.approx(0.25)
    assert found.loc["whole frame", "iou"] == pytest.approx((0.25 + 0.125 + 0.125) / 3)
    assert "baseline/resnet18" not in found.index
