"""The command itself: real Ray, real files, real Parquet, on a small ISIC 2017 folder."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from masll import VARIANTS, InputError, load_model
from masll.data import find_source
from tests.support import COUNTS, ROOT, TINY_BACKBONE, assert_one_line_error, run_module
from tuning.unfinished import Unfinished, load_checkpoint

SMALL = (
    f"--backbones {TINY_BACKBONE} --no-pretrained --image-size 32 --source-size 48 "
    "--trials 2 --epochs 2 --seeds 2 --batch-size 8 --num-gpus 0"
).split()


def search(cache: Path, *arguments: object):
    return run_module("tuning.search", *arguments, cache=cache)


def start_search(cache: Path, *arguments: object) -> subprocess.Popen:
    """In a process group of its own, so that a signal reaches nothing else."""
    return subprocess.Popen(
        [sys.executable, "-m", "tuning.search", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "MASLL_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_trials(study: Path, count: int, process: subprocess.Popen) -> set[str]:
    """Wait until so many trials have ended, and name them."""
    for _ in range(1200):
        done = {path.stem for path in (study / "trials").glob("*.parquet")}
        if len(done) >= count:
            return done
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError(f"no {count} trials in two minutes")


def trial_ids(study: Path) -> list[str]:
    return sorted(pd.read_parquet(study / "trials")["trial_id"])


def trial_ids_if_any(study: Path) -> list[str]:
    return trial_ids(study) if (study / "trials").exists() else []


EXPECTED_IDS = sorted(
    f"{variant}.{TINY_BACKBONE}.{stage}.{number:04d}"
    for variant in VARIANTS
    for stage in ("search", "confirm")
    for number in range(2)
)


@pytest.fixture(scope="module")
def finished(isic_master, cache, tmp_path_factory):
    """A whole study, as a user would run it."""
    study = tmp_path_factory.mktemp("studies") / "small"
    result = search(cache, "--data", isic_master, "--study", study, *SMALL)
    assert result.returncode == 0, result.stderr
    return study, result


@pytest.mark.slow
def test_a_study_ends_with_the_same_trials_for_every_arm(finished):
    study, _ = finished
    assert trial_ids(study) == EXPECTED_IDS
    trials = pd.read_parquet(study / "trials")
    assert set(trials["status"]) <= {"completed", "pruned"}
    first = trials[(trials["stage"] == "search") & (trials["number"] == 0)]
    assert set(first["lr"]) == {0.005} and set(first["threshold_scale"].dropna()) == {1.0}
    epochs = pd.read_parquet(study / "epochs")
    assert (epochs.groupby("trial_id").size() == trials.set_index("trial_id")["epochs"]).all()
    assert set(trials[trials["status"] == "completed"]["epochs"]) == {2}
    chosen = epochs.groupby("trial_id")["val_auc"].max()
    assert np.allclose(chosen, trials.set_index("trial_id").loc[chosen.index, "val_auc"])


@pytest.mark.slow
def test_only_confirmed_models_saw_the_test_set_and_each_saw_all_of_it(finished, isic_master):
    study, _ = finished
    predictions = pd.read_parquet(study / "predictions")
    opened = predictions[predictions["split"] == "test"]
    assert set(opened["stage"]) == {"confirm"}
    official = {
        r.image_id: r.label for r in find_source(str(isic_master)).records if r.split == "test"
    }
    for _, of_model in opened.groupby("trial_id"):
        assert dict(zip(of_model["image_id"], of_model["label"], strict=True)) == official
    assert opened["trial_id"].nunique() == 2 * len(VARIANTS)
    trials = pd.read_parquet(study / "trials").set_index("stage")
    assert trials.loc["search", "test_auc"].isna().all()
    assert trials.loc["confirm", "test_auc"].notna().all()


@pytest.mark.slow
def test_the_table_is_what_the_prediction_rows_give(finished):
    study, result = finished
    predictions = pd.read_parquet(study / "predictions")
    table = pd.read_csv(study / "report" / "ablation.csv").set_index("arm")
    assert [arm.split("/")[0] for arm in table.index] == list(VARIANTS)
    opened = predictions[predictions["split"] == "test"]
    for arm, of_arm in opened.groupby("arm"):
        aucs = [roc_auc_score(p["label"], p["score"]) for _, p in of_arm.groupby("seed")]
        assert table.loc[arm, "auc_mean"] == pytest.approx(np.mean(aucs), abs=1e-12)
        assert table.loc[arm, "auc_sd"] == pytest.approx(np.std(aucs, ddof=1), abs=1e-12)
        assert f"{np.mean(aucs):.3f}" in result.stdout
    for said in ("trials", "models", "report"):
        assert f"{study}/{said}" in result.stdout.replace("\n", "")


@pytest.mark.slow
def test_a_confirmed_model_can_be_loaded_and_predicts_its_rows(finished, isic_master):
    study, _ = finished
    model = load_model(study / "models" / "gated-fusion" / TINY_BACKBONE / "seed-1")
    predictions = pd.read_parquet(study / "predictions")
    row = predictions[
        (predictions["split"] == "test") & (predictions["seed"] == 1)
        & (predictions["arm"] == f"gated-fusion/{TINY_BACKBONE}")
    ].iloc[3]  # fmt: skip
    source = find_source(str(isic_master))
    record = next(r for r in source.records if r.image_id == row["image_id"])
    pixels = torch.from_numpy(source.read(record, 48).image.copy()).permute(2, 0, 1)[None] / 255
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (model.mean, model.std))
    with torch.inference_mode():
        out = model((pixels - mean) / std)
    assert float(out.logits.softmax(1)[0, 1]) == pytest.approx(row["score"], abs=1e-4)
    assert (out.boxes[0] / 48).tolist() == pytest.approx(row[["x0", "y0", "x1", "y1"]].tolist())


@pytest.mark.slow
def test_the_spec_says_what_was_asked_of_which_data(finished, isic_master):
    study, _ = finished
    spec = json.loads((study / "spec.json").read_text())
    assert spec["schema_version"] == 1 and spec["options"]["data"] == str(isic_master)
    assert spec["data"]["images"] == dict(
        zip(("train", "validation", "test"), COUNTS.values(), strict=True)
    )
    assert {"torch", "ray", "optuna", "python"} <= set(spec["versions"])
    assert len(spec["data"]["fingerprint"]) == 64


@pytest.mark.soak
def test_a_finished_study_resumes_with_a_larger_budget_and_refuses_other_questions(finished, cache):
    study, _ = finished
    before = pd.read_parquet(study / "trials").set_index("trial_id")["ended_at"]
    for question in (["--epochs", 3], ["--trials", 1], ["--data", "synthetic"], ["--seed", 5]):
        refused = search(cache, "--study", study, "--resume", *question)
        assert_one_line_error(refused, question[0], str(question[1]))
    result = search(cache, "--study", study, "--resume", "--seeds", 3)
    assert result.returncode == 0, result.stderr
    after = pd.read_parquet(study / "trials").set_index("trial_id")["ended_at"]
    assert len(after) == len(before) + len(VARIANTS)
    assert (after[before.index] == before).all(), "nothing finished is run twice"

    again = search(cache, "--study", study, "--resume", "--trials", 5, "--confirm-again")
    assert again.returncode == 0, again.stderr
    trials = pd.read_parquet(study / "trials")
    assert (trials[trials["stage"] == "search"].groupby("arm").size() == 5).all()
    reopened = trials[trials["confirmation"] == 2].groupby("arm").size()
    assert set(reopened) <= {3}
    for arm in reopened.index:
        kept = {path.name for path in (study / "models" / arm).iterdir()}
        assert {"seed-1", "seed-1-confirmation-2"} <= kept, "the first models stay"
        said = f"{arm}: the test set was opened 2 times"
        assert said in " ".join(again.stdout.split())
        assert said in (study / "report" / "ablation.md").read_text()
    log = [json.loads(line) for line in (study / "test-set.jsonl").read_text().splitlines()]
    confirms = trials[trials["stage"] == "confirm"]
    assert sorted(line["trial_id"] for line in log) == sorted(confirms["trial_id"])
    assert all("confirms the best of" in line["reason"] and line["time"] for line in log)
    spec = json.loads((study / "spec.json").read_text())
    assert len(spec["runs"]) == 3 and all(0 < run["busy"] <= 1 for run in spec["runs"])
    assert {arm: spent["trials"] for arm, spent in spec["spent"].items()} == (
        trials.groupby("arm").size().to_dict()
    )
    assert_one_line_error(search(cache, "--confirm-again"), "--confirm-again", "--resume")


@pytest.mark.slow
def test_a_killed_study_resumes_to_the_trials_of_an_undisturbed_one(isic_master, cache, tmp_path):
    study = tmp_path / "study"
    process = start_search(cache, "--data", isic_master, "--study", study, *SMALL)
    wait_for_trials(study, 5, process)
    process.kill()
    process.communicate()
    kept = {path: path.read_bytes() for path in (study / "trials").glob("*.parquet")}
    looked = run_module("tuning.status", study, cache=cache)
    assert looked.returncode == 0 and "stopped; go on with --resume" in looked.stdout
    ended = {path.stem for path in kept}
    for begun in Unfinished(study).all():
        line = f"{begun.trial.trial_id}: {begun.epochs} of 2 epochs"
        assert (line in looked.stdout) == (begun.trial.trial_id not in ended)

    result = search(cache, "--study", study, "--resume")
    assert result.returncode == 0, result.stderr
    assert trial_ids(study) == EXPECTED_IDS
    assert all(path.read_bytes() == content for path, content in kept.items())
    assert not any((study / "running").iterdir())


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(isic_master, cache, tmp_path):
    study = tmp_path / "study"
    process = start_search(cache, "--data", isic_master, "--study", study, *SMALL)
    done = wait_for_trials(study, 3, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, (output, errors)
    assert f"--study {study} --resume" in output.replace("\n", "") and "Traceback" not in errors
    assert done <= set(trial_ids(study))


LONG = [
    "--variants",
    "baseline",
    "concat-fusion",
    "--epochs",
    "50",
    "--trials",
    "1",
    "--seeds",
    "1",
    "--scheduler",
    "none",
]


def wait_for_epochs(study: Path, epochs: int, process: subprocess.Popen) -> list[str]:
    """Wait until every slot runs a trial that has done so many epochs, and name these."""
    for _ in range(1200):
        begun = [one for one in Unfinished(study).all() if one.epochs >= epochs]
        if len(begun) == 2:
            return [one.trial.trial_id for one in begun]
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError("no two trials at work within a minute")


def descendants(pid: int, *names: str) -> list[int]:
    """Processes that `pid` has started, however indirectly, with one of the names."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if any(name in command for name in names) and pid in ancestors(int(folder.name)):
                found.append(int(folder.name))
    return found


