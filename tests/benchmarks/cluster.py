"""What scheduling costs on a large cluster: trials of no work on many emulated nodes.

Starts Ray nodes with logical GPUs as processes of this machine, first one node and then all of
them, and runs trials that train nothing and report four times, each with a GPU. What the driver
takes for a trial does not depend on how fast this machine emulates the others: it is the figure
that says how large a cluster may be. The 128 workers of the default take some 15 GB.

    python -m tests.benchmarks.cluster [--nodes 16] [--gpus 8] [--trials 2000]
"""

import argparse
import os
import tempfile
import time
from typing import Any

import ray
from ray import tune
from ray.cluster_utils import Cluster

from masll import VARIANTS
from masll.common.machine import peak_memory
from masll.common.storage import LocalPath
from masll.results import EpochResult
from tuning import engine
from tuning.ledger import Ledger
from tuning.plan import ArmPlan, StudyPlan
from tuning.slots import Slots
from tuning.space import DEFAULT_SPACE
from tuning.study.arm import Arm
from tuning.study.folder import StudyFolder
from tuning.study.writer import RowWriter
from tuning.trainable import REPORT
from tuning.trial_report import Node, TrialReport

REPORTS = 4


class NoTraining(tune.Trainable):
    """Reports as a real worker does, and trains nothing."""

    def setup(self, config: dict[str, Any]) -> None:
        self.reset_config(config)

    def reset_config(self, _: dict[str, Any]) -> bool:
        self.started = time.perf_counter()
        self.epochs: list[EpochResult] = []
        return True

    def step(self) -> dict[str, Any]:
        auc, nothing = 0.5 + len(self.epochs) / 20, (None,) * 6
        self.epochs.append(
            EpochResult(len(self.epochs) + 1, 0.01, 0.5, 0.5, auc, *nothing, seconds=0.001)
        )
        done = len(self.epochs) == REPORTS
        report = TrialReport(
            epochs=self.epochs,
            done=done,
            best=self.epochs[-1],
            diverged=False,
            predictions=[],
            seconds=time.perf_counter() - self.started,
            earlier_seconds=0.0,
            images_per_second=0.0,
            device="none",
            node=Node("here", "0"),
            peak_memory_mb=0.0,
        )
        return {"done": done, REPORT: report}


def run(slots: int, trials: int) -> str:
    """Seconds and memory of the driver for so many trials on so many slots."""
    plan = StudyPlan(
        ArmPlan(
            Arm(variant, "none"),
            DEFAULT_SPACE,
            trials=trials // len(VARIANTS),
            epochs=REPORTS,
            seeds=0,
            seed=0,
            sampler="random",
            scheduler="none",
        )
        for variant in VARIANTS
    )
    ends: list[float] = []
    cpu: list[float] = []

    def on_result(*_: object) -> None:
        ends.append(time.perf_counter())
        cpu.append(time.process_time())

    with tempfile.TemporaryDirectory() as folder:
        rows = RowWriter(StudyFolder(LocalPath(folder)), DEFAULT_SPACE)
        started = time.perf_counter()
        outcome = engine.run(
            Ledger(plan, rows, Slots(slots, 1, 1), on_result=on_result), None, worker=NoTraining
        )
    assert len(ends) == trials
    # Until every worker has begun, its start is what is measured.
    begun = min(2 * slots, trials // 2)
    counted = trials - 1 - begun
    wall, driver = (ends[-1] - ends[begun]) / counted, (cpu[-1] - cpu[begun]) / counted
    last = (cpu[-1] - cpu[-1 - counted // 5]) / (counted // 5)
    memory = peak_memory() / 2**20
    return (
        f"{slots:4} slots {trials:5} trials: first end after {ends[0] - started:.0f} s; then a "
        f"trial every {1000 * wall:.0f} ms, of which the driver computes {1000 * driver:.0f} ms "
        f"({1000 * last:.0f} ms in the last fifth); slots busy for {outcome.busy:.0%}; "
        f"driver at most {memory:.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=16)
    parser.add_argument("--gpus", type=int, default=8, help="of each node")
    parser.add_argument("--trials", type=int, default=2000)
    asked = parser.parse_args()
    head = {"num_cpus": 0, "num_gpus": 0, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    node = {"num_cpus": asked.gpus, "num_gpus": asked.gpus, "object_store_memory": 80 * 2**20}
    cluster.add_node(**node)
    ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
    try:
        print(f"{os.cpu_count()} cores emulate the cluster")
        print(run(asked.gpus, max(asked.trials // 10, 40)), flush=True)
        for _ in range(asked.nodes - 1):
            cluster.add_node(**node)
        cluster.wait_for_nodes()
        print(run(asked.nodes * asked.gpus, asked.trials), flush=True)
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main()
