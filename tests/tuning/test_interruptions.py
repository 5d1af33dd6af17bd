"""Kills, crashes, Ctrl-C: nothing finished is lost or run twice; what was cut off goes on."""

import contextlib
import os
import random
import re
import signal
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from masll.common.storage import LocalPath
from tests.support import assert_one_line_error, run_module
from tests.tuning.searches import (
    EXPECTED_IDS,
    LONG,
    SMALL,
    descendants,
    search,
    start_search,
    trial_ids,
    unfinished,
    wait_for_epochs,
    wait_for_trials,
)
from tuning.checkpoints import Checkpoint, load_checkpoint
from tuning.study.folder import StudyFolder

HUNGRY = """
import torch

class Fusion(torch.nn.Module):
    def __init__(self, channels):
        super().__init__()

    def forward(self, features, gate=None):
        if self.training:
            torch.empty(9 * 10**12)  # 36 TB, which no machine has
        return features, None
"""


def checkpoint_of(study: Path, trial_id: str) -> Checkpoint | None:
    return load_checkpoint(StudyFolder(LocalPath(study)), trial_id)


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
    for begun in unfinished(study):
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
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 130, (output, errors)
    assert f"--study {study} --resume" in output.replace("\n", "") and "Traceback" not in errors
    assert done <= set(trial_ids(study))


@pytest.mark.slow
def test_kill_timeout_and_slurm_end_a_search_as_ctrl_c_does(isic_master, cache, tmp_path):
    study = tmp_path / "study"
    process = start_search(cache, "--data", isic_master, "--study", study, *SMALL)
    wait_for_trials(study, 1, process)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 130, (output, errors)
    assert f"--study {study} --resume" in output.replace("\n", "")
    assert "SIGTERM" not in output + errors and "Traceback" not in errors


@pytest.mark.soak
def test_a_trial_of_a_killed_worker_goes_on_from_its_last_checkpoint(isic_master, cache, tmp_path):
    study = tmp_path / "study"
    process = start_search(cache, "--data", isic_master, "--study", study, *SMALL, *LONG)
    names = wait_for_epochs(study, 3, process)
    before = {name: checkpoint_of(study, name).epochs for name in names}
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
    part = tmp_path / "hungry.py"
    part.write_text(HUNGRY)
    study = tmp_path / "study"
    result = search(
        cache,
        "--data",
        isic_master,
        "--study",
        study,
        *SMALL,
        "--variant-from",
        part,
        "--variants",
        "gated-fusion",
        "--trials",
        1,
    )
    assert result.returncode == 1, result.stderr
    assert "hungry/test_resnet: 1 search" in result.stderr and "failed" in result.stderr
    trials = pd.read_parquet(study / "trials").set_index("arm")
    failed = trials.loc["hungry/test_resnet"]
    assert (failed["status"], failed["crashes"]) == ("failed", 3)
    assert "memory" in failed["error"]
    others = trials.loc["gated-fusion/test_resnet"]
    assert len(others) == 3 and set(others["status"]) == {"completed"}
    kept = {path: path.read_bytes() for path in (study / "trials").glob("*")}
    again = search(cache, "--study", study, "--resume", "--retry-failed", "--variant-from", part)
    assert_ends_hopeless(again, "memory")  # nothing else is left that could show that others work
    assert all(path.read_bytes() == content for path, content in kept.items())
    assert_one_line_error(search(cache, "--retry-failed"), "--retry-failed", "--resume")


def assert_ends_hopeless(result: subprocess.CompletedProcess, error: str) -> None:
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: every trial crashed before its first epoch: "), result.stderr
    assert error in last and "--resume" in last and "Traceback" not in result.stderr


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
def test_a_killed_search_leaves_no_process_and_no_folder_behind_the_next_one(
    isic_master, cache, tmp_path
):
    study = tmp_path / "study"
    asked = [*SMALL, *LONG, "--epochs", 30]
    process = start_search(cache, "--data", isic_master, "--study", study, *asked)
    wait_for_epochs(study, 3, process)
    (gcs,) = descendants(process.pid, "gcs/gcs_server")
    command = Path(f"/proc/{gcs}/cmdline").read_text()
    folder = Path(re.search(r"--log_dir=([^\0]*?/masll-ray-[^/\0]*)/", command)[1])
    started = [gcs, *descendants(process.pid, "ray::", str(folder))]
    assert len(started) >= 5 and folder.is_dir()
    process.kill()
    process.communicate()
    result = search(cache, "--study", study, "--resume")
    assert result.returncode == 0, result.stderr
    assert not folder.exists()
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]


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
    output, _ = process.communicate(timeout=400)
    assert process.returncode == (130 if stopped_by == "Ctrl-C" else 1)
    if stopped_by != "Ctrl-C":
        assert "Ray has died" in output and "--resume" in output
    ended = {path: path.read_bytes() for path in (study / "trials").glob("*.parquet")}
    before = {one.trial.trial_id: one.epochs for one in unfinished(study)}
    assert before, "some trial was cut off"
    seconds = {
        name: [epoch.seconds for epoch in checkpoint_of(study, name).epochs] for name in before
    }
    result = search(cache, "--study", study, "--resume")
    assert result.returncode == 0, result.stderr
    assert all(path.read_bytes() == content for path, content in ended.items())
    epochs = pd.read_parquet(study / "epochs")
    for name, done in seconds.items():
        assert done, "the first epoch leaves a checkpoint, others as often as that pays"
        rows = epochs[epochs["trial_id"] == name].sort_values("epoch")
        assert list(rows["epoch"]) == list(range(1, 101))
        assert list(rows["seconds"][: len(done)]) == done
