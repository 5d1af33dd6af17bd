"""The plan: the same budget for every arm, truthful signals to Optuna, resumption from rows."""

import math
from collections import Counter

import optuna
import pytest
from optuna.trial import TrialState

from masll import VARIANTS
from tuning.plan import ArmPlan, StudyPlan
from tuning.selection import AS_BEFORE, Selection
from tuning.space import DEFAULT_SPACE
from tuning.study.arm import Arm
from tuning.study.trial import Stage, Status, TrialResult

ARMS = [Arm(variant, "resnet18") for variant in VARIANTS]


def arm_plan(arm: Arm = ARMS[-1], confirmations: int = 1, **settings) -> ArmPlan:
    budget = {
        "trials": 6,
        "epochs": 9,
        "seeds": 2,
        "seed": 0,
        "sampler": "tpe",
        "scheduler": "asha",
        "selection": Selection(finalists=0),
    }
    plan = ArmPlan(arm, DEFAULT_SPACE, **{**budget, **settings})
    plan.confirmations = confirmations
    return plan


def study_plan(**settings) -> StudyPlan:
    return StudyPlan(arm_plan(arm, **settings) for arm in ARMS)


def planted_auc(trial, epoch: int) -> float:
    """Highest at lr 0.01 and, where there is one, threshold scale 1.5; grows with the epochs."""
    miss = abs(math.log10(trial.params["lr"]) + 2) / 4
    miss += abs(trial.params.get("threshold_scale", 1.5) - 1.5) / 4
    return (0.9 - 0.3 * miss) * (1 - 0.3 / epoch)


def train(plan: ArmPlan, trial) -> TrialResult:
    """Train without training: report every epoch, stop when told to."""
    curve = {}
    status = "completed"
    for epoch in range(1, plan.epochs + 1):
        curve[epoch] = planted_auc(trial, epoch)
        if plan.report(trial, curve):
            status = "pruned"
            break
    best = max(curve.values())
    ended = TrialResult(trial, Status(status), best, curve)
    plan.finish(ended)
    return ended


def constant(auc: float, epochs: int) -> dict[int, float]:
    return dict.fromkeys(range(1, epochs + 1), auc)


def run_all(plan: StudyPlan, limit: int = 10_000) -> list[TrialResult]:
    done = []
    while len(done) < limit and (trial := plan.next()) is not None:
        done.append(train(plan.arms[trial.arm], trial))
    return done


def test_every_arm_gets_the_same_number_of_trials_and_seeds():
    plan = study_plan()
    counts = Counter((ended.trial.arm, ended.trial.stage) for ended in run_all(plan))
    assert plan.done
    assert all(counts[arm, "search"] == 6 and counts[arm, "confirm"] == 2 for arm in ARMS)


def test_the_paper_s_setting_is_the_first_trial_of_every_arm():
    plan = study_plan()
    for _ in ARMS:
        trial = plan.next()
        assert trial.number == 0 and trial.stage == Stage.SEARCH and trial.params["lr"] == 0.005
        if trial.arm.localizes:
            assert trial.params["threshold_scale"] == 1.0
        else:
            assert "threshold_scale" not in trial.params


def test_arms_take_turns_so_that_a_study_cut_short_is_fair():
    for limit in (5, 8, 13, 21):
        counts = Counter(ended.trial.arm for ended in run_all(study_plan(), limit))
        assert max(counts.values()) - min(counts.get(arm, 0) for arm in ARMS) <= 1


def test_an_arm_confirms_as_soon_as_its_own_search_is_done():
    plan = arm_plan(trials=2)
    first, second = plan.next(), plan.next()
    assert plan.next() is None  # both still run
    train(plan, first)
    assert plan.next() is None
    train(plan, second)
    confirm = plan.next()
    assert confirm.stage == "confirm" and confirm.params == plan.best.trial.params
    assert confirm.seed != first.seed == second.seed


def test_a_trial_of_another_arm_never_stops_this_arm_s_trials():
    plan = study_plan(trials=2)
    for arm, auc in zip(ARMS, (0.9, 0.8, 0.7, 0.6, 0.5), strict=True):
        trial = plan.arms[arm].next()
        assert not plan.arms[arm].report(trial, {1: auc}), "the first of its arm goes on"


def test_a_trial_below_the_best_third_of_its_rung_is_stopped_and_told_as_pruned():
    plan = arm_plan(trials=4)
    good, bad = plan.next(), plan.next()
    assert not plan.report(good, {1: 0.8})
    assert plan.report(bad, {1: 0.6})
    plan.finish(TrialResult(bad, Status.PRUNED, 0.6, {1: 0.6}))
    told = plan.search.study.trials[1]
    assert told.state == TrialState.PRUNED and told.intermediate_values == {1: 0.6}


