"""What the gate does: confirmed models with their gate frozen, and what the verdict makes of it."""

import numpy as np
import pytest

from ablations.gates import gates, silent_gates
from ablations.rows import read_study
from ablations.statistics import delong_test
from ablations.tables import ablation_table
from ablations.verdict import verdict

GATED = ("gated-fusion", "resnet18")
ALL = [(v, "resnet18") for v in ("baseline", "global-only", "concat-fusion", "gated-fusion")]


def freeze(build, arm, seeds, noise):
    """Give an arm's confirmed models scores of a frozen gate that differ by a noise."""
    rng = np.random.default_rng(3)
    for seed in range(1, seeds + 1):
        build.change(
            "predictions",
            f"{arm[0]}-{arm[1]}-confirm-{seed}",
            lambda rows: rows.assign(
                score_frozen_gate=(rows["score"] + rng.uniform(-noise, noise, len(rows))).clip(0, 1)
            ),
        )


def verdict_of(build):
    study = read_study(build.path)
    return verdict(study, ablation_table(study))


def test_a_gate_that_changes_no_score_is_not_judged(build):
    build.whole(arms=ALL, seeds=2)
    for arm in ALL[1::2]:
        freeze(build, arm, 2, 0.004)
    assert set(silent_gates(read_study(build.path))) == {f"{v}/{b}" for v, b in ALL[1::2]}
    lines = verdict_of(build)
    silent = [line for line in lines if "the gate did nothing" in line]
    assert [line.split(":")[0] for line in silent] == [
        "Main effect",
        "Main effect",
        "Without the gate, on resnet18",
    ]
    assert "the gate is not judged" in silent[0] and "local branch x gate" in silent[1]
    assert any("Main effect: the local branch is" in line for line in lines)


def test_a_gate_that_moves_one_score_is_judged(build):
    build.whole(arms=ALL, seeds=2)
    freeze(build, ALL[1], 2, 0.004)
    freeze(build, GATED, 2, 0.2)
    assert not any("the gate did nothing" in line for line in verdict_of(build))


def test_what_the_variation_adds_is_paired_seed_by_seed(build):
    build.whole(arms=ALL, seeds=1)
    freeze(build, GATED, 1, 0.2)
    study = read_study(build.path)
    table = gates(study)
    assert table["arm"].tolist() == ["gated-fusion/resnet18"]
    row = table.iloc[0]
    test = study.test_predictions
    own = test[test["arm"] == row["arm"]]
    gain, _, p = delong_test(own["label"], own["score"], own["score_frozen_gate"])
    assert (row["delta_auc"], row["p_value"]) == pytest.approx((gain, p))
    assert row["largest_change"] == pytest.approx(
        (own["score"] - own["score_frozen_gate"]).abs().max()
    )


def test_a_study_without_frozen_scores_is_judged_as_before(build):
    build.whole(arms=ALL, seeds=2)
    study = read_study(build.path)
    assert gates(study).empty
    assert not any("the gate did nothing" in line for line in verdict_of(build))
