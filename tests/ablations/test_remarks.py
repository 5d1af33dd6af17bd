"""On what terms a study's figures hold: what TPE drew, what leaks, where it ran."""

import dataclasses

import pandas as pd
import pytest

from ablations.remarks import drawn_by_tpe, remarks
from ablations.rows import read_study
from tuning.study.spec import DataRecord, Run

GATED = ("gated-fusion", "resnet18")


def searched(build, at_once: int, failed: int = 0):
    """20 trials, so many at a time, each of a minute; the first ones failed."""
    build.spec((GATED,), options={"sampler": "tpe", "trials": 20})
    for number in range(20):
        began = pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta(minutes=number // at_once)
        build.trial(
            GATED,
            "search",
            number,
            "failed" if number < failed else "completed",
            started_at=began,
            ended_at=began + pd.Timedelta(minutes=1),
        )
    return read_study(build.path)


@pytest.mark.parametrize(
    ("at_once", "failed", "drawn"), [(1, 0, 10), (4, 0, 8), (20, 0, 0), (1, 3, 7)]
)
def test_tpe_draws_once_ten_trials_have_told(build, at_once, failed, drawn):
    study = searched(build, at_once, failed)
    assert drawn_by_tpe(study) == drawn
    assert any(f"TPE drew {drawn} of 20 search trials" in line for line in remarks(study))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"leaks": 29}, "29 training images show a lesion of the validation or test images"),
        ({}, "was not examined"),
        ({"leaks": 0}, None),
        ({"source": "synthetic"}, None),
        ({"leaks": 2, "left_out": {"a": ["b"], "c": ["d"]}}, None),
    ],
)
def test_leaks_are_counted_or_said_not_to_be_known(build, data, words):
    study = read_study(build.whole(arms=(GATED,), seeds=1).path)
    spec = dataclasses.replace(study.spec, data=DataRecord(**data))
    told = [line for line in remarks(dataclasses.replace(study, spec=spec)) if "lesion" in line]
    assert [words in line for line in told] == [True] * bool(words)


def test_the_slots_of_each_run_are_named(build):
    study = read_study(build.whole(arms=(GATED,), seeds=1).path)
    runs = tuple(Run("", "", 1.0, slots, 0.9) for slots in ("2 slots", "2 slots", "8 slots"))
    study = dataclasses.replace(study, spec=dataclasses.replace(study.spec, runs=runs))
    assert "Slots: 2 slots; then 8 slots." in remarks(study)
