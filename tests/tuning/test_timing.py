"""How long a study will still take: by what its epochs took, of the arm itself where it has any."""

import math

import pytest

from tests.tuning.display_cases import Clock, epoch_report, row_of, study_plan
from tuning.study.trial import TrialResult
from tuning.timing import Timing
from tuning.trial_report import Pace


def test_nothing_is_known_before_anything_has_run():
    plan = study_plan()
    assert math.isnan(Timing(plan).left(2))


def test_how_far_a_first_epoch_is_gives_a_time_left():
    plan, clock = study_plan(trials=1, seeds=1, epochs=10), Clock()
    timing = Timing(plan, clock)
    trial = plan.next()
    timing.begin(trial)
    (running,) = timing.running
    running.pace = Pace(share=0.25, seconds=20.0)  # an epoch takes 80 s
    assert timing.left_of(running) == pytest.approx(9.75 * 80)
    # Two arms, each a search and a confirm trial of 10 epochs, less the quarter of an epoch.
    assert timing.left(2) == pytest.approx((4 * 10 - 0.25) * 80 / 2)


def test_a_trial_that_goes_on_after_a_checkpoint_has_less_to_do():
    plan = study_plan(trials=1, seeds=0, epochs=10)
    timing = Timing(plan)
    timing.begin(plan.next())
    (running,) = timing.running
    timing.hear(running, Pace(share=0.5, seconds=30.0, epoch=8))
    assert timing.left_of(running) == pytest.approx(2.5 * 60)


def test_what_happens_corrects_what_was_thought():
    plan = study_plan(trials=1, seeds=1, epochs=10)
    timing = Timing(plan)
    trial = plan.next()
    timing.begin(trial)
    timing.running[0].pace = Pace(0.25, 20.0)
    timing.report(trial, epoch_report(1, seconds=100.0))
    assert timing.epoch_seconds(str(trial.arm)) == pytest.approx(100.0)
    timing.report(trial, epoch_report(2, seconds=240.0))
    assert timing.epoch_seconds(str(trial.arm)) == pytest.approx(120.0)
    other = next(arm for arm in plan.arms if arm != trial.arm)
    assert timing.epoch_seconds(str(other)) == pytest.approx(120.0), "until it has its own"


def test_the_time_left_never_grows_while_epochs_take_alike_and_ends_at_nothing():
    plan, clock = study_plan(trials=2, seeds=2, epochs=3), Clock()
    timing = Timing(plan, clock)
    left = math.inf
    while (trial := plan.next()) is not None:
        timing.begin(trial)
        for epoch in (1, 2, 3):
            plan.arms[trial.arm].report(trial, dict.fromkeys(range(1, epoch + 1), 0.7))
            timing.report(trial, epoch_report(epoch, seconds=5.0 * epoch))
            assert timing.left(1) <= left + 1e-9
            left = timing.left(1)
        curve = dict.fromkeys((1, 2, 3), 0.7)
        row = row_of(trial, seconds=15.0, epochs=3)
        plan.arms[trial.arm].finish(TrialResult(trial, row.status, 0.7, curve))
        timing.end(row)
    assert timing.left(1) == 0


def test_a_study_takes_as_long_as_its_longest_trial_however_many_slots_there_are():
    plan = study_plan(trials=1, seeds=0, epochs=100)
    timing = Timing(plan)
    trial = plan.next()
    timing.begin(trial)
    timing.report(trial, epoch_report(1, seconds=60.0))
    assert timing.left(1000) == pytest.approx(99 * 60)
