"""Thresholds fixed on validation, predictive values, and the paper's tables beside ours."""

import hashlib
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from ablations.beside import tables_beside
from ablations.operating_points import (
    SPECIFICITIES,
    operating_points,
    predictive_values,
)
from ablations.published import cells, table_1, table_2
from ablations.reliability import reliability
from ablations.rows import read_study
from ablations.tables import ablation_table
from masll.metrics import threshold_at

PLAIN, GATED = ("baseline", "resnet18"), ("gated-fusion", "resnet18")

cases = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 6)), min_size=1, max_size=30)


@given(cases, st.floats(0, 1))
def test_a_threshold_keeps_the_specificity_and_no_lower_score_would(case, specificity):
    labels, scores = (np.array(each, dtype=float) for each in zip(*case, strict=True))
    negatives = scores[labels == 0]
    threshold = threshold_at(labels, scores, specificity)
    if not negatives.size:
        assert math.isnan(threshold)
        return
    kept = [
        sum(n < t for n in negatives) / len(negatives) >= specificity
        for t in [*sorted(set(scores)), math.inf]
    ]
    assert threshold == [*sorted(set(scores)), math.inf][kept.index(True)]


def test_predictive_values_are_those_of_counted_people():
    # Of 1000, 20 ill: 15 found; 98 of 980 healthy called.
    ppv, npv = predictive_values(15 / 20, 882 / 980, 0.02)
    assert ppv == pytest.approx(15 / (15 + 98)) and npv == pytest.approx(882 / (882 + 5))
    assert np.isnan(predictive_values(0, 1, 0.1)[0])


def test_the_threshold_comes_from_validation_and_is_judged_on_test(build):
    study = read_study(build.whole(arms=(PLAIN, GATED), seeds=2).path)
    table = operating_points(study, prevalence=0.1)
    assert len(table) == 2 * len(SPECIFICITIES)
    rows = study.predictions[study.predictions["stage"] == "confirm"]
    for row in table.to_dict("records"):
        figures = []
        for _, model in rows[rows["arm"] == row["arm"]].groupby("trial_id"):
            validation, test = (model[model["split"] == s] for s in ("validation", "test"))
            healthy = validation.loc[validation["label"] == 0, "score"]
            at = min(
                t
                for t in [*validation["score"], 2.0]
                if (healthy < t).mean() >= row["specificity"] - 1e-12
            )
            tn, fp, fn, tp = confusion_matrix(test["label"], test["score"] >= at).ravel()
            figures.append((tp / (tp + fn), tn / (tn + fp)))
        sen, spe = np.mean(figures, axis=0)
        assert (row["sen"], row["spe"]) == pytest.approx((sen, spe), abs=1e-12)
        assert row["ppv"] == pytest.approx(0.1 * sen / (0.1 * sen + 0.9 * (1 - spe)))


def test_mcnemar_counts_the_images_that_one_alone_gets_right(build):
    study = read_study(build.whole(arms=(PLAIN, GATED), seeds=2).path)
    row = reliability(study).set_index("arm").loc["baseline/resnet18"]
    mean = study.test_predictions.groupby(["arm", "image_id"])[["label", "score"]].mean()
    right = (mean["score"] >= 0.5) == (mean["label"] == 1)
    plain, gated = right["baseline/resnet18"], right["gated-fusion/resnet18"]
    assert (row["only_arm"], row["only_reference"]) == (
        (plain & ~gated).sum(),
        (gated & ~plain).sum(),
    )


@pytest.mark.parametrize("missing", ["validation", "scores", "everything"])
def test_what_is_missing_is_left_empty(build, missing):
    build.spec((GATED,), 1)
    if missing != "everything":
        name = build.confirm(GATED, 1)
        build.change(
            "predictions",
            name,
            lambda rows: (
                rows[rows["split"] == "test"]
                if missing == "validation"
                else rows.assign(score=math.nan)
            ),
        )
    table = operating_points(read_study(build.path))
    assert table.empty == (missing == "everything")
    assert table.empty or table[["sen", "spe", "ppv"]].isna().all().all()


def test_published_rows_stand_beside_the_official_test_images_only(build, monkeypatch):
    study = read_study(build.whole(arms=(PLAIN, GATED), seeds=1).path)
    table = ablation_table(study)

    def names():
        return {part.name for part in tables_beside(study, table)}

    assert not {"table_1", "table_2"} & names()
    ids = "\n".join(sorted(study.test_predictions["image_id"].unique()))
    digest = hashlib.sha256(ids.encode()).hexdigest()
    monkeypatch.setattr("ablations.published._OFFICIAL_TEST", digest)
    assert {"table_1", "table_2"} <= names()
    study.spec.options["positive"] = ["nevus"]  # another question on the same images
    assert not {"table_1", "table_2"} & names()


def test_published_rows_are_never_bold_and_ours_only_with_a_test_behind_it(build):
    table = ablation_table(read_study(build.whole(seeds=2).path))
    index = table.set_index("variant").index.get_loc("baseline")
    for p, difference, bold in [
        (0.2, -0.1, []),
        (0.01, -0.1, ["gated-fusion/resnet18"]),
        (0.01, 0.1, ["baseline/resnet18"]),
        (math.nan, -0.1, []),
    ]:
        table.loc[index, ["p_holm", "delta_auc"]] = p, difference
        first = table_1(table)
        assert list(first.loc[first["bold"], "method"]) == bold
        assert (first["source"] == "published").sum() == 4
        assert sum(row["AUC"].startswith("**") for row in cells(first)) == len(bold)
    second = table_2(table)
    assert not second["bold"].any() and list(second["source"]).count("measured") == 1
    measured = second.iloc[-1]
    expected = table.set_index("variant").loc["gated-fusion"]
    assert measured["auc"] == pytest.approx(100 * expected["auc_mean"])
    masll = first[first["method"] == "MASLL (DenseNet121)"].iloc[0]
    assert (masll["auc"], masll["sen_at_spe_95"]) == (87.84, 55.56)
    assert pd.isna(second.set_index("method").loc["Al-masni", "auc"])
