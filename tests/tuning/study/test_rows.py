"""Rows: readable with pandas as the contract says, whole or not there, and read back the same."""

import datetime

import numpy as np
import pandas as pd
import pytest

from masll.common.storage import LocalPath
from masll.results import EpochResult, Predictions
from tuning.space import DEFAULT_SPACE
from tuning.study import writer
from tuning.study.arm import Arm
from tuning.study.folder import StudyFolder
from tuning.study.reader import TrialReader
from tuning.study.rows import TrialRow
from tuning.study.space import Parameter
from tuning.study.spec import Spec
from tuning.study.trial import Stage, Status, Trial
from tuning.study.writer import RowWriter

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


@pytest.fixture
def folder(tmp_path) -> StudyFolder:
    return StudyFolder(LocalPath(tmp_path))


def write(rows: RowWriter, number: int = 0, arm: Arm = ARM, boxes=True, **params) -> None:
    status = Status(params.pop("status", "completed"))
    trial = Trial(arm, Stage.SEARCH, number, 0, {"lr": 0.01, **params})
    row = TrialRow.of(
        trial,
        status,
        epochs=2,
        best_epoch=2,
        val_auc=0.7,
        started_at=NOW,
        ended_at=NOW + datetime.timedelta(seconds=number),
    )
    epochs = [
        EpochResult(e, 0.01, 0.5, 0.6, 0.5 + e / 10, 0.3, 0.0, 0.1, 0.0, 0.1, 0.0, 1.5)
        for e in (1, 2)
    ]
    predictions = Predictions(
        "validation",
        ("a", "b"),
        np.array([0, 1]),
        np.array([0.2, 0.9]),
        np.array([[0, 0, 1, 1], [0.25, 0, 0.5, 1]]) if boxes else None,
    )
    rows.write(row, epochs, [predictions])


def test_every_folder_is_read_by_pandas_with_the_contract_s_columns(folder, tmp_path):
    rows = RowWriter(folder, DEFAULT_SPACE)
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


def test_trials_are_read_back_in_the_order_in_which_they_ended(folder):
    space = (*DEFAULT_SPACE, Parameter("optimizer", "choice", choices=("sgd", "adamw")))
    rows = RowWriter(folder, space)
    assert TrialReader(folder, Spec(space=space)).results() == []
    write(rows, 1, threshold_scale=0.5, optimizer="adamw")
    write(rows, 0, threshold_scale=1.0, optimizer="sgd", status="pruned")
    first, second = TrialReader(folder, Spec(space=space)).results()
    assert (first.trial.number, first.status, second.trial.number) == (0, Status.PRUNED, 1)
    assert second.trial.params == {"lr": 0.01, "threshold_scale": 0.5, "optimizer": "adamw"}
    assert second.curve == {1: 0.6, 2: 0.7} and second.trial.arm == ARM


def test_a_reader_that_looks_again_reads_only_what_has_come_since(folder):
    rows, reader = RowWriter(folder, DEFAULT_SPACE), TrialReader(folder, Spec(space=DEFAULT_SPACE))
    write(rows, 0)
    (first,) = reader.rows()
    (folder.trials / f"{first.trial_id}.parquet").write_bytes(b"not to be opened again")
    write(rows, 1)
    assert [row.number for row in reader.rows()] == [0, 1]


def test_rows_of_an_earlier_version_are_read_with_what_it_had(folder):
    columns = ["trial_id", "arm", "variant", "backbone", "stage", "status", "seed", "lr"]
    write(RowWriter(folder, DEFAULT_SPACE), 0)
    (path,) = folder.trials.glob("*.parquet")
    rows = pd.read_parquet(path)
    rows[[*columns, "threshold_scale", "test_auc", "ended_at"]].to_parquet(path, index=False)
    (row,) = TrialReader(folder, Spec(space=DEFAULT_SPACE)).rows()
    assert (row.crashes, row.gpus, row.seconds, row.stage) == (0, None, 0.0, Stage.SEARCH)


def test_a_trial_counts_only_once_its_trials_row_is_there(folder, monkeypatch):
    rows = RowWriter(folder, DEFAULT_SPACE)
    write(rows, 0)
    write_file = writer._write

    def killed_before_the_last(path, table):
        if path.parent.name == "trials":
            raise KeyboardInterrupt
        write_file(path, table)

    monkeypatch.setattr(writer, "_write", killed_before_the_last)
    with pytest.raises(KeyboardInterrupt):
        write(rows, 1)
    results = TrialReader(folder, Spec(space=DEFAULT_SPACE)).results()
    assert [result.trial.number for result in results] == [0]


def test_half_written_files_are_passed_over(folder, tmp_path):
    write(RowWriter(folder, DEFAULT_SPACE), 0)
    for kind in CONTRACT:
        (tmp_path / kind / ".other.partial").write_bytes(b"PAR1 cut off")
    assert len(TrialReader(folder, Spec(space=DEFAULT_SPACE)).results()) == 1
    assert all(len(pd.read_parquet(tmp_path / kind)) for kind in CONTRACT)
