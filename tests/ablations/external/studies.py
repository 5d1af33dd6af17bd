"""A study of confirmed models, trained on a small ISIC 2017 folder as a search does it."""

import datetime
import json
from pathlib import Path

from masll.common.storage import LocalPath
from masll.data.options import DataOptions
from masll.data.prepare import prepare
from masll.data.store import ImageStore
from tests.support import TINY_BACKBONE
from tuning.images import StudyImages
from tuning.job import Job
from tuning.recipe import Recipe
from tuning.study.arm import Arm
from tuning.study.folder import StudyFolder
from tuning.study.rows import TrialRow
from tuning.study.trial import Stage, Status, Trial
from tuning.study.writer import RowWriter
from tuning.trial_report import Node
from tuning.trial_run import TrialRun

ARMS = (Arm("baseline", TINY_BACKBONE), Arm("gated-fusion", TINY_BACKBONE))
SEEDS = (1, 2)
_NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def confirm_arms(study: Path, isic: Path, cache: Path) -> None:
    """Confirm ARMS with SEEDS into a study folder."""
    data = DataOptions(data=str(isic), partial=True)
    store = prepare(data, 48, cache)
    fixed = {"optimizer": "adamw", "weight_average": 0.9}
    recipe = Recipe(1, 8, 32, 48, pretrained=False, fixed=fixed)
    job = Job(str(store.folder), None, data, store.index["fingerprint"], str(study), recipe, 1)
    for arm in ARMS:
        for number, seed in enumerate(SEEDS):
            _confirm(job, Trial(arm, Stage.CONFIRM, number, seed, {}), store)
    spec = {
        "arms": [str(arm) for arm in ARMS],
        "options": {"data": str(isic), "partial": True, "seeds": len(SEEDS)},
        "data": {"source": "isic2017", "fingerprint": store.index["fingerprint"]},
    }
    (study / "spec.json").write_text(json.dumps(spec))


def _confirm(job: Job, trial: Trial, store: ImageStore) -> None:
    run = TrialRun(job, trial, store, StudyImages(), Node("here"), 0)
    report = run.step()
    run.close()
    assert report.done and report.best is not None and report.cost is not None
    figures = {f"test_{name}": value for name, value in report.predictions[1].metrics().items()}
    row = TrialRow.of(
        trial,
        Status.COMPLETED,
        epochs=1,
        best_epoch=1,
        val_auc=report.best.val_auc,
        started_at=_NOW,
        ended_at=_NOW,
        **figures,
    )
    RowWriter(StudyFolder(LocalPath(job.study)), ()).write(row, report.epochs, report.predictions)
