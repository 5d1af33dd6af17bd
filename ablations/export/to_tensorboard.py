"""DIR/STUDY/TRIAL/: an event file per trial, which TensorBoard shows with its hyperparameters.

Written with TensorBoard's own records in place of its writer, which would name a file by the time
of the export: so a file has one name, appears whole, and is the same for the same trial.
TensorBoard keeps values in single precision.
"""

import io
from collections.abc import Collection, Mapping

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.summary.writer.record_writer import RecordWriter

from ablations.export.runs import Exported, TrialRun, trial_runs
from ablations.formats import remove_result, write_result
from ablations.rows import Study
from masll.common.progress import Progress
from masll.common.storage import AnyPath
from tuning.study.trial import Status

FILE = "events.out.tfevents.masll"  # TensorBoard reads each file with `tfevents` in its name


def export(study: Study, name: str, folder: AnyPath, progress: Progress) -> Exported:
    """Write an event file for each trial that has ended; one that is there is replaced.

    Those of trials that the study has no more are removed.

    Args:
        name: of the study, and of its folder.

    Raises:
        InputError: a file cannot be written or removed.
    """
    runs = trial_runs(study, name)
    for done, run in enumerate(runs, 1):
        write_result(folder / name / run.trial_id / FILE, event_file(run))
        progress(done, len(runs))
    place = folder / name
    removed = _remove_others(place, {run.trial_id for run in runs})
    then = f"to look at them: tensorboard --logdir {place}"
    return Exported(len(runs), 0, removed, place, then)


def _remove_others(place: AnyPath, trials: Collection[str]) -> int:
    """Remove what an earlier export wrote of other trials than these, and count it."""
    others = [path for path in place.glob(f"*/{FILE}") if path.parent.name not in trials]
    for path in others:
        remove_result(path, "which is of no trial now")
    return len(others)


def event_file(run: TrialRun) -> bytes:
    """The content of a trial's event file: hyperparameters, curves by epoch, figures at the end."""
    content = io.BytesIO()
    records = RecordWriter(content)
    last = max(run.times, default=0)
    status = api_pb2.STATUS_FAILURE if run.status == Status.FAILED else api_pb2.STATUS_SUCCESS
    events = [Event(wall_time=run.begun, file_version="brain.Event:2")]
    params = dict(run.params) | {"status": run.status}
    events.append(
        Event(wall_time=run.begun, summary=hparams_pb(params, run.trial_id, run.begun)),
    )
    for epoch, time in run.times.items():
        values = {tag: curve[epoch] for tag, curve in run.curves.items() if epoch in curve}
        events.append(Event(wall_time=time, step=epoch, summary=_scalars(values)))
    events.append(Event(wall_time=run.ended, step=last, summary=_scalars(run.figures)))
    events.append(Event(wall_time=run.ended, step=last, summary=_end(status, run.ended)))
    for event in events:
        records.write(event.SerializeToString())
    return content.getvalue()


def _scalars(values: Mapping[str, float]) -> Summary:
    return Summary(value=[Summary.Value(tag=tag, simple_value=v) for tag, v in values.items()])


def _end(status: int, time: float) -> Summary:
    """How a trial ended, as the page of hyperparameters shows it."""
    data = plugin_data_pb2.HParamsPluginData(
        session_end_info=plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time)
    )
    value = Summary.Value(
        tag=metadata.SESSION_END_INFO_TAG,
        metadata=metadata.create_summary_metadata(data),
        tensor=metadata.NULL_TENSOR,
    )
    return Summary(value=[value])
