"""A study that lies on S3, with its data there too: the same command, the same trials."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from ablations import report
from masll import InputError, load_model, predict
from masll.common.storage import any_path
from masll.common.storage.s3 import file_system
from tests.support import ROOT, TINY_BACKBONE, assert_one_line_error
from tests.tuning.searches import TENTHS
from tuning import search, status
from tuning.images import StudyImages, read_images, write_folds
from tuning.study.folder import StudyFolder
from tuning.study.lock import holder
from tuning.study.spec import DataRecord, Spec
from tuning.study.unfinished import UnfinishedTrials

VARIANTS = ("baseline", "gated-fusion")
SMALL = (
    f"--backbones {TINY_BACKBONE} --no-pretrained --image-size 32 --source-size 48 --trials 2 "
    f"--epochs 3 --seeds 2 --batch-size 8 --num-gpus 0 --scheduler none --variants {VARIANTS[0]} "
    f"{VARIANTS[1]}"
).split()
EXPECTED_IDS = sorted(
    f"{variant}.{TINY_BACKBONE}.{stage}.{number:04d}"
    for variant in VARIANTS
    for stage in ("search", "confirm")
    for number in range(2)
)


class Machine:
    """A working directory and a cache of its own; what it shares with another is S3 alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.environment = {
            **os.environ,
            "MASLL_CACHE": str(folder / "cache"),
            "PYTHONPATH": str(ROOT),
        }

    def start(self, module: str, *arguments: object) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @contextlib.contextmanager
    def search(self, *arguments: object) -> Iterator[subprocess.Popen]:
        """A search that does not outlive the test."""
        process = self.start("tuning.search", *arguments)
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def run(self, module: str, *arguments: object) -> subprocess.CompletedProcess:
        process = self.start(module, *arguments)
        output, errors = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def wait_for_trials(study, count: int, process: subprocess.Popen) -> list[str]:
    for _ in range(TENTHS):
        done = [path.stem for path in (study / "trials").glob("*.parquet")]
        if len(done) >= count:
            return done
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError(f"no {count} trials in ten minutes")


@pytest.mark.soak
def test_a_study_on_s3_killed_and_resumed_elsewhere_ends_like_an_undisturbed_one(
    s3, isic_master, tmp_path, capsys
):
    s3.make_bucket("lab")
    s3.put_folder(isic_master, "lab/isic")
    study = any_path("s3://lab/studies/small")
    first, second = Machine(tmp_path / "first"), Machine(tmp_path / "second")
    with first.search("--study", study, "--data", "s3://lab/isic", *SMALL) as process:
        wait_for_trials(study, 1, process)
        os.kill(process.pid, signal.SIGSTOP)  # or it might end before the other one looks
        held = second.run("tuning.search", "--study", study, "--resume")
        assert_one_line_error(held, str(study), f"held by process {process.pid} on", "wait")
        os.kill(process.pid, signal.SIGKILL)
    kept = {path: path.read_bytes() for path in (study / "trials").glob("*.parquet")}
    assert 1 <= len(kept) < len(EXPECTED_IDS)
    looked = second.run("tuning.status", study)
    assert looked.returncode == 0 and "stopped; go on with --resume" in looked.stdout
    ended = {path.stem for path in kept}
    for begun in UnfinishedTrials(StudyFolder(study)).all():
        there = begun.trial.trial_id not in ended
        line = f"{begun.trial.trial_id}: {begun.epochs} of 3 epochs"
        assert (line in looked.stdout) == there, "what has ended is not shown as unfinished"

    with second.search("--study", study, "--resume") as process:
        while holder(StudyFolder(study)) is None:
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
        os.kill(process.pid, signal.SIGSTOP)
        following = first.start("tuning.status", study, "--follow")
        assert f"runs: process {process.pid} on" in following.stdout.readline()
        os.kill(process.pid, signal.SIGCONT)
        output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    followed, errors = following.communicate(timeout=300)
    assert following.returncode == 0, errors
    told = [line for line in followed.splitlines() if line.startswith(f"study {study}")]
    assert told[-1].endswith("; done")
    assert all(path.read_bytes() == content for path, content in kept.items())
    trials = pd.concat(
        pd.read_parquet(path.key, filesystem=file_system())
        for path in (study / "trials").glob("*.parquet")
    )
    assert sorted(trials["trial_id"]) == EXPECTED_IDS
    assert set(trials["status"]) == {"completed"} and set(trials["epochs"]) == {3}
    assert f"report  {study}/report" in output

    names = {stored.name for stored in study.listed()}
    assert {"spec.json", "test-set.jsonl", "optuna.journal"} <= names
    assert not [name for name in names if name.startswith("running/") or name == ".lock"]
    lines = (study / "test-set.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["trial_id"] for line in lines) == [
        name for name in EXPECTED_IDS if "confirm" in name
    ]
    assert len(json.loads((study / "spec.json").read_text())["runs"]) == 1, "the killed has none"

    reported = first.run("ablations.report", study)
    assert reported.returncode == 0, reported.stderr
    written = {path.name for path in (study / "report").glob("*")}
    assert {"ablation.md", "ablation.csv", "roc.png", "summary.html", "summary.ipynb"} <= written
    assert str(study) in (study / "report" / "summary.ipynb").read_text()
    model = study / "models" / f"gated-fusion/{TINY_BACKBONE}" / "seed-1"
    assert load_model(str(model)).config.variant == "gated-fusion"
    image = next((isic_master / "ISIC-2017_Test_v2_Data").iterdir())
    assert predict.main(["--model", str(model), str(image)]) == 0
    assert str(image) in capsys.readouterr().out


def test_what_is_wrong_with_the_place_is_told_before_anything_starts(s3, tmp_path, monkeypatch):
    monkeypatch.setenv("MASLL_CACHE", str(tmp_path / "cache"))
    s3.make_bucket("used")
    s3.ask("PUT", "/used/study/notes.txt", b"of somebody")
    for study, words in {
        "s3://nowhere/study": "cannot reach s3://nowhere/study: there is no bucket 'nowhere'",
        "s3://used/study": "s3://used/study is not empty; add --resume",
        "s3://": "'s3://' names no bucket",
    }.items():
        with pytest.raises(InputError, match=words):
            search.main(["--study", study, *SMALL])
    with pytest.raises(InputError, match="no study in 's3://used/none'"):
        status.main(["s3://used/none"])
    with pytest.raises(InputError, match="no study folder 's3://used/none'"):
        report.main(["s3://used/none"])
    with pytest.raises(InputError, match="no data at s3://used/none"):
        search.main(["--study", "s3://used/new", "--data", "s3://used/none", *SMALL])
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    file_system.cache_clear()
    with pytest.raises(InputError, match="s3://used/new: the endpoint is not reachable"):
        search.main(["--study", "s3://used/new", *SMALL])
    assert not list((tmp_path / "cache").glob("isic*")), "no image was prepared for it"


def test_folds_are_read_back_from_either_kind_of_place(s3, tmp_path):
    s3.make_bucket("folds")
    spec = Spec(options={"validation": "cv5"}, data=DataRecord(left_out={"c": ["d"]}))
    images = StudyImages({"c": ["d"]}, {"a": 0, "b, or so": 4}, validation="cv5")
    for folder in map(StudyFolder, (any_path("s3://folds/study"), any_path(tmp_path))):
        write_folds(folder, images)
        assert read_images(folder, spec) == images
