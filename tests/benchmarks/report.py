"""What a report of a large study costs: seconds and memory of `python -m ablations.report`.

The study has random scores: by default 5 arms of 1,000 search trials with 150 validation
predictions each, and of 10 confirmed models with 600 test predictions each.

    python -m tests.benchmarks.report [--trials 1000] [--seeds 10] [--study FOLDER]
"""

import argparse
import contextlib
import datetime
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from ablations.defaults import FORMATS
from masll.common.storage import LocalPath
from masll.results import EpochResult, Predictions
from masll.variants import VARIANTS, describe
from tuning.options import resolve
from tuning.space import DEFAULT_SPACE
from tuning.specification import what_is_asked
from tuning.study.arm import Arm
from tuning.study.folder import StudyFolder
from tuning.study.rows import TrialRow
from tuning.study.spec import Spec
from tuning.study.trial import Stage, Status, Trial
from tuning.study.writer import RowWriter

EPOCHS = 10
BACKBONE = "resnet18"


def write_study(folder: Path, trials: int, seeds: int) -> None:
    """A finished study whose rows are drawn."""
    asked = {"backbones": (BACKBONE,), "trials": trials, "seeds": seeds, "epochs": EPOCHS}
    options = what_is_asked(resolve(asked))
    arms = tuple(Arm(variant, BACKBONE) for variant in VARIANTS)
    study = StudyFolder(LocalPath(folder))
    Spec(arms, options, DEFAULT_SPACE).write(study)
    rows, rng = RowWriter(study, DEFAULT_SPACE), np.random.default_rng(0)
    for variant in VARIANTS:
        for number in range(trials):
            _write_trial(rows, rng, variant, Stage.SEARCH, number)
        for number in range(seeds):
            _write_trial(rows, rng, variant, Stage.CONFIRM, number)


def _write_trial(
    rows: RowWriter, rng: np.random.Generator, variant: str, stage: Stage, number: int
) -> None:
    localizes = describe(variant).localizes
    epochs = EPOCHS if stage == Stage.CONFIRM else int(rng.choice([1, 3, EPOCHS]))
    made = [_predictions(rng, "validation", 150, 30, localizes)]
    if stage == Stage.CONFIRM:
        made.append(_predictions(rng, "test", 600, 117, localizes))
    auc, box = made[0].metrics()["auc"], 0.5 if localizes else None
    now = datetime.datetime.now(datetime.UTC)
    params = {"lr": 10 ** rng.uniform(-4, -1)}
    if localizes:
        params["threshold_scale"] = rng.uniform(0.5, 2)
    row = TrialRow.of(
        Trial(Arm(variant, BACKBONE), stage, number, number + 1, params),
        Status.COMPLETED if epochs == EPOCHS else Status.PRUNED,
        epochs=epochs,
        best_epoch=epochs,
        val_auc=auc,
        test_auc=made[-1].metrics()["auc"] if stage == Stage.CONFIRM else None,
        started_at=now,
        ended_at=now,
        seconds=60.0,
        gpus=1.0,
    )
    curve = [
        EpochResult(epoch, 0.01, 0.6, 0.6, auc, box, box, None, None, None, None, 1.0)
        for epoch in range(1, epochs + 1)
    ]
    rows.write(row, curve, made)


def _predictions(
    rng: np.random.Generator, split: str, images: int, positives: int, localizes: bool
) -> Predictions:
    labels = (np.arange(images) < positives).astype(np.int64)
    scores = 1 / (1 + np.exp(1 - 1.2 * labels - rng.normal(size=images)))
    corners = rng.uniform(0, 0.5, (images, 4)) + np.array([0, 0, 0.5, 0.5])
    ids = tuple(f"{split}-{i:04d}" for i in range(images))
    return Predictions(split, ids, labels, scores, corners if localizes else None)


def measured(command: list[str]) -> str:
    """Exit status, seconds, and peak resident memory of the command with all its children.

    Seconds of processors too: a busy machine makes the others longer.
    """
    started, peak, used = time.perf_counter(), 0, _processor_seconds()
    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            tree = [process, *process.children(recursive=True)]
            peak = max(peak, sum(each.memory_info().rss for each in tree))
        time.sleep(0.1)
    seconds = time.perf_counter() - started
    return (
        f"exit {process.returncode}, {seconds:.1f} s, {_processor_seconds() - used:.1f} s of "
        f"processors, at most {peak / 1e9:.2f} GB"
    )


def _processor_seconds() -> float:
    """Of all children that have ended, and theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=shape)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--study", type=Path, help="keep the study in this folder, or use it again")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.study or Path(scratch) / "study"
        if not folder.exists():
            write_study(folder, asked.trials, asked.seeds)
        for formats in (["csv"], list(FORMATS)):
            command = [sys.executable, "-m", "ablations.report", str(folder), "--format", *formats]
            print(f"{' '.join(formats)}: {measured(command)}")


if __name__ == "__main__":
    main()