@pytest.mark.parametrize(("epochs", "rungs"), [(1, []), (2, [1]), (9, [1, 3]), (100, [11, 33])])
def test_trials_are_judged_after_a_ninth_and_a_third_of_their_epochs(epochs, rungs):
    plan = arm_plan(epochs=epochs)
    good, bad = plan.next(), plan.next()
    for epoch in range(1, epochs + 1):
        assert not plan.report(good, constant(0.8, epoch))
    stops = [epoch for epoch in range(1, epochs + 1) if plan.report(bad, constant(0.6, epoch))]
    assert stops == rungs


def test_the_default_setting_is_never_stopped_and_others_are_judged_by_it():
    plan = arm_plan(trials=2)
    default, better = plan.next(), plan.next()
    assert not any(plan.report(better, constant(0.8, epoch)) for epoch in (1, 2, 3))
    assert not any(plan.report(default, constant(0.6, epoch)) for epoch in (1, 2, 3, 4))
    as_before = arm_plan(trials=2, selection=AS_BEFORE)
    default, better = as_before.next(), as_before.next()
    assert not as_before.report(better, {1: 0.8})
    assert as_before.report(default, {1: 0.6}), "studies of before go on as they began"


def test_confirm_trials_are_never_stopped():
    plan = arm_plan(trials=1)
    train(plan, plan.next())
    confirm = plan.next()
    assert not any(plan.report(confirm, constant(0.1, epoch)) for epoch in range(1, 10))


def test_no_scheduler_stops_nothing():
    plan = arm_plan(scheduler="none")
    trials = [plan.next() for _ in range(4)]
    assert not any(plan.report(trial, {1: 0.9 - 0.1 * i}) for i, trial in enumerate(trials))


def test_a_crash_is_told_as_a_failure_and_a_divergence_as_a_bad_result():
    plan = arm_plan()
    crashed, diverged = plan.next(), plan.next()
    plan.finish(TrialResult(crashed, Status.FAILED, None, {}))
    assert not plan.report(diverged, {1: math.nan})
    plan.finish(TrialResult(diverged, Status.COMPLETED, None, {1: math.nan}))
    states = [trial.state for trial in plan.search.study.trials]
    assert states == [TrialState.FAIL, TrialState.COMPLETE]
    assert plan.search.study.trials[1].value == 0.0
    assert plan.best is None


def test_an_arm_of_which_nothing_can_be_used_ends_without_confirmation():
    plan = arm_plan(trials=2)
    for _ in range(2):
        trial = plan.next()
        plan.finish(TrialResult(trial, Status.FAILED, None, {}))
    assert plan.next() is None and plan.done


def test_a_completed_trial_is_confirmed_before_a_better_one_that_was_stopped():
    plan = arm_plan(trials=2)
    for status, auc in [("completed", 0.7), ("pruned", 0.8)]:
        trial = plan.next()
        plan.finish(TrialResult(trial, Status(status), auc, {1: auc}))
    assert plan.best.val_auc == 0.7


@pytest.mark.parametrize("cut", [1, 7, 18, 33, 39])
def test_a_study_resumed_from_its_rows_has_the_same_trials_as_an_undisturbed_one(cut):
    undisturbed = run_all(study_plan())
    first = run_all(study_plan(), cut)
    resumed = study_plan()
    for ended in first:
        resumed.arms[ended.trial.arm].replay(ended)
    rest = run_all(resumed)
    assert resumed.done
    assert first + rest == undisturbed  # with one slot even the hyperparameters agree