def ancestors(pid: int) -> list[int]:
    found = []
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        found.append(pid)
    return found


@pytest.mark.soak
def test_a_trial_of_a_killed_worker_goes_on_from_its_last_epoch(isic_master, cache, tmp_path):
    study = tmp_path / "study"
    process = start_search(cache, "--data", isic_master, "--study", study, *SMALL, *LONG)
    names = wait_for_epochs(study, 3, process)
    before = {name: load_checkpoint(study / "running" / f"{name}.pt").epochs for name in names}
    workers = descendants(process.pid, "ray::ResourceTrainable", "ray::TrialWorker")
    assert len(workers) == 2
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    second = search(cache, "--data", isic_master, "--study", study, *SMALL, *LONG)
    assert_one_line_error(second, str(study), f"held by process {process.pid} on", "wait")
    assert_one_line_error(search(cache, "--study", study, "--resume"), f"process {process.pid}")
    looked = run_module("tuning.status", study, cache=cache)
    assert looked.returncode == 0 and f"runs: process {process.pid}" in looked.stdout

    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    trials = pd.read_parquet(study / "trials").set_index("trial_id")
    epochs = pd.read_parquet(study / "epochs")
    assert len(trials) == 4 and set(trials["status"]) == {"completed"}
    for name, done in before.items():
        # The second, where Ray on a busy machine has not heard yet how the worker ended.
        assert trials.loc[name, ["crashes", "preemptions"]].sum() == 1
        rows = epochs[epochs["trial_id"] == name].sort_values("epoch")
        assert list(rows["epoch"]) == list(range(1, 51))
        # Trained once only: even the times are those of before.
        assert list(rows["seconds"][: len(done)]) == [epoch.seconds for epoch in done]
    assert not any((study / "running").iterdir())


