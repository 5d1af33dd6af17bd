"""A study on a cluster: several Ray nodes as processes of their own on this machine."""

import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from masll import VARIANTS
from masll.common.storage import LocalPath
from tests.support import ROOT, TINY_BACKBONE
from tuning.study.folder import StudyFolder
from tuning.study.unfinished import UnfinishedTrial, UnfinishedTrials

GPUS = {"a": 3, "b": 3, "c": 2}  # of each node
# Each trial is longer than a worker takes to start, or a node that has just come would get none.
ASKED = (
    f"--backbones {TINY_BACKBONE} --no-pretrained --image-size 32 --source-size 48 --batch-size 8 "
    f"--trials 3 --epochs 200 --seeds 1 --scheduler none --num-gpus 8 "
    f"--variants {' '.join(VARIANTS[:3])}"
).split()
EXPECTED = sorted(
    f"{variant}.{TINY_BACKBONE}.{stage}.{number:04d}"
    for variant in VARIANTS[:3]
    for stage, count in {"search": 3, "confirm": 1}.items()
    for number in range(count)
)


@pytest.fixture
def cluster(monkeypatch):
    """A head without GPUs; nodes are added by the test. Their GPUs are Ray's only."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'tests' / 'logical_gpus'}:{ROOT}")
    made = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "num_gpus": 0, "include_dashboard": False},
    )
    try:
        yield made
    finally:
        made.shutdown()


def add_node(cluster, name: str, gpus: int):
    return cluster.add_node(num_cpus=gpus, num_gpus=gpus, node_name=name, wait=True)


def wait_for(what: str, look, process: subprocess.Popen, seconds: int = 240):
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if found := look():
            return found
        assert process.poll() is None, process.communicate()
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds} s: {what}")


@pytest.mark.soak
def test_eight_trials_at_once_on_three_nodes_and_a_lost_node_loses_no_trial(
    cluster, isic_master, cache, tmp_path
):
    nodes = {name: add_node(cluster, name, gpus) for name, gpus in GPUS.items()}
    study = tmp_path / "study"
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tuning.search",
            "--data",
            str(isic_master),
            "--study",
            str(study),
            "--address",
            cluster.address,
            *ASKED,
        ],
        cwd=ROOT,
        env={**os.environ, "MASLL_CACHE": str(cache)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )

    everywhere = {f"{name}, GPU {gpu}" for name, gpus in GPUS.items() for gpu in range(gpus)}

    def eight() -> list[UnfinishedTrial]:
        begun = [one for one in UnfinishedTrials(StudyFolder(LocalPath(study))).all() if one.epochs]
        return begun if len(begun) == 8 and {one.where for one in begun} == everywhere else []

    begun = wait_for("eight trials at once, each on a GPU of its own", eight, process)
    on_b = [one.trial.trial_id for one in begun if one.where.startswith("b,")]
    os.kill(nodes["b"].all_processes["raylet"][0].process.pid, signal.SIGKILL)
    add_node(cluster, "d", 3)
    output, errors = process.communicate(timeout=400)
    assert process.returncode == 0, (output, errors)
    trials = pd.read_parquet(study / "trials").set_index("trial_id")
    assert sorted(trials.index) == EXPECTED
    assert set(trials["status"]) == {"completed"} and not trials["crashes"].any()
    lost = trials.index[trials["preemptions"] == 1]
    assert set(lost) & set(on_b), "what the lost node was training"
    # On the new node, or on a slot of the old ones that was free sooner.
    assert set(trials.loc[lost, "node"]) <= {"a", "c", "d"}
    epochs = pd.read_parquet(study / "epochs").groupby("trial_id")["epoch"].apply(list)
    assert all(seen == list(range(1, 201)) for seen in epochs), "each epoch once"
