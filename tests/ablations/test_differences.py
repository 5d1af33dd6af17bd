"""Differences between arms: paired on the test images, and said with the certainty they have."""

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from ablations.differences import differences, test_scores
from ablations.rows import read_study
from ablations.statistics import auc_difference, delong_test, holm
from ablations.tables import ablation_table
from ablations.verdict import NOTE, NOTHING, verdict

if TYPE_CHECKING:
    from conftest import StudyBuilder

test_scores.__test__ = False  # not a test, whatever its name
PLAIN, GATED = ("baseline", "resnet18"), ("gated-fusion", "resnet18")


def scores_of(build: "StudyBuilder", arm: tuple[str, str], shift: float, seeds: int = 1) -> None:
    """Confirmed models of an arm whose melanomas score higher by a shift."""
    for seed in range(1, seeds + 1):
        name = build.confirm(arm, seed)
        build.change(
            "predictions",
            name,
            lambda rows: rows.assign(score=(rows["score"] / 2 + shift * rows["label"]).clip(0, 1)),
        )


def test_with_one_seed_it_is_delong_s_test_whatever_the_order_of_the_rows(build):
    build.spec((PLAIN, GATED), 1)
    for arm in (PLAIN, GATED):
        name = build.confirm(arm, 1)
        build.change("predictions", name, lambda rows: rows.sample(frac=1, random_state=3))
    rows = pd.read_parquet(build.path / "predictions")
    rows = rows[rows["split"] == "test"].sort_values("image_id")
    plain, gated = (rows[rows["arm"] == "/".join(arm)] for arm in (PLAIN, GATED))
    expected = delong_test(plain["label"], plain["score"], gated["score"])
    found = differences(read_study(build.path)).loc["baseline/resnet18"]
    assert (found["delta_auc"], found["p_value"]) == pytest.approx((expected[0], expected[2]))
    assert found["delta_low"] < found["delta_auc"] < found["delta_high"]
    assert found["detectable_delta"] == pytest.approx(2.8016 * expected[1], rel=1e-4)


def test_the_family_of_comparisons_is_every_arm_but_the_references(build):
    study = read_study(build.whole(seeds=2).path)
    table = differences(study)
    assert table.loc["gated-fusion/resnet18", ["delta_auc", "p_value"]].isna().all()
    p_values = table["p_value"].drop("gated-fusion/resnet18")
    assert p_values.notna().all()
    assert table["p_holm"].drop("gated-fusion/resnet18").tolist() == holm(p_values).tolist()
    labels, scores = test_scores(study)
    again = auc_difference(labels, scores["global-only/resnet18"], scores["gated-fusion/resnet18"])
    assert again.p_value == p_values["global-only/resnet18"], "drawn alike every time"


def test_an_arm_that_lacks_images_is_not_compared(build):
    build.whole(seeds=1)
    build.change("predictions", "baseline-resnet18-confirm-1", lambda rows: rows[:-3])
    table = differences(read_study(build.path))
    assert table.loc["baseline/resnet18"].isna().all()
    assert table.loc["concat-fusion/resnet18", "p_value"] >= 0


def test_the_verdict_names_the_part_and_says_whether_it_is_believed(build):
    build.images, build.positives = 200, 80
    build.spec((PLAIN, ("concat-fusion", "resnet18"), GATED), 3)
    scores_of(build, PLAIN, -0.1, 3)
    scores_of(build, ("concat-fusion", "resnet18"), 0.15, 3)
    scores_of(build, GATED, 0.15, 3)
    study = read_study(build.path)
    table = ablation_table(study)
    lines = verdict(study, table)
    row = table.set_index("variant").loc["baseline"]
    added = f"{-row['delta_auc']:+.3f} AUC [{-row['delta_high']:.3f}, {-row['delta_low']:.3f}]"
    primary = f"Primary question, which the spec does not name: the whole of MASLL adds {added}"
    assert f"{primary}, p < 0.001." in lines
    assert f"Without the whole of MASLL, on resnet18: it adds {added}, p < 0.001." in lines
    (gate,) = (line for line in lines if line.startswith("Without the gate"))
    assert "is not distinguishable from nothing" in gate and "adds at most" in gate
    assert lines[-1] == NOTE


def test_without_a_reference_there_is_no_verdict(build):
    build.spec((PLAIN,), 1)
    build.confirm(PLAIN, 1)
    study = read_study(build.path)
    assert verdict(study, ablation_table(study)) == [NOTHING]


@pytest.mark.parametrize("score", [0.5, math.nan], ids=["constant", "nan"])
def test_scores_that_support_no_test_still_give_a_table(build, score):
    build.whole(arms=(PLAIN, GATED), seeds=2)
    for seed in (1, 2):
        build.change(
            "predictions",
            f"baseline-resnet18-confirm-{seed}",
            lambda rows: rows.assign(score=score),
        )
    study = read_study(build.path)
    table = ablation_table(study)
    assert np.isnan(table.set_index("variant").loc["gated-fusion", "p_value"])
    assert verdict(study, table)
