"""The command itself: real Ray, real files, real Parquet, on a small ISIC 2017 folder."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from sklearn.metrics import roc_auc_score

from masll import VARIANTS, InputError, load_model
from masll.data import find_source
from tests.support import COUNTS, TINY_BACKBONE, assert_one_line_error
from tests.tuning.searches import (
    EXPECTED_IDS,
    SMALL,
    search,
    trial_ids,
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
        (predictions["split"] == "test")
        & (predictions["seed"] == 1)
        & (predictions["arm"] == f"gated-fusion/{TINY_BACKBONE}")
    ].iloc[3]
    source = find_source(str(isic_master))
    record = next(r for r in source.records if r.image_id == row["image_id"])
    pixels = torch.from_numpy(source.read(record, 48).image.copy()).permute(2, 0, 1)[None] / 255
    mean, std = (
        torch.tensor(values).view(3, 1, 1) for values in (model.inputs.mean, model.inputs.std)
    )
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


@pytest.mark.slow
def test_a_study_goes_on_from_its_rows_alone_with_its_images_elsewhere_and_no_others(
    finished, isic_master, cache, tmp_path
):
    study, _ = finished
    moved, images = tmp_path / "moved", tmp_path / "images elsewhere"
    kept = ("trials", "epochs", "predictions", "spec.json", "test-set.jsonl")
    shutil.copytree(study, moved, ignore=lambda folder, _: _others(study, folder, kept))
    shutil.copytree(isic_master, images)
    arguments = ["--study", moved, "--resume", "--seeds", 3, "--data", images]
    result = search(cache, *arguments)
    assert result.returncode == 0, result.stderr
    trials = pd.read_parquet(moved / "trials")
    assert len(trials) == len(EXPECTED_IDS) + len(VARIANTS)
    assert json.loads((moved / "spec.json").read_text())["options"]["data"] == str(images)
    labels = images / "ISIC-2017_Validation_Part3_GroundTruth.csv"
    labels.write_text(labels.read_text().replace("1.0", "0.0", 1))
    refused = search(cache, *arguments)
    assert refused.returncode == 2
    last = refused.stderr.splitlines()[-1]  # after what is said of a partial folder
    assert last.startswith(f"error: the images in '{images}' are not those") and "--data" in last


def _others(study, folder: str, kept: tuple[str, ...]) -> list[str]:
    """What lies right in the study folder and is not kept."""
    here = [path.name for path in Path(folder).iterdir()]
    return [name for name in here if name not in kept] if Path(folder) == study else []


@pytest.mark.soak
def test_a_finished_study_resumes_with_a_larger_budget_and_refuses_other_questions(finished, cache):
    study, _ = finished
    before = pd.read_parquet(study / "trials").set_index("trial_id")["ended_at"]
    for question in (["--epochs", 3], ["--trials", 1], ["--fit", "pad"], ["--seed", 5]):
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


@pytest.mark.soak
def test_one_seed_and_one_slot_give_the_same_figures_twice(isic_master, cache, tmp_path):
    def figures(name: str) -> list[pd.DataFrame]:
        study = tmp_path / name
        result = search(
            cache,
            "--data",
            isic_master,
            "--study",
            study,
            *SMALL,
            "--cpus-per-trial",
            2,
            "--variants",
            "global-only",
            "gated-fusion",
            "--epochs",
            3,
            "--trials",
            3,
        )
        assert result.returncode == 0, result.stderr
        assert "1 at once" in result.stdout
        measured = {"started_at", "ended_at", "seconds", "milliseconds"}
        measured |= {"images_per_second", "peak_memory_mb"}
        return [
            pd.read_parquet(study / kind).drop(columns=measured, errors="ignore")
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
    refused("--source-size", 16, words=["source size", "from 32", "16"])
    refused("--source-size", 32, "--image-size", 48, words=["--source-size 32", "--image-size 48"])
    refused("--time-budget", "soon", words=["soon", "90m"])
    refused("--image-size", 8, words=["image size", "from 32", "8"])
    refused("--seed", -1, words=["seed", "-1"])
    refused(
        "--in-process", "--backbones", "efficientformer_l1", words=["efficientformer_l1", "no map"]
    )
    refused("--cpus-per-trial", 4096, words=["cpus per trial", "to 1024", "4096"])
    refused("--cpus-per-trial", 1000, words=["--cpus-per-trial 1000"])
    refused("--address", "127.0.0.1:1", words=["--address 127.0.0.1:1", "refused", "host:port"])
    refused("--address", "somewhere", words=["--address somewhere", "host:port"])
    (tmp_path / "file").write_text("")
    refused("--weights", tmp_path / "file", words=["--weights", "write it as BACKBONE=FILE"])
    refused("--weights", f"resnet18={tmp_path}/file", words=["--weights resnet18: no backbone"])
    of_it = f"{TINY_BACKBONE}={tmp_path}/file"
    pretrained = ("--in-process", "--pretrained", "--weights")
    refused(*pretrained, of_it, words=["cannot read weights", f"{tmp_path}/file"])
    other = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"conv1.weight": torch.zeros(2)}, other)
    of_it = f"{TINY_BACKBONE}={other}"
    refused(*pretrained, of_it, words=["other.safetensors", "0 of the", TINY_BACKBONE])
    refused("--study", tmp_path / "file", words=["is a file"])
    refused("--study", tmp_path / "file" / "x", words=["below a file"])
    image = isic_folder / "ISIC-2017_Validation_Data" / "ISIC_0000030.jpg"
    content = image.read_bytes()
    image.write_bytes(content[:500])
    refused("--in-process", "--data", isic_folder, words=["ISIC_0000030.jpg"])
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
    printed = " ".join(result.stdout.replace("│", " ").split())
    assert "threshold_scale 0.5 to 2" in printed
    assert "finds four times in five, with 2 seeds and 12 test images, 3 melanoma" in printed
    assert "the whole of MASLL" in printed and "Assumed: AUC 0.800" in printed


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without GPUs")
def test_a_dry_run_of_the_paper_needs_no_gpu_no_weights_and_no_network(
    isic_master, cache, tmp_path
):
    study = tmp_path / "study"
    asked = ["--preset", "paper", "--num-gpus", 8, "--gpus-per-trial", 0.25, "--dry-run"]
    small = ["--image-size", 32, "--source-size", 48]  # of stored images, beside which all is as is
    result = search(cache, "--data", isic_master, "--study", study, *asked, *small)
    assert result.returncode == 0 and not study.exists(), result.stderr
    printed = " ".join(result.stdout.split())
    assert "300 search and 100 confirm trials, at most 100 epochs each" in printed
    assert "32 at once, each with 0.25 GPU and" in printed
    assert "optimizer sgd, weight_decay 0.0001, schedule cosine" in printed
    assert "no ImageNet weights for resnet101" in printed, "and says that they are missing here"
    assert "how long it takes is not known here" in printed


@pytest.mark.slow
def test_a_folder_with_a_study_in_it_is_not_written_into(finished, cache, isic_master):
    study, _ = finished
    result = search(cache, "--data", isic_master, "--study", study, *SMALL)
    assert_one_line_error(result, str(study), "--resume")
    assert_one_line_error(search(cache, "--resume"), "--study")
    assert_one_line_error(search(cache, "--study", study / "x", "--resume"), "no study in")
