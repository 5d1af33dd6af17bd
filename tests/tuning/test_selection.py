"""Which hyperparameters are chosen: the end of the curves, and repeats of the finalists."""

import math
import statistics
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.selection import searched
from tests.tuning.test_plan import arm_plan, run_all, study_plan, train
from tuning.plan import ArmPlan
from tuning.selection import AS_BEFORE, Selection, is_repeat
from tuning.study.arm import Arm
from tuning.study.trial import Stage, Status, Trial, TrialResult

THREE = Selection(finalists=3)


@given(st.integers(1, 100), st.integers(0, 8))
def test_repeats_take_half_of_the_budget_at_most_and_none_of_a_small_one(trials, finalists):
    repeats = Selection(finalists).repeats(trials)
    assert repeats <= min(trials / 2, 2 * finalists)
    assert repeats == 0 or trials >= 4


def test_a_trial_is_worth_the_mean_of_its_last_tenth_of_epochs():
    curve = {epoch: epoch / 100 for epoch in range(1, 101)}
    assert Selection().value(curve, 100, 100) == pytest.approx(sum(range(91, 101)) / 1000)
    assert Selection().value(curve, 3, 100) == pytest.approx(0.02), "of what there is so far"
    assert Selection().value({1: 0.7, 2: 0.6}, 2, 9) == 0.6, "a tenth of nine epochs is the last"
    assert AS_BEFORE.value(curve, 100, 100) == 1.0


def test_the_finalists_are_trained_again_with_two_seeds_each_within_the_budget():
    plan = arm_plan(trials=12, scheduler="none", selection=THREE)
    done = []
    while (trial := plan.next()) is not None and trial.stage == Stage.SEARCH:
        done.append(train(plan, trial))
    assert len(done) == 12
    explored = [ended for ended in done if not is_repeat(ended.trial, 0)]
    repeats = [ended.trial for ended in done if is_repeat(ended.trial, 0)]
    assert len(explored) == 6
    best = sorted(explored, key=lambda ended: -ended.curve[9])[:3]
    assert [t.params for t in repeats] == [ended.trial.params for ended in [*best, *best]]
    assert [t.seed for t in repeats] == [10_000] * 3 + [10_001] * 3
    assert [t.number for t in repeats] == list(range(6, 12))
    assert trial.params == plan.best.trial.params and trial.stage == Stage.CONFIRM


def test_repeats_wait_until_every_trial_that_explores_has_ended():
    plan = arm_plan(trials=4, scheduler="none", selection=THREE)
    first, second = plan.next(), plan.next()
    train(plan, first)
    assert plan.next() is None
    train(plan, second)
    assert is_repeat(plan.next(), 0)


def lucky(plan: ArmPlan, trial: Trial) -> TrialResult:
    """The default setting is worth .80, the others .70, but the first run of trial 1 has .90."""
    auc = 0.9 if trial.number == 1 else 0.8 if trial.params["lr"] == 0.005 else 0.7
    curve = dict.fromkeys(range(1, 10), auc)
    plan.report(trial, curve)
    ended = TrialResult(trial, Status.COMPLETED, auc, curve)
    plan.finish(ended)
    return ended


@pytest.mark.parametrize(("selection", "number"), [(THREE, 0), (Selection(finalists=0), 1)])
def test_a_lucky_run_does_not_win_where_it_is_repeated(selection, number):
    plan = arm_plan(trials=10, scheduler="none", selection=selection)
    while (trial := plan.next()) is not None and trial.stage == Stage.SEARCH:
        lucky(plan, trial)
    assert plan.best.trial.number == number


def test_a_peak_in_one_epoch_does_not_win():
    arm = Arm("baseline", "resnet18")
    steady, peaked = (
        TrialResult(
            Trial(arm, Stage.SEARCH, number, 0, {"lr": 0.1 * (number + 1)}),
            Status.COMPLETED,
            max(aucs),
            dict(enumerate(aucs, 1)),
        )
        for number, aucs in enumerate(([0.7, 0.8, 0.81], [0.9, 0.6, 0.6]))
    )
    assert Selection().best([steady, peaked], 3) == steady
    assert AS_BEFORE.best([steady, peaked], 3) == peaked


def test_a_trial_that_diverged_or_failed_is_never_chosen():
    arm = Arm("baseline", "resnet18")
    trial = Trial(arm, Stage.SEARCH, 0, 0, {"lr": 0.1})
    for status, auc in ((Status.FAILED, 0.9), (Status.COMPLETED, None)):
        result = TrialResult(trial, status, auc, {1: 0.9, 2: math.nan})
        assert Selection().best([result], 2) is None


@pytest.mark.slow
def test_regret_on_a_planted_landscape_is_below_half_a_hundredth_and_below_that_of_before():
    """tests/benchmarks/selection.py, with fewer studies."""
    regrets = {
        rule: [searched(rule, seed, noise=0.04, of_run=0.0).regret for seed in range(40)]
        for rule in (Selection(), AS_BEFORE)
    }
    now, before = (statistics.mean(each) for each in regrets.values())
    assert now < 0.005 and now < 0.8 * before


@pytest.mark.parametrize("cut", [5, 17, 30, 41, 55])
def test_a_study_resumed_between_repeats_has_the_same_trials(cut):
    settings = {"trials": 8, "selection": THREE}
    undisturbed = run_all(study_plan(**settings))
    first = run_all(study_plan(**settings), cut)
    second = study_plan(**settings)
    for ended in first:
        second.arms[ended.trial.arm].replay(ended)
    again = [*first, *run_all(second)]
    assert [ended.trial for ended in again] == [ended.trial for ended in undisturbed]
    counts = Counter(ended.trial.arm for ended in again if ended.trial.stage == Stage.SEARCH)
    assert set(counts.values()) == {8}


def test_a_raised_budget_explores_further_and_repeats_what_has_become_a_finalist():
    done = run_all(study_plan(trials=8, selection=THREE))
    plan = study_plan(trials=20, selection=THREE)
    for ended in done:
        plan.arms[ended.trial.arm].replay(ended)
    more = run_all(plan)
    for arm in plan.arms.values():
        searched = [
            e.trial
            for e in [*done, *more]
            if e.trial.arm == arm.arm and e.trial.stage == Stage.SEARCH
        ]
        repeats = [trial for trial in searched if is_repeat(trial, 0)]
        assert len(searched) == 20 and len(repeats) <= 10
        assert len({(str(trial.params), trial.seed) for trial in searched}) == len(searched)
        assert arm.done
