"""A kill at every file operation of the driver, whole, torn, or with the loss of power; full disks.

After each the study is resumed: nothing is lost, nothing is run twice once it has ended, and
test-set.jsonl has each opening once.
"""

import errno
import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from tests.tuning.kill_points import KILLED, run_fork

ARMS = ("baseline", "gated-fusion")
PLANNED = sorted(
    f"{arm}.test_resnet.{stage}.{number:04d}"
    for arm in ARMS
    for stage, numbers in (("search", 2), ("confirm", 1))
    for number in range(numbers)
)
# Every so many of some 850 operations; 1 for all of them, about an hour for each kind of kill.
STEP = int(os.environ.get("KILL_POINTS_STEP", "170"))
CONFIRMED = [name for name in PLANNED if "confirm" in name]


@pytest.fixture
def data(isic_master, cache, monkeypatch) -> Path:
    from masll.data import find_source, open_store

    monkeypatch.setenv("MASLL_CACHE", str(cache))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    open_store(find_source(str(isic_master)), 48, cache=cache)
    return isic_master


@pytest.fixture
def root(tmp_path) -> Path:
    """The folder that the study's folder lies in."""
    (tmp_path / "studies").mkdir()
    return tmp_path / "studies"


def rows(study: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (study / "trials").glob("[!.]*.parquet")}


def faults(root: Path, data: Path) -> list[str]:
    """What is wrong after a resume."""
    study = root / "study"
    before = rows(study)
    status, _, output = run_fork(root, data)
    if status != 0:
        return [f"resume failed: {output.strip()[-300:]}"]
    trials = pd.read_parquet(study / "trials")
    epochs = pd.read_parquet(study / "epochs")
    predictions = pd.read_parquet(study / "predictions")
    lines = [json.loads(line)["trial_id"] for line in (study / "test-set.jsonl").open()]
    tested = predictions[predictions["split"] == "test"]
    models = [study / "models" / arm / "test_resnet" / "seed-1" for arm in ARMS]
    claims = {
        "lost": set(PLANNED) <= set(trials["trial_id"]),
        "doubled": sorted(trials["trial_id"]) == PLANNED
        and not epochs.duplicated(["trial_id", "epoch"]).any()
        and not predictions.duplicated(["trial_id", "split", "image_id"]).any(),
        "cut": (epochs.groupby("trial_id").size() == trials.set_index("trial_id")["epochs"]).all()
        and sorted(tested["trial_id"].unique()) == CONFIRMED,
        "finished rows changed": before.items() <= rows(study).items(),
        "wrong openings": sorted(lines) == CONFIRMED,
        "charged": set(trials["status"]) <= {"completed", "pruned"}
        and trials["crashes"].sum() == 0,
        "models": all((m / "model.safetensors").exists() for m in models)
        and all((m / "config.json").exists() for m in models),
        "left": not list(study.rglob("*.partial")) and not any((study / "running").iterdir()),
    }
    return [name for name, holds in claims.items() if not holds]


def start_afresh(root: Path) -> None:
    shutil.rmtree(root)
    root.mkdir()


def assert_every_kill_is_mended(root: Path, data: Path, how: str, step: int) -> None:
    status, names, output = run_fork(root, data)
    assert status == 0, output
    assert len(names) > 150 and faults(root, data) == []
    wrong: dict[str, list[str]] = {}
    points = range(1, len(names) + 1, step)
    for point in points:
        start_afresh(root)
        status, _, output = run_fork(root, data, point, how)
        assert status == KILLED, (point, output)
        for fault in faults(root, data):
            wrong.setdefault(fault, []).append(f"{point}: {names[point - 1]}")
    counts = Counter({fault.split(":")[0]: len(where) for fault, where in wrong.items()})
    print(f"{how}: {len(points)} points of {len(names)}; faults {dict(counts)}")
    assert not wrong, {fault: where[:5] for fault, where in wrong.items()}


@pytest.mark.soak
@pytest.mark.parametrize("how", ["whole", "torn", "power"])
def test_a_kill_at_some_file_operations_loses_and_doubles_nothing(root, data, how):
    assert_every_kill_is_mended(root, data, how, step=STEP)


@pytest.mark.soak
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_takes_no_more_ends_the_study_in_one_line_and_keeps_what_is_whole(
    root, data, number
):
    _, names, _ = run_fork(root, data)
    for point in range(1, len(names) - 20, 2 * STEP):
        start_afresh(root)
        status, _, output = run_fork(root, data, point, number)
        assert status in (1, 2), output
        errors = [line for line in output.splitlines() if "error:" in line]
        assert len(errors) == 1 and "Traceback" not in output, (names[point - 1], output)
        assert "No space left" in output or "Read-only" in output
        assert faults(root, data) == [], names[point - 1]
