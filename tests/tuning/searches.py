"""Searches as a user runs them, on a small ISIC 2017 folder, and ways to wait for them."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from masll import VARIANTS
from masll.common.storage import LocalPath
from tests.support import ROOT, TINY_BACKBONE, run_module
from tuning.study.folder import StudyFolder
from tuning.study.unfinished import UnfinishedTrial, UnfinishedTrials

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


def unfinished(study: Path) -> list[UnfinishedTrial]:
    return UnfinishedTrials(StudyFolder(LocalPath(study))).all()


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
    for _ in range(6000):
        begun = [one for one in unfinished(study) if one.epochs >= epochs]
        if len(begun) == 2:
            return [one.trial.trial_id for one in begun]
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError("no two trials at work within five minutes")


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
