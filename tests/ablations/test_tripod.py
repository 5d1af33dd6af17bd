"""The fragment for TRIPOD+AI says what the spec and the rows say."""

import functools
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from ablations.rows import read_study
from ablations.tables import ablation_table
from ablations.tripod import tripod

if TYPE_CHECKING:
    from conftest import StudyBuilder

PLAIN, GATED = ("baseline", "resnet18"), ("gated-fusion", "resnet18")
OPTIONS = {
    "seeds": 2,
    "trials": 3,
    "epochs": 40,
    "sampler": "random",
    "scheduler": "none",
    "seed": 9,
    "validation": "cv5",
    "space": [
        {
            "name": "lr",
            "type": "float",
            "low": 1e-4,
            "high": 0.1,
            "log": True,
            "variants": ["baseline", "gated-fusion"],
        },
        {
            "name": "class_weights",
            "type": "choice",
            "choices": [False, True],
            "variants": ["gated-fusion"],
        },
    ],
}
DATA = {
    "images": {"train": 200, "validation": 40, "test": 40},
    "melanoma": {"train": 30, "validation": 12, "test": 12},
}


def items(build: "StudyBuilder") -> dict[str, str]:
    """Item number to its text."""
    study = read_study(build.path)
    parts = f"\n{tripod(study, ablation_table(study))}".split("\n## ")[1:]
    return {part.partition(".")[0]: part for part in parts}


def test_each_item_is_filled_from_the_spec_and_the_rows(build):
    build.whole(arms=(PLAIN, GATED))
    build.spec((PLAIN, GATED), options=OPTIONS, data=DATA)
    for seed in (1, 2):
        build.change(
            "trials",
            f"gated-fusion-resnet18-confirm-{seed}",
            lambda rows: rows.assign(class_weights=True),
        )
    told = items(build)
    assert list(told) == ["12c", "12e", "13", "23a"]
    tuning = told["12c"]
    assert "3 trials an arm of at most 40 epochs, drawn by random search (seed 9)" in tuning
    assert "five stratified folds" in tuning and "No trial was stopped early." in tuning
    assert "6 search trials of 2 arms were run: 2 completed, 2 stopped early, 2 failed" in tuning
    assert "lr (0.0001 to 0.1, on a log scale; in baseline, gated-fusion)" in tuning
    assert "class_weights (one of False, True; in gated-fusion)" in tuning
    assert "retrained with 2 seeds" in tuning and "| 0.003 | 1.25 |" in tuning
    assert "30 of 200 train images (15.0%)" in told["13"]
    assert "was searched" in told["13"] and "gated-fusion/resnet18 with." in told["13"]
    table = ablation_table(read_study(build.path)).set_index("variant")
    row = table.loc["baseline"]
    shown = f"{row['auc_mean']:.3f} ({row['auc_low']:.3f} to {row['auc_high']:.3f})"
    assert shown in told["23a"] and "On 40 test images, 12 melanoma" in told["23a"]
    assert f"{row['delta_auc']:+.3f} ({row['delta_low']:.3f} to" in told["23a"]


def test_what_is_not_known_is_said_not_made_up(build):
    build.whole(arms=(GATED,), seeds=1)
    (build.path / "spec.json").unlink()
    told = items(build)
    assert "not recorded, as the study has no spec.json" in told["12c"]
    assert "12 of 40 test images (30.0%)" in told["13"]
    assert "DeLong's variance, as there is one seed" in told["12e"]
    assert "same weight in the loss" in told["13"]


@pytest.mark.parametrize("begun", [False, True])
def test_a_study_without_confirmed_models_claims_no_performance(build, begun):
    build.spec((GATED,))
    if begun:
        build.search(GATED)
    assert "No confirmed model yet" in items(build)["23a"]


def test_a_test_set_opened_again_is_admitted(build):
    build.whole(arms=(GATED,))
    for number in (1, 2):
        name = f"gated-fusion-resnet18-confirm-{number}"
        build.change("trials", name, functools.partial(pd.DataFrame.assign, confirmation=number))
    assert "the test set was opened 2 times" in items(build)["23a"]
    assert pd.read_parquet(build.path / "trials")["confirmation"].max() == 2
