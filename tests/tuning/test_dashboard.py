"""The file for optuna-dashboard: every arm by its name, the same however the study was cut."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from tests.tuning.test_plan import ARMS, run_all, study_plan
from tuning.dashboard import DashboardFile
from tuning.plan import StudyPlan

NAME = "optuna.journal"


def shown(folder: Path) -> dict[str, list[tuple[TrialState, float | None, int]]]:
    storage = JournalStorage(JournalFileBackend(str(folder / NAME)))
    return {
        summary.study_name: [
            (trial.state, trial.value, len(trial.intermediate_values))
            for trial in optuna.load_study(study_name=summary.study_name, storage=storage).trials
        ]
        for summary in optuna.get_all_study_summaries(storage=storage)
    }


@pytest.fixture
def plan() -> StudyPlan:
    return study_plan(trials=3)


def test_whatever_a_killed_run_has_left_the_file_shows_the_plan(plan, tmp_path):
    whole = tmp_path / "whole"
    whole.mkdir()
    dashboard = DashboardFile(whole / NAME, plan)
    for ended in run_all(plan):
        dashboard.add(ended)
    expected = shown(whole)
    assert set(expected) == {str(arm) for arm in ARMS}
    assert all(len(trials) == 3 for trials in expected.values())
    states = {state for trials in expected.values() for state, _, _ in trials}
    assert states == {TrialState.COMPLETE, TrialState.PRUNED}

    content = (whole / NAME).read_bytes()
    for left in (content, b"".join(content.splitlines(keepends=True)[:-2]), b"junk"):
        (whole / NAME).write_bytes(left)
        DashboardFile(whole / NAME, plan)
        assert shown(whole) == expected


@pytest.mark.slow
def test_optuna_dashboard_shows_the_arms_by_their_names(plan, tmp_path):
    DashboardFile(tmp_path / NAME, plan)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = Path(sys.executable).with_name("optuna-dashboard")
    process = subprocess.Popen([command, tmp_path / NAME, "--port", str(port), "--quiet"])
    try:
        assert {study["study_name"] for study in studies(port)} == {str(arm) for arm in ARMS}
    finally:
        process.terminate()
        process.wait()


def studies(port: int) -> list[dict]:
    for _ in range(300):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/studies") as answer:
                return json.load(answer)["study_summaries"]
        except OSError:
            time.sleep(0.1)
    raise AssertionError("optuna-dashboard did not answer within 30 s")
