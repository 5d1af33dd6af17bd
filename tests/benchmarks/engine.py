"""What a trial costs beside its training: seconds of a worker, with trials that train nothing.

Each trial reports four times, on two workers. Side by side in one run: this project's engine, with
rows written and all, at two sizes; Ray Tune's function API; its class API with actors reused and
default loggers; and two plain Optuna processes that share a journal file. The time runs from the
end of the first trial to that of the last, so that what is paid once is not counted.

    python -m tests.benchmarks.engine [--trials 400] [--many 10000]
"""

import argparse
import datetime
import math
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from ray import tune

from masll import VARIANTS
from masll.common.machine import peak_memory
from masll.common.storage import LocalPath
from masll.data.options import DataOptions
from masll.results import EpochResult
from tests.benchmarks.goals import Goal
from tuning import engine
from tuning.dashboard import DashboardFile
from tuning.job import Job
from tuning.ledger import Ledger
from tuning.options import SearchOptions
from tuning.plan import ArmPlan, StudyPlan
from tuning.quiet import quiet_optuna
from tuning.recipe import Recipe
from tuning.session import ray_session
from tuning.slots import Machine, Slots
from tuning.space import DEFAULT_SPACE
from tuning.study.arm import Arm
from tuning.study.folder import StudyFolder
from tuning.study.rows import TrialRow
from tuning.study.trial import TrialResult
from tuning.study.writer import RowWriter
from tuning.trainable import REPORT
from tuning.trial_report import Node, TrialReport

REPORTS = 4
WORKERS = 2


def planted_auc(params: dict[str, Any], epoch: int) -> float:
    return 0.5 + epoch / 20 - abs(params["lr"] - 0.01)


