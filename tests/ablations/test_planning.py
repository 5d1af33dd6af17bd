"""What a study will see: against simulated studies, and from what the search has shown."""

import math

import numpy as np
import pytest

from ablations.planning import estimated, planned, still_to_confirm
from ablations.rows import read_study
from ablations.statistics import contrast
from ablations.statistics.planning import (
    Assumptions,
    Design,
    auc_variance,
    expected_detectable,
    images_for,
    seeds_for,
)
from masll.variants import VARIANTS
from tests.benchmarks.contrasts import NEGATIVES, POSITIVES, simulated_study
from tuning.study.arm import Arm

PAIR = Design((1.0, -1.0), POSITIVES, NEGATIVES, 5)
ARMS = [Arm(variant, "resnet18") for variant in VARIANTS]


def test_the_variance_of_an_area_is_that_over_drawn_images():
    rng = np.random.default_rng(0)
    areas = []
    for _ in range(400):
        labels, (scores,) = simulated_study(rng, (0,), 1, 0.0)
        areas.append(contrast(labels, [scores], [1.0]).value)
    expected = auc_variance(float(np.mean(areas)), POSITIVES, NEGATIVES)
    assert np.var(areas) == pytest.approx(expected, rel=0.25)


def test_a_difference_that_was_planned_for_is_found_four_times_in_five():
    rng = np.random.default_rng(1)
    sd = 0.015
    errors = [
        contrast(*simulated_study(rng, (0, 0), 5, sd), PAIR.weights).error for _ in range(100)
    ]
    studies = [simulated_study(rng, (0, 0), 5, 0.0) for _ in range(30)]
    apart = np.mean([contrast(*study, PAIR.weights).error ** 2 for study in studies])
    one = auc_variance(0.85, POSITIVES, NEGATIVES)
    assumed = Assumptions(0.85, 1 - apart / (2 * one), sd)
    seen = expected_detectable(PAIR, assumed)
    assert seen == pytest.approx(2.9 * float(np.mean(errors)), rel=0.2)
    found = [
        contrast(*simulated_study(rng, (seen, 0), 5, sd), PAIR.weights).p_value < 0.05
        for _ in range(200)
    ]
    assert 0.68 < np.mean(found) < 0.92


def test_more_seeds_or_images_see_smaller_differences_and_the_fewest_are_named():
    assumed = Assumptions()
    seeds = seeds_for(0.06, PAIR, assumed)
    assert expected_detectable(PAIR._replace(seeds=seeds), assumed) <= 0.06
    assert expected_detectable(PAIR._replace(seeds=seeds - 1), assumed) > 0.06
    images = images_for(0.045, PAIR, assumed)
    times = images / (POSITIVES + NEGATIVES)
    larger = PAIR._replace(positives=round(POSITIVES * times), negatives=round(NEGATIVES * times))
    assert expected_detectable(larger, assumed) == pytest.approx(0.045, rel=0.02)
    assert images_for(0.001, PAIR, assumed) is None and seeds_for(0.001, PAIR, assumed) is None
    assert math.isnan(expected_detectable(PAIR._replace(positives=1), assumed))


def test_every_question_that_the_arms_answer_has_a_row():
    table = planned(ARMS, POSITIVES, NEGATIVES, 5, Assumptions()).set_index("question")
    assert list(table.index) == [
        *("the whole of MASLL", "the local branch", "the gate", "local branch x gate"),
        "one arm against gated-fusion",
    ]
    seen = table["seen"]
    assert seen["the local branch"] < seen["one arm against gated-fusion"]
    both = planned([*ARMS, *(Arm(v, "resnet50") for v in VARIANTS)], 117, 483, 5, Assumptions())
    assert (both.set_index("question")["seen"][:4] < seen[:4]).all(), "pooled over backbones"
    assert planned(ARMS[:1], POSITIVES, NEGATIVES, 5, Assumptions()).empty


def test_the_search_shows_area_and_correlation_without_the_test_set(build):
    arms = [("baseline", "resnet18"), ("gated-fusion", "resnet18")]
    build.spec(arms, 2, data={"images": {"test": 600}, "melanoma": {"test": 117}, "source": "csv"})
    for arm in arms:
        build.search(arm)
    study = read_study(build.path)
    assert 0 < estimated(study).correlation < 1
    table, note = still_to_confirm(study)
    assert not table.empty and note.startswith("As the best search trials have it")
    build.confirm(arms[0], 1)
    assert still_to_confirm(read_study(build.path))[0].empty
