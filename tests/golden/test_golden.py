"""A study made by commit 9b36b9d is read, reported and resumed; the figures are those of then."""

import dataclasses
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ablations.documents import write_report
from ablations.remarks import remarks
from ablations.rows import read_study
from masll import VARIANTS, ModelConfig
from masll.config import BEFORE, TrainConfig
from masll.cross_validation import CrossValidator
from masll.data import find_source, open_store
from masll.data.split import pool
from masll.training import Trainer, TrainingRun
from tests.support import run_module
from tuning.plan import ArmPlan, StudyPlan
from tuning.selection import AS_BEFORE
from tuning.space import DEFAULT_SPACE
from tuning.study.arm import Arm
from tuning.study.trial import Status, TrialResult

HERE = Path(__file__).parent
GOLDEN = json.loads((HERE / "golden.json").read_text())
COLUMNS = list(GOLDEN["resumed"][0])


def figures(run: TrainingRun) -> list[dict[str, float]]:
    """What each epoch gave, without its time."""
    rows = []
    while not run.done:
        row = dataclasses.asdict(run.run_epoch())
        row.pop("seconds")
        rows.append({name: value for name, value in row.items() if value is not None})
    return rows


def assert_near(epoch: dict[str, float], before: dict[str, float]) -> None:
    """Processors round differently, and training with momentum and batch norm amplifies it: with
    these rates to .003 in a loss, and a pair of images may change places in an AUC."""
    for name, value in before.items():
        assert epoch[name] == pytest.approx(value, abs=0.1 if "auc" in name else 0.005), name


def small(variant: str) -> ModelConfig:
    """A small network, its gate as that commit began it."""
    return ModelConfig(
        variant=variant, backbone="test_resnet", pretrained=False, image_size=32, **BEFORE
    )


@pytest.fixture(scope="module")
def splits(isic_master, cache):
    store = open_store(find_source(str(isic_master)), 64, cache=cache)
    return store.split("train"), store.split("validation")


@pytest.mark.parametrize("run", [name for name in GOLDEN["losses"] if name != "folds gated-fusion"])
def test_losses_under_a_fixed_seed_are_those_of_before(splits, run):
    optimizer, variant = run.split()
    lr = {"sgd": 0.001, "adamw": 0.0001}[optimizer]
    config = TrainConfig(epochs=3, batch_size=6, lr=lr, optimizer=optimizer, seed=3)
    model = small(variant)
    trainer = Trainer(model, config, *splits, torch.device("cpu"))
    for epoch, before in zip(figures(trainer), GOLDEN["losses"][run], strict=True):
        assert_near(epoch, before)


def test_losses_of_folds_are_those_of_before(splits):
    both = pool("validation", list(splits))
    model = small("gated-fusion")
    config = TrainConfig(epochs=2, batch_size=6, seed=3)
    folds = np.arange(len(both)) % 3
    validator = CrossValidator(model, config, both, folds, torch.device("cpu"))
    for epoch, before in zip(
        figures(validator), GOLDEN["losses"]["folds gated-fusion"], strict=True
    ):
        assert_near(epoch, before)


def planted_auc(params: dict[str, float], epoch: int) -> float:
    miss = abs(math.log10(params["lr"]) + 2) / 4
    miss += abs(params.get("threshold_scale", 1.5) - 1.5) / 4
    return (0.9 - 0.3 * miss) * (1 - 0.3 / epoch)


def new_plan(sampler: str, scheduler: str) -> StudyPlan:
    return StudyPlan(
        ArmPlan(
            Arm(variant, "resnet18"),
            DEFAULT_SPACE,
            trials=12,
            epochs=9,
            seeds=2,
            seed=0,
            sampler=sampler,
            scheduler=scheduler,
            selection=AS_BEFORE,
        )
        for variant in VARIANTS
    )


@pytest.mark.parametrize("search", list(GOLDEN["searches"]))
def test_a_fixed_search_has_the_trials_of_before(search):
    sampler, scheduler, *resumed = search.split()
    plan, trials, results = new_plan(sampler, scheduler), [], []
    while (trial := plan.next()) is not None:
        if resumed and len(trials) == 33:
            plan, resumed = new_plan(sampler, scheduler), []
            for result in results:
                plan.arms[result.trial.arm].replay(result)
            plan.arms[trial.arm].resume(trial)
            trial = plan.next()
        arm, curve, status = plan.arms[trial.arm], {}, Status.COMPLETED
        for epoch in range(1, arm.epochs + 1):
            curve[epoch] = planted_auc(trial.params, epoch)
            if arm.report(trial, curve):
                status = Status.PRUNED
                break
        results.append(TrialResult(trial, status, max(curve.values()), curve))
        arm.finish(results[-1])
        trials.append([trial.trial_id, trial.seed, dict(trial.params), status, len(curve)])
    assert len(trials) == len(GOLDEN["searches"][search])
    for now, before in zip(trials, GOLDEN["searches"][search], strict=True):
        now[2] = pytest.approx(now[2], rel=1e-9)  # a processor's last digit
        assert now == before


def test_the_report_of_a_study_of_before_has_the_figures_of_before(tmp_path):
    study = read_study(HERE / "finished")
    write_report(study, ("csv", "md"), folder=tmp_path)
    for path in (HERE / "report").iterdir():
        if path.suffix == ".csv":  # full precision: another processor rounds the last digit
            before, now = pd.read_csv(path), pd.read_csv(tmp_path / path.name)
            pd.testing.assert_frame_equal(now, before, rtol=1e-6, obj=path.name)
        else:
            assert (tmp_path / path.name).read_text() == path.read_text(), path.name


def test_the_report_of_a_study_of_before_says_what_it_lacks():
    (told,) = (each for each in remarks(read_study(HERE / "finished")) if "did not record" in each)
    for what in ("predictions with a frozen gate", "multiply-adds", "the primary question"):
        assert what in told


@pytest.mark.slow
@pytest.mark.parametrize("engine", [["--in-process"], ["--num-gpus", 0, "--cpus-per-trial", 2]])
def test_a_killed_study_of_before_is_resumed_to_the_trials_of_before(
    engine, isic_master, cache, tmp_path
):
    study = Path(shutil.copytree(HERE / "killed", tmp_path / "study"))
    spec = json.loads((study / "spec.json").read_text())
    fingerprint = open_store(find_source(str(isic_master)), 64, cache=cache).index["fingerprint"]
    if fingerprint != spec["data"]["fingerprint"]:
        pytest.skip("this version of Pillow writes other JPEG files than the one of then")
    spec["options"]["data"] = str(isic_master)
    (study / "spec.json").write_text(json.dumps(spec))
    looked = run_module("tuning.status", study, cache=cache)
    assert "baseline.test_efficientnet.search.0001" in looked.stdout, looked.stderr
    result = run_module("tuning.search", "--study", study, "--resume", *engine, cache=cache)
    assert result.returncode == 0, result.stderr
    rows = pd.read_parquet(study / "trials", columns=COLUMNS).sort_values("trial_id")
    for row, before in zip(rows.to_dict("records"), GOLDEN["resumed"], strict=True):
        now = {name: None if pd.isna(value) else value for name, value in row.items()}
        if not before["trial_id"].endswith("search.0000"):  # trained again, perhaps elsewhere
            for name in ("best_epoch", "val_auc", "test_auc"):
                assert (now.pop(name) is None) == (before[name] is None), name
        for name, value in now.items():
            assert value == before[name] or value == pytest.approx(before[name], rel=1e-9), name
