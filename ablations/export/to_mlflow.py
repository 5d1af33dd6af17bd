"""DIR/mlflow.db: an experiment per study, a run per trial.

A SQLite file, as MLflow has it by default: its store of plain files is in maintenance mode, and
refuses to open unless one opts out of that (MLflow 3.17). MLflow's values only ever grow, so the
run of a trial that has changed is deleted there and written anew.
"""

import logging
import os
from pathlib import Path
from typing import Any

from ablations.export.runs import Exported, TrialRun, trial_runs
from ablations.rows import Study
from masll.common.errors import InputError
from masll.common.progress import Progress
from masll.common.storage import AnyPath
from tuning.study.trial import Status

FILE = "mlflow.db"
_SQLITE = b"SQLite format 3\0"  # that such a file begins with
_DIGEST = "digest"  # tag that a run gets last: what it holds; see `TrialRun.digest`
_MOST_METRICS = 1000  # that MLflow takes at once
_MOST_RUNS = 50_000  # that it gives at once
_ENDS = {Status.COMPLETED: "FINISHED", Status.PRUNED: "KILLED", Status.FAILED: "FAILED"}


def export(study: Study, name: str, folder: AnyPath, progress: Progress) -> Exported:
    """Write a run for each trial that has ended, unless it is there as it is.

    Args:
        name: of the study, and of its experiment.

    Raises:
        InputError: MLflow cannot open or make its file.
    """
    place = Path(str(folder)).resolve()  # which is on this machine
    file = place / FILE
    client = _open(file)
    experiment = _experiment(client, name, place / "artifacts" / name)
    there = {
        run.data.tags.get("trial_id"): run
        for run in client.search_runs([experiment], max_results=_MOST_RUNS)
    }
    runs, kept = trial_runs(study, name), 0
    for done, run in enumerate(runs, 1):
        old = there.get(run.trial_id)
        if old is not None and old.data.tags.get(_DIGEST) == run.digest:
            kept += 1
        else:
            if old is not None:
                client.delete_run(old.info.run_id)
            _write(client, experiment, run)
        progress(done, len(runs))
    return Exported(
        len(runs) - kept,
        kept,
        folder / FILE,
        f"to look at them, with the package mlflow: mlflow ui --backend-store-uri sqlite:///{file}",
    )


def _open(file: Path) -> Any:
    """MLflow's client of a file, which is made where there is none.

    Raises:
        InputError: the file is no database, or one that this MLflow does not read.
    """
    if file.exists() and not _begins_with(file, _SQLITE):
        # MLflow itself would try again for more than a minute.
        raise InputError(f"{file} is no SQLite file; name another DIR")
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # before it is imported
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient
    from sqlalchemy.exc import SQLAlchemyError

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of each table that it makes
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        client = MlflowClient(f"sqlite:///{file}")
        client.search_experiments(max_results=1)
    except (MlflowException, SQLAlchemyError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"MLflow cannot open {file}: {reason}; name another DIR") from error
    return client


def _begins_with(file: Path, content: bytes) -> bool:
    with file.open("rb") as opened:
        return opened.read(len(content)) == content


def _experiment(client: Any, name: str, artifacts: Path) -> str:
    """The id of a study's experiment, which is made where there is none."""
    known = client.get_experiment_by_name(name)
    if known is None:
        return str(client.create_experiment(name, artifact_location=artifacts.as_uri()))
    if known.lifecycle_stage != "active":
        client.restore_experiment(known.experiment_id)
    return str(known.experiment_id)


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
