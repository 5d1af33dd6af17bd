"""Ensembles: the area of the mean probability, and the control for size."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ablations.differences import test_scores as scores_of_study
from ablations.ensembles import ensembles
from ablations.rows import read_study
from ablations.statistics import auc_difference, delong_test

PLAIN, SINGLE, GATED = (
    (variant, "resnet18") for variant in ("baseline", "global-only", "gated-fusion")
)


def test_an_ensemble_has_the_area_of_the_mean_probability_and_delong_s_test(build):
    study = read_study(build.whole(arms=(PLAIN, GATED), seeds=3).path)
    labels, scores = scores_of_study(study)
    table = ensembles(study).set_index("classifier")
    plain, gated = (scores[f"{arm[0]}/resnet18"].mean(axis=0) for arm in (PLAIN, GATED))
    row = table.loc["all seeds of baseline/resnet18"]
    assert row["auc"] == pytest.approx(roc_auc_score(labels, plain), abs=1e-12)
    difference, _, p = delong_test(labels, plain, gated)
    assert (row["delta_auc"], row["p_value"]) == pytest.approx((difference, p))
    assert np.isnan(table.loc["all seeds of gated-fusion/resnet18", "delta_auc"])


def test_pairs_of_global_only_are_compared_with_single_models_of_gated_fusion(build):
    study = read_study(build.whole(arms=(SINGLE, GATED), seeds=5).path)
    labels, scores = scores_of_study(study)
    seeds = scores["global-only/resnet18"]
    pairs = np.stack([seeds[:2].mean(axis=0), seeds[2:4].mean(axis=0)])  # the fifth has no partner
    expected = auc_difference(labels, pairs, scores["gated-fusion/resnet18"])
    row = ensembles(study).set_index("classifier").loc["pairs of seeds of global-only/resnet18"]
    assert (row["delta_auc"], row["p_value"]) == pytest.approx((expected.value, expected.p_value))


def test_one_seed_is_no_ensemble(build):
    assert ensembles(read_study(build.whole(arms=(SINGLE, GATED), seeds=1).path)).empty
