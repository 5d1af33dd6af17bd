"""Thirty-two trials on eight logical GPUs, one of them broken: it must not eat the study."""

import pandas as pd
import pytest

from masll.common.storage import LocalPath
from masll.data.options import DataOptions
from tests.tuning.fake_gpus import BROKEN, FakeWorker, place
from tuning import engine
from tuning.job import Job
from tuning.ledger import Ledger
from tuning.plan import ArmPlan, StudyPlan
from tuning.recipe import Recipe
from tuning.slots import Slots
from tuning.space import DEFAULT_SPACE
from tuning.study.arm import Arm
from tuning.study.folder import StudyFolder
from tuning.study.writer import RowWriter

RECIPE = Recipe(epochs=2, batch_size=8, image_size=32, source_size=64, pretrained=False)
ARMS = [Arm("baseline", "none"), Arm("gated-fusion", "none")]


@pytest.mark.soak
def test_one_broken_gpu_of_eight_is_left_out_and_everything_else_completes(tmp_path):
    import ray

    settings = {"trials": 60, "epochs": 2, "seeds": 5, "seed": 0}
    settings |= {"sampler": "random", "scheduler": "none"}
    plan = StudyPlan([ArmPlan(arm, DEFAULT_SPACE, **settings) for arm in ARMS])
    folder, said = StudyFolder(LocalPath(tmp_path)), []
    job = Job("", None, DataOptions(), "", str(tmp_path), RECIPE, 1)
    ledger = Ledger(
        plan,
        RowWriter(folder, DEFAULT_SPACE),
        Slots(32, 1, 0.25, most_gpus=8),
        on_result=lambda *_: None,
        say=said.append,
    )
    ray.init(
        "local",
        num_cpus=32,
        num_gpus=8,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=10**8,
    )
    try:
        outcome = engine.run(ledger, job, worker=FakeWorker)
    finally:
        ray.shutdown()
    print(outcome, *said, sep="\n")
    rows = pd.read_parquet(tmp_path / "trials")
    assert len(rows) == 130 and set(rows["status"]) == {"completed"}
    assert not rows["crashes"].any() and not rows["preemptions"].any()
    assert set(rows["gpu_id"]) == set("01234567") - {BROKEN}
    assert (rows["gpus"] == 0.25).all()
    assert outcome.left_out == (place(BROKEN),)
    assert outcome.hopeless is None and not list(folder.running.glob("*"))
    assert len(said) == 1 and said[0].startswith(f"{place(BROKEN)} is left out: ")
    assert "ECC" in said[0]