@pytest.mark.slow
def test_a_trial_that_always_crashes_fails_with_its_error_and_the_rest_goes_on(
    isic_master, cache, tmp_path
):
    # A batch of one image, whose map is one cell, is too little for batch normalisation.
    space = tmp_path / "space.toml"
    space.write_text(
        '[batch_size]\ntype = "choice"\nchoices = [1]\ndefault = 1\nvariants = ["baseline"]\n'
    )
    study = tmp_path / "study"
    result = search(
        cache, "--data", isic_master, "--study", study, *SMALL, "--space", space,
        "--variants", "baseline", "global-only", "--trials", 1,
    )  # fmt: skip
    assert result.returncode == 1, result.stderr
    assert "baseline/test_resnet: 1 search" in result.stderr and "failed" in result.stderr
    trials = pd.read_parquet(study / "trials").set_index("arm")
    failed = trials.loc["baseline/test_resnet"]
    assert (failed["status"], failed["crashes"]) == ("failed", 3)
    assert "Expected more than 1 value per channel" in failed["error"]
    others = trials.loc["global-only/test_resnet"]
    assert len(others) == 3 and set(others["status"]) == {"completed"}


@pytest.mark.soak
def test_one_seed_and_one_slot_give_the_same_figures_twice(isic_master, cache, tmp_path):
    def figures(name: str) -> list[pd.DataFrame]:
        study = tmp_path / name
        result = search(
            cache, "--data", isic_master, "--study", study, *SMALL, "--cpus-per-trial", 2,
            "--variants", "global-only", "gated-fusion", "--epochs", 3, "--trials", 3,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        assert "1 at once" in result.stdout
        timing = ["started_at", "ended_at", "seconds", "images_per_second", "peak_memory_mb"]
        return [
            pd.read_parquet(study / kind).drop(columns=timing, errors="ignore")
            for kind in ("trials", "epochs", "predictions")
        ]

    for first, second in zip(figures("first"), figures("second"), strict=True):
        pd.testing.assert_frame_equal(first, second, check_exact=True)


@pytest.mark.soak
def test_folds_and_leaks_are_recorded_kept_to_and_judge_the_search(isic_folder, cache, tmp_path):
    train, validation, test = (
        isic_folder / f"{prefix}_Data" for prefix in COUNTS
    )  # a training image as a validation image, and a validation image as a test image
    (validation / "ISIC_0000029.jpg").write_bytes((train / "ISIC_0000005.jpg").read_bytes())
    (test / "ISIC_0000041.jpg").write_bytes((validation / "ISIC_0000030.jpg").read_bytes())
    study = tmp_path / "study"
    options = ["--variants", "concat-fusion", "--validation", "cv5", "--drop-leaks"]
    result = search(cache, "--data", isic_folder, "--study", study, *SMALL, *options)
    assert result.returncode == 0, result.stderr
    spec = json.loads((study / "spec.json").read_text())
    assert spec["data"]["left_out"] == {
        "ISIC_0000005": ["ISIC_0000029"],
        "ISIC_0000030": ["ISIC_0000041"],
    }
    folds = pd.read_csv(study / "folds.csv").set_index("image_id")["fold"]
    assert len(folds) == 34 and set(folds) == set(range(5))
    assert "ISIC_0000005" not in folds and "ISIC_0000030" not in folds
    records = {r.image_id: r for r in find_source(str(isic_folder)).records}
    melanomas = folds.groupby(folds).apply(lambda f: sum(records[i].label for i in f.index))
    assert melanomas.max() - melanomas.min() <= 1

    trials = pd.read_parquet(study / "trials").set_index("trial_id")
    predictions = pd.read_parquet(study / "predictions")
    for name, made in predictions[predictions["stage"] == "search"].groupby("trial_id"):
        assert set(made["image_id"]) == set(folds.index) and set(made["split"]) == {"validation"}
        aucs = [
            roc_auc_score(of_fold["label"], of_fold["score"])
            for _, of_fold in made.groupby(folds.loc[made["image_id"]].to_numpy())
        ]
        assert trials.loc[name, "val_auc"] == pytest.approx(np.mean(aucs), abs=1e-12)
    confirmed = predictions[(predictions["stage"] == "confirm")]
    assert (confirmed.groupby(["trial_id", "split"]).size() == 12).all()


def start_resumed(cache: Path, study: Path, *arguments: object) -> subprocess.Popen:
    begun = (study / "spec.json").exists()
    return start_search(cache, "--study", study, *(["--resume"] if begun else arguments))


@pytest.mark.soak
def test_ten_kills_of_the_driver_at_random_moments_lose_and_repeat_nothing(
    isic_master, cache, tmp_path
):
    study = tmp_path / "study"
    arguments = ["--data", isic_master, *SMALL, "--epochs", 12]
    draws = random.Random(5)
    ended: dict[str, bytes] = {}
    for _ in range(10):
        process = start_resumed(cache, study, *arguments)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(draws.uniform(5, 16))
        process.kill()
        process.communicate()
        for path in (study / "trials").glob("*.parquet"):
            content = path.read_bytes()
            assert ended.setdefault(path.stem, content) == content, "nothing finished is repeated"
    process = start_resumed(cache, study, *arguments)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    trials = pd.read_parquet(study / "trials").set_index("trial_id")
    assert sorted(trials.index) == EXPECTED_IDS
    assert all((study / "trials" / f"{name}.parquet").read_bytes() == ended[name] for name in ended)
    epochs = pd.read_parquet(study / "epochs")
    assert not epochs.duplicated(["trial_id", "epoch"]).any()
    assert (epochs.groupby("trial_id")["epoch"].max() == trials["epochs"]).all()
    assert (epochs.groupby("trial_id").size() == trials["epochs"]).all()


@pytest.mark.soak
@pytest.mark.parametrize("stopped_by", ["raylet/raylet", "gcs/gcs_server", "Ctrl-C"])
def test_when_ray_itself_dies_or_is_stopped_the_study_goes_on_where_it_was(
    isic_master, cache, tmp_path, stopped_by
):
    study = tmp_path / "study"
    # A worker works on without Ray: its trial must be longer than Ray takes to miss a process.
    slow = ["--image-size", 128, "--source-size", 128, "--epochs", 100]
    process = start_search(cache, "--data", isic_master, "--study", study, *SMALL, *LONG, *slow)
    wait_for_epochs(study, 3, process)
    if stopped_by == "Ctrl-C":
        os.killpg(process.pid, signal.SIGINT)
    else:
        (killed,) = descendants(process.pid, f"/ray/core/src/ray/{stopped_by}")
        os.kill(killed, signal.SIGKILL)
    output, _ = process.communicate(timeout=180)
    assert process.returncode == (130 if stopped_by == "Ctrl-C" else 1)
    if stopped_by.startswith("raylet"):
        assert "Ray has died" in output and "--resume" in output
    ended = {path: path.read_bytes() for path in (study / "trials").glob("*.parquet")}
    before = {one.trial.trial_id: one.epochs for one in Unfinished(study).all()}
    assert before, "some trial was cut off"
    seconds = {
        name: [epoch.seconds for epoch in load_checkpoint(study / "running" / f"{name}.pt").epochs]
        for name in before
    }
    result = search(cache, "--study", study, "--resume")
    assert result.returncode == 0, result.stderr
    assert all(path.read_bytes() == content for path, content in ended.items())
    epochs = pd.read_parquet(study / "epochs")
    for name, done in seconds.items():
        assert len(done) >= 3
        rows = epochs[epochs["trial_id"] == name].sort_values("epoch")
        assert list(rows["epoch"]) == list(range(1, 101))
        assert list(rows["seconds"][: len(done)]) == done


@pytest.mark.slow
def test_bad_input_is_one_line_and_writes_nothing(isic_folder, tmp_path, monkeypatch, capsys):
    from tuning.search import main

    monkeypatch.setenv("MASLL_CACHE", str(tmp_path / "cache"))
    study = tmp_path / "study"

    def refused(*arguments: object, words: list[str]) -> None:
        with pytest.raises((InputError, SystemExit)) as caught:
            main([*SMALL, "--study", *map(str, [study, *arguments])])
        said = capsys.readouterr().err
        if isinstance(caught.value, InputError):
            assert said == ""
            said = f"{caught.value}\n"
        assert said.count("\n") == 1 and all(word in said for word in words), said
        assert not study.exists()

    as_a_command = search(tmp_path / "cache", *SMALL, "--study", study, "--data", "nowhere")
    assert_one_line_error(as_a_command, "nowhere")

    table = isic_folder / "ISIC-2017_Training_Part3_GroundTruth.csv"
    refused("--data", tmp_path / "nowhere", words=["nowhere"])
    refused("--variants", "gated_fusion", words=["gated_fusion", "did you mean 'gated-fusion'"])
    refused("--backbones", "resnet_18", words=["resnet_18", "did you mean"])
    refused("--varaints", "baseline", words=["--varaints", "did you mean '--variants'"])
    refused("--source-size", 16, words=["--source-size 16", "--image-size 32"])
    refused("--time-budget", "soon", words=["soon", "90m"])
    refused("--image-size", 8, words=["image size 8"])
    refused("--seed", -1, words=["seed", "-1"])
    refused("--backbones", "efficientformer_l1", words=["efficientformer_l1", "no map"])
    refused("--cpus-per-trial", 4096, words=["--cpus-per-trial 4096"])
    refused("--address", "127.0.0.1:1", words=["--address 127.0.0.1:1", "refused", "host:port"])
    refused("--address", "somewhere", words=["--address somewhere", "host:port"])
    (tmp_path / "file").write_text("")
    refused("--study", tmp_path / "file", words=["is a file"])
    refused("--study", tmp_path / "file" / "x", words=["Not a directory"])
    image = isic_folder / "ISIC-2017_Validation_Data" / "ISIC_0000030.jpg"
    content = image.read_bytes()
    image.write_bytes(content[:500])
    refused("--data", isic_folder, words=["ISIC_0000030.jpg"])
    image.write_bytes(content)
    table.write_text(table.read_text().replace("melanoma", "malignant"))
    refused("--data", isic_folder, words=[table.name, "'melanoma'"])
    table.unlink()
    refused("--data", isic_folder, words=[table.name])


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without GPUs")
def test_gpus_that_are_not_there_are_refused_at_once(tmp_path):
    result = search(tmp_path, "--num-gpus", 8, "--study", tmp_path / "study")
    assert_one_line_error(result, "--num-gpus 8", "0 GPUs", "leave the option out", "--address")
    assert not (tmp_path / "study").exists()


@pytest.mark.slow
def test_a_dry_run_shows_the_plan_and_writes_no_study(isic_master, cache, tmp_path):
    study = tmp_path / "study"
    result = search(cache, "--data", isic_master, "--study", study, *SMALL, "--dry-run")
    assert result.returncode == 0 and not study.exists()
    assert "5 arms, 10 search and 10 confirm trials" in result.stdout
    assert "threshold_scale 0.5 to 2" in " ".join(result.stdout.replace("│", " ").split())


@pytest.mark.slow
def test_a_folder_with_a_study_in_it_is_not_written_into(finished, cache, isic_master):
    study, _ = finished
    result = search(cache, "--data", isic_master, "--study", study, *SMALL)
    assert_one_line_error(result, str(study), "--resume")
    assert_one_line_error(search(cache, "--resume"), "--study")
    assert_one_line_error(search(cache, "--study", study / "x", "--resume"), "no study in")