def test_a_replayed_study_looks_to_optuna_like_the_one_that_ran():
    plan = arm_plan()
    ended = [train(plan, plan.next()) for _ in range(6)]
    replayed = arm_plan()
    for one in ended:
        replayed.replay(one)
    assert {t.state for t in plan.search.study.trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    for ours, theirs in zip(plan.search.study.trials, replayed.search.study.trials, strict=True):
        assert ours.params == theirs.params and ours.state == theirs.state
        assert ours.intermediate_values == theirs.intermediate_values
        rungs = [{k: v for k, v in t.system_attrs.items() if "rung" in k} for t in (ours, theirs)]
        assert rungs[0] == rungs[1]


def test_a_raised_budget_goes_on_searching():
    plan = arm_plan(trials=3, seeds=0)
    ended = [train(plan, plan.next()) for _ in range(3)]
    more = arm_plan(trials=5, seeds=0)
    for one in ended:
        more.replay(one)
    assert [more.next().number, more.next().number] == [3, 4] and more.next() is None


def test_seeds_added_later_are_confirmed_with_the_same_hyperparameters():
    plan = arm_plan(trials=1, seeds=1)
    ended = [train(plan, plan.next()) for _ in range(2)]
    assert plan.done
    more = arm_plan(trials=12, seeds=2)
    for one in ended:
        more.replay(one)
    while (trial := more.next()).stage == "search":
        train(more, trial)
    assert more.best.trial.number != 0, "a longer search has found something better"
    assert trial.params == ended[1].trial.params, "but the test set was opened with these"


def test_ending_the_search_confirms_what_there_is():
    plan = study_plan()
    run_all(plan, 7)
    plan.end_search()
    assert {ended.trial.stage for ended in run_all(plan)} == {"confirm"} and plan.done


def test_an_interrupted_trial_goes_on_before_anything_else_with_its_hyperparameters():
    plan = study_plan()
    run_all(plan, 12)
    running = [plan.next() for _ in range(3)]
    for trial in running[:2]:  # one of them had not reported yet
        plan.arms[trial.arm].report(trial, constant(0.7, 2))
    resumed = study_plan()
    for of_arm in plan.arms.values():
        for ended in of_arm.results:
            resumed.arms[ended.trial.arm].replay(ended)
    for trial in running:
        resumed.arms[trial.arm].resume(trial)
    assert {t.trial_id: t for t in (resumed.next() for _ in range(3))} == {
        t.trial_id: t for t in running
    }
    states = [t.state for t in resumed.arms[running[0].arm].search.study.trials]
    assert states.count(TrialState.RUNNING) == 1


def test_epochs_told_again_are_passed_over_and_only_the_newest_is_judged():
    plan = arm_plan()
    good, bad = plan.next(), plan.next()
    plan.report(good, constant(0.8, 9))
    assert not plan.report(bad, {1: 0.6, 2: 0.6}), "epoch 1 was a rung, but was let pass"
    assert not plan.report(bad, {1: 0.6, 2: 0.6})
    assert plan.report(bad, {1: 0.6, 2: 0.6, 3: 0.6})
    assert plan.epochs_trained == 12


def test_a_crashed_trial_goes_on_where_optuna_left_it():
    plan = arm_plan(trials=1)
    trial = plan.next()
    plan.report(trial, {1: 0.7})
    plan.interrupt(trial)
    assert not plan.done and plan.next() is trial and plan.next() is None
    plan.report(trial, {1: 0.7, 2: 0.8})
    (told,) = plan.search.study.trials
    assert told.intermediate_values == {1: 0.7, 2: 0.8}


def test_the_test_set_is_opened_again_only_on_demand_and_for_something_better():
    plan = arm_plan(trials=1, seeds=2)
    ended = [train(plan, plan.next()) for _ in range(3)]
    assert plan.done and plan.opened == 1

    def longer(confirmations: int) -> ArmPlan:
        more = arm_plan(trials=12, seeds=2, confirmations=confirmations)
        for one in ended:
            more.replay(one)
        return more

    assert {run.trial.stage for run in run_arm(longer(1))} == {"search"}
    again = longer(2)
    confirmed = [run for run in run_arm(again) if run.trial.stage == "confirm"]
    assert [(run.trial.confirmation, run.trial.number) for run in confirmed] == [(2, 0), (2, 1)]
    assert confirmed[0].trial.params == again.best.trial.params != ended[1].trial.params
    nothing_better = arm_plan(trials=1, seeds=2, confirmations=2)
    for one in ended:
        nothing_better.replay(one)
    assert nothing_better.next() is None and nothing_better.done


def run_arm(plan: ArmPlan) -> list[TrialResult]:
    return run_all(StudyPlan([plan]))


@pytest.mark.slow
@pytest.mark.parametrize("arm", ARMS, ids=str)
def test_each_arm_finds_its_own_optimum_within_the_budget_and_beats_random_search(arm):
    place = ARMS.index(arm)
    best_lr, best_scale = 10 ** (-3.5 + 0.5 * place), 0.7 + 0.25 * place

    def auc(params) -> float:
        miss = abs(math.log10(params["lr"] / best_lr)) / 3
        return 0.9 - 0.3 * miss - 0.2 * abs(params.get("threshold_scale", best_scale) - best_scale)

    def found(sampler: str, seed: int) -> float:
        plan = arm_plan(arm, trials=30, epochs=1, seeds=0, seed=seed, sampler=sampler)
        while (trial := plan.next()) is not None:
            curve = {1: auc(trial.params)}
            plan.report(trial, curve)
            plan.finish(TrialResult(trial, Status.COMPLETED, curve[1], curve))
        return plan.best.val_auc

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    by_sampler = {
        sampler: sorted(0.9 - found(sampler, seed) for seed in range(20))
        for sampler in ("tpe", "random")
    }
    medians = {sampler: (regret[9] + regret[10]) / 2 for sampler, regret in by_sampler.items()}
    assert medians["tpe"] < medians["random"]
    assert medians["tpe"] < 0.02, "a fifteenth of what the worst setting loses"


@pytest.mark.slow
def test_the_gaussian_process_sampler_finds_the_planted_optimum_too():
    plan = arm_plan(trials=20, epochs=1, seeds=0, sampler="gp")
    run_arm(plan)
    assert 0.9 * 0.7 - plan.best.val_auc < 0.01
