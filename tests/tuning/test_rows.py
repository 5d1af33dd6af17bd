"""Rows: readable with pandas as the contract says, whole or not there, and read back the same."""

import datetime

import numpy as np
import pandas as pd
import pytest

from masll.training import EpochResult, Predictions
from tuning.plan import Arm
from tuning.rows import StudyRows
from tuning.space import DEFAULT_SPACE, Parameter

ARM = Arm("gated-fusion", "resnet18")
NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
CONTRACT = {
    "trials": "trial_id arm variant backbone stage status seed lr threshold_scale epochs "
    "best_epoch val_auc test_auc test_acc test_sen test_spe test_sen_at_spe_95 test_sen_at_spe_90 "
    "test_sen_at_spe_85 error started_at ended_at seconds images_per_second node device "
    "peak_memory_mb",
    "epochs": "trial_id epoch lr train_loss val_loss val_auc box_area box_fallback_rate seconds",
    "predictions": "trial_id arm stage seed split image_id label score x0 y0 x1 y1",
}


def write(rows: StudyRows, number: int = 0, arm: Arm = ARM, boxes=True, **more) -> None:
    trial = {
        "trial_id": f"{arm.variant}.{number}", "arm": str(arm), "variant": arm.variant,
        "backbone": arm.backbone, "stage": "search", "number": number, "status": "completed",
        "seed": 0, "lr": 0.01, "epochs": 2, "best_epoch": 2, "val_auc": 0.7, "started_at": NOW,
        "ended_at": NOW + datetime.timedelta(seconds=number), **more,
    }  # fmt: skip
    epochs = [
        EpochResult(e, 0.01, 0.5, 0.6, 0.5 + e / 10, 0.3, 0.0, 0.1, 0.0, 0.1, 0.0, 1.5)
        for e in (1, 2)
    ]
    made = Predictions(
        "validation", ("a", "b"), np.array([0, 1]), np.array([0.2, 0.9]),
        np.array([[0, 0, 1, 1], [0.25, 0, 0.5, 1]]) if boxes else None,
    )  # fmt: skip
    rows.write(trial, epochs, [made])


def test_every_folder_is_read_by_pandas_with_the_contract_s_columns(tmp_path):
    rows = StudyRows(tmp_path, DEFAULT_SPACE)
    write(rows, 0, threshold_scale=1.5)
    write(rows, 1, Arm("baseline", "resnet18"), boxes=False)
    for kind, columns in CONTRACT.items():
        table = pd.read_parquet(tmp_path / kind)
        assert set(columns.split()) <= set(table.columns)
    trials = pd.read_parquet(tmp_path / "trials").set_index("variant")
    assert trials.loc["gated-fusion", "threshold_scale"] == 1.5
    assert pd.isna(trials.loc["baseline", "threshold_scale"])
    assert trials["test_auc"].isna().all() and trials["started_at"].iloc[0] == NOW
    boxes = pd.read_parquet(tmp_path / "predictions").set_index(["arm", "image_id"])
    assert boxes.loc[(str(ARM), "b"), ["x0", "y0", "x1", "y1"]].tolist() == [0.25, 0, 0.5, 1]
    assert boxes.loc["baseline/resnet18", "x0"].isna().all()


def test_finished_trials_are_read_back_in_the_order_in_which_they_ended(tmp_path):
    space = (*DEFAULT_SPACE, Parameter("optimizer", "choice", choices=("sgd", "adamw")))
    rows = StudyRows(tmp_path, space)
    assert rows.finished() == []
    write(rows, 1, threshold_scale=0.5, optimizer="adamw")
    write(rows, 0, threshold_scale=1.0, optimizer="sgd", status="pruned")
    first, second = StudyRows(tmp_path, space).finished()
    assert (first.number, first.status, second.number) == (0, "pruned", 1)
    assert second.params == {"lr": 0.01, "threshold_scale": 0.5, "optimizer": "adamw"}
    assert second.curve == {1: 0.6, 2: 0.7} and second.arm == ARM


def test_a_trial_counts_only_once_its_trials_row_is_there(tmp_path, monkeypatch):
    rows = StudyRows(tmp_path, DEFAULT_SPACE)
    write(rows, 0)
    really = StudyRows._write

    def killed_before_the_last(self, kind, name, table):
        if kind == "trials":
            raise KeyboardInterrupt
        really(self, kind, name, table)

    monkeypatch.setattr(StudyRows, "_write", killed_before_the_last)
    with pytest.raises(KeyboardInterrupt):
        write(rows, 1)
    assert [ended.number for ended in rows.finished()] == [0]


def test_half_written_files_are_passed_over(tmp_path):
    rows = StudyRows(tmp_path, DEFAULT_SPACE)
    write(rows, 0)
    for kind in CONTRACT:
        (tmp_path / kind / ".other.partial").write_bytes(b"PAR1 cut off")
    assert len(rows.finished()) == 1
    assert all(len(pd.read_parquet(tmp_path / kind)) for kind in CONTRACT)