class Cost(NamedTuple):
    """Seconds of a worker for each trial."""

    mean: float
    growth: float  # that of the last fifth of the trials over that of the first
    driver: float = math.nan  # processor seconds of this process for each trial

    @classmethod
    def of(cls, ends: list[float]) -> "Cost":
        """From the times at which trials ended."""
        ends = sorted(ends)
        fifth = max(1, len(ends) // 5)
        first, last = ends[fifth] - ends[0], ends[-1] - ends[-1 - fifth]
        return cls(WORKERS * (ends[-1] - ends[0]) / (len(ends) - 1), last / first)


class NoTraining(tune.Trainable):
    """Reports as a real worker does, and trains nothing."""

    def setup(self, config: dict[str, Any]) -> None:
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.params = new_config["trial"].params
        self.epochs: list[EpochResult] = []
        return True

    def step(self) -> dict[str, Any]:
        epoch = len(self.epochs) + 1
        auc = planted_auc(self.params, epoch)
        nothing = (None,) * 6
        self.epochs.append(EpochResult(epoch, 0.01, 0.5, 0.5, auc, *nothing, seconds=0.001))
        done = epoch == REPORTS
        report = TrialReport(
            epochs=self.epochs,
            done=done,
            best=self.epochs[-1],
            diverged=False,
            predictions=[],
            seconds=0.001,
            earlier_seconds=0.0,
            images_per_second=0.0,
            device="none",
            node=Node("here"),
            peak_memory_mb=0.0,
        )
        return {"done": done, REPORT: report}


def this_engine(trials: int) -> Cost:
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
    with tempfile.TemporaryDirectory() as folder:
        study = StudyFolder(LocalPath(folder))
        recipe = Recipe(REPORTS, batch_size=1, image_size=32, source_size=32, pretrained=False)
        job = Job("", None, DataOptions(), "", folder, recipe, 1)
        ends: list[float] = []
        dashboard = DashboardFile(study.journal, plan)

        def on_result(result: TrialResult, _: TrialRow) -> None:
            dashboard.add(result)
            ends.append(time.time())

        slots, began = Slots(WORKERS, 1, 0), time.process_time()
        ledger = Ledger(plan, RowWriter(study, DEFAULT_SPACE), slots, on_result=on_result)
        engine.run(ledger, job, worker=NoTraining)
        assert len(ends) == trials
        return Cost.of(ends)._replace(driver=(time.process_time() - began) / trials)


def function_api(trials: int) -> Cost:
    import torch  # noqa: F401  what every trial of a function has to import

    def train(config: dict[str, Any]) -> None:

        for epoch in range(1, REPORTS + 1):
            tune.report({"auc": planted_auc(config, epoch)})

    return _plain_tune(train, trials, reuse=False)


def class_api(trials: int) -> Cost:
    class Plain(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            self.reset_config(config)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.params, self.epoch = new_config, 0
            return True

        def step(self) -> dict[str, Any]:
            self.epoch += 1
            return {"auc": planted_auc(self.params, self.epoch), "done": self.epoch == REPORTS}

    return _plain_tune(Plain, trials, reuse=True)


def _plain_tune(trainable: Any, trials: int, *, reuse: bool) -> Cost:
    class Clock(tune.Callback):
        def on_trial_complete(self, **_: Any) -> None:
            ends.append(time.time())

    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "0"
    ends: list[float] = []
    checkpoints = tune.CheckpointConfig(checkpoint_at_end=False) if reuse else None
    with tempfile.TemporaryDirectory() as folder:
        tune.Tuner(
            tune.with_resources(trainable, {"cpu": 1}),
            param_space={"lr": tune.loguniform(1e-4, 1e-1)},
            tune_config=tune.TuneConfig(
                num_samples=trials, reuse_actors=reuse, max_concurrent_trials=WORKERS
            ),
            run_config=tune.RunConfig(
                storage_path=folder, verbose=0, callbacks=[Clock()], checkpoint_config=checkpoints
            ),
        ).fit()
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    assert len(ends) == trials
    return Cost.of(ends)


def plain_optuna(trials: int) -> Cost:
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/journal"
        storage = JournalStorage(JournalFileBackend(path))
        optuna.create_study(storage=storage, study_name="one", direction="maximize")
        context = multiprocessing.get_context("spawn")
        workers = [
            context.Process(target=_optimize, args=(path, trials // WORKERS))
            for _ in range(WORKERS)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        study = optuna.load_study(
            storage=JournalStorage(JournalFileBackend(path)), study_name="one"
        )
        ends = [t.datetime_complete.timestamp() for t in study.trials if t.datetime_complete]
        assert len(ends) == trials
        return Cost.of(ends)


def _optimize(path: str, trials: int) -> None:
    def objective(trial: optuna.Trial) -> float:
        params = {"lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True)}
        for epoch in range(1, REPORTS + 1):
            trial.report(planted_auc(params, epoch), epoch)
        return planted_auc(params, REPORTS)

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.load_study(
        storage=JournalStorage(JournalFileBackend(path)),
        study_name="one",
        sampler=optuna.samplers.RandomSampler(),
    )
    study.optimize(objective, n_trials=trials)


def goals() -> Iterator[Goal]:
    """Of the driver, with trials that train nothing, few and many."""
    fresh = multiprocessing.get_context("spawn")  # whose memory is the driver's alone
    with ProcessPoolExecutor(1, fresh) as pool:
        few, many, memory = pool.submit(_driver).result()
    yield Goal("driver, processor time a trial, of 5,000", 1000 * many.driver, 15, unit="ms")
    yield Goal("the same over that of 1,000 trials", many.driver / few.driver, 1.25)
    yield Goal("the driver's memory", memory, 1, unit="GB")


def _driver() -> tuple[Cost, Cost, float]:
    """Costs of 1,000 and of 5,000 trials, and the most memory of this process in GB."""
    quiet_optuna()
    with ray_session(_nothing(), Machine(WORKERS, 0)):
        few, many = (this_engine(trials) for trials in (1_000, 5_000))
    return few, many, peak_memory() / 2**30


def _nothing() -> SearchOptions:
    return SearchOptions(
        num_gpus=0, backbones=("none",), trials=1, epochs=1, seeds=1, image_size=32
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--many", type=int, default=10_000)
    asked = parser.parse_args()
    runs: list[tuple[str, int, Callable[[int], Cost]]] = [
        ("this engine, rows and all", asked.trials, this_engine),
        ("this engine, many trials", asked.many, this_engine),
        ("Ray Tune, class API, default loggers", min(100, asked.trials), class_api),
        ("Ray Tune, function API", min(8, asked.trials), function_api),
        ("two Optuna processes, journal file", asked.trials, plain_optuna),
    ]
    print(f"{datetime.date.today()}, {os.cpu_count()} cores; seconds of a worker for each trial,")
    print("times that of this engine, and that of the last fifth of trials over the first's")
    ours = 0.0
    with ray_session(_nothing(), Machine(WORKERS, 0)):
        for name, trials, measure in runs:
            cost = measure(trials)
            ours = ours or cost.mean
            print(
                f"{name:<38}{trials:6} trials {cost.mean:7.3f} s {cost.mean / ours:6.1f} x"
                f"{cost.growth:10.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
