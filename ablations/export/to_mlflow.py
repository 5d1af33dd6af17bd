"""DIR/mlflow.db: an experiment per study, a run per trial.

A SQLite file, as MLflow has it by default: its store of plain files is in maintenance mode, and
refuses to open unless one opts out of that (MLflow 3.17). MLflow's values only ever grow, so the
run of a trial that has changed is deleted there and written anew.
"""

import contextlib
import logging
import os
import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ablations.export.runs import Exported, TrialRun, trial_runs
from ablations.rows import Study
from masll.common.errors import InputError
from masll.common.progress import Progress
from masll.common.storage import AnyPath
from tuning.study.damage import in_words
from tuning.study.trial import Status

FILE = "mlflow.db"
_PATIENCE = 5.0  # seconds that another program may keep the file locked
_INSTEAD = "close what else writes it, or name another DIR"
_DIGEST = "digest"  # tag that a run gets last: what it holds; see `TrialRun.digest`
_MOST_METRICS = 1000  # that MLflow takes at once
_MOST_RUNS = 50_000  # that it gives at once
_ENDS = {Status.COMPLETED: "FINISHED", Status.PRUNED: "KILLED", Status.FAILED: "FAILED"}


def export(study: Study, name: str, folder: AnyPath, progress: Progress) -> Exported:
    """Write a run for each trial that has ended, unless it is there as it is.

    Those of trials that the study has no more are deleted there.

    Args:
        name: of the study, and of its experiment.

    Raises:
        InputError: MLflow cannot open, make or write its file.
    """
    place = Path(str(folder)).resolve()  # which is on this machine
    file = place / FILE
    _check_usable(file)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # before it is imported
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient
    from sqlalchemy.exc import SQLAlchemyError

    # It tells of each table that it makes, and has the traceback of what it raises printed.
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    runs = trial_runs(study, name)
    try:
        client = MlflowClient(f"sqlite:///{file}")
        experiment = _experiment(client, name, place / "artifacts" / name)
        there = _runs_in(client, experiment)
        kept = _write_all(client, experiment, there, runs, progress)
        gone = [
            old
            for trial_id in there.keys() - {run.trial_id for run in runs}
            for old in there[trial_id]
            if old.data.tags.get("study") == name  # others are somebody's own
        ]
        for old in gone:
            client.delete_run(old.info.run_id)
    except (MlflowException, SQLAlchemyError) as error:
        # SQLite's own words, where it has refused: those around them are many lines.
        reason = in_words(getattr(error.__cause__ or error, "orig", error))
        raise InputError(f"MLflow cannot write {file}: {reason}; {_INSTEAD}") from error
    return Exported(
        len(runs) - kept,
        kept,
        len(gone),
        folder / FILE,
        f"to look at them, with the package mlflow: mlflow ui --backend-store-uri sqlite:///{file}",
    )


def _check_usable(file: Path) -> None:
    """Raise `InputError` where SQLite cannot write a file: MLflow would try for minutes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with contextlib.closing(sqlite3.connect(file, timeout=_PATIENCE)) as database:
            database.execute("BEGIN IMMEDIATE")  # locks it for writing, which closing ends
    except sqlite3.Error as error:
        raise InputError(f"cannot write {file}: {error}; {_INSTEAD}") from error


def _experiment(client: Any, name: str, artifacts: Path) -> str:
    """The id of a study's experiment, which is made where there is none."""
    known = client.get_experiment_by_name(name)
    if known is None:
        return str(client.create_experiment(name, artifact_location=artifacts.as_uri()))
    if known.lifecycle_stage != "active":
        client.restore_experiment(known.experiment_id)
    return str(known.experiment_id)


def _runs_in(client: Any, experiment: str) -> Mapping[str, Sequence[Any]]:
    """The runs of an experiment, by the trial that they are of.

    A trial may have several: MLflow restores those that were replaced, too, with an experiment that
    someone has deleted.
    """
    there: dict[str, list[Any]] = defaultdict(list)
    for old in client.search_runs([experiment], max_results=_MOST_RUNS):
        there[old.data.tags.get("trial_id", "")].append(old)
    return there


def _write_all(
    client: Any,
    experiment: str,
    there: Mapping[str, Sequence[Any]],
    runs: Sequence[TrialRun],
    progress: Progress,
) -> int:
    """Have one run of each trial in an experiment, and say how many were there as they are.

    Args:
        there: see `_runs_in`.
    """
    kept = 0
    for done, run in enumerate(runs, 1):
        olds = there.get(run.trial_id, ())
        same = next((old for old in olds if old.data.tags.get(_DIGEST) == run.digest), None)
        for old in olds:
            if old is not same:
                client.delete_run(old.info.run_id)
        if same is None:
            _write(client, experiment, run)
        else:
            kept += 1
        progress(done, len(runs))
    return kept


def _write(client: Any, experiment: str, run: TrialRun) -> None:
    from mlflow.entities import Metric, Param, RunTag

    begun, ended = _milliseconds(run.begun), _milliseconds(run.ended)
    run_id = client.create_run(experiment, begun, dict(run.tags), run.trial_id).info.run_id
    metrics = [
        Metric(key, value, _milliseconds(run.times[epoch]), epoch)
        for key, curve in run.curves.items()
        for epoch, value in curve.items()
    ]
    last = max(run.times, default=0)
    metrics += [Metric(key, value, ended, last) for key, value in run.figures.items()]
    client.log_batch(run_id, params=[Param(key, str(value)) for key, value in run.params.items()])
    for first in range(0, len(metrics), _MOST_METRICS):
        client.log_batch(run_id, metrics=metrics[first : first + _MOST_METRICS])
    client.set_terminated(run_id, _ENDS[Status(run.status)], ended)
    client.log_batch(run_id, tags=[RunTag(_DIGEST, run.digest)])


def _milliseconds(time: float) -> int:
    return round(1000 * time)
