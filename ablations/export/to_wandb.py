"""DIR/STUDY/wandb/: an offline run per trial, which `wandb sync` uploads whenever one wants.

W&B dates a run by its export; the epochs within have the trial's own times, and the run's config
`started_at` and `ended_at`.
"""

import datetime
import os
import re
import shutil
from pathlib import Path
from typing import Any

from ablations.export.runs import Exported, TrialRun, trial_runs
from ablations.formats import write_result
from ablations.rows import Study
from masll.common.progress import Progress
from masll.common.storage import AnyPath
from tuning.study.trial import Status

_DIGEST = "masll.digest"  # file beside a run, written last: what it holds; see `TrialRun.digest`
_REFUSED = re.compile(r"[/\\#?%:]")  # characters that names of W&B have not
_LONGEST = 128  # name of a project


def export(study: Study, name: str, folder: AnyPath, progress: Progress) -> Exported:
    """Write an offline run for each trial that has ended, unless it is there as it is.

    Those of trials that the study has no more are removed.

    Args:
        name: of the study, and of its project.

    Raises:
        InputError: its folder cannot be written to, or a file.
    """
    place = Path(str(folder)).resolve() / name  # which is on this machine
    (folder / name / "wandb").check_writable("DIR")
    place.mkdir(parents=True, exist_ok=True)
    wandb = _imported()
    there = _runs_in(place / "wandb")
    project = _named(name)[:_LONGEST]
    runs, kept = trial_runs(study, name), 0
    try:
        for done, run in enumerate(runs, 1):
            old = there.get(_named(run.trial_id))
            if old is not None and _digest_of(old) == run.digest:
                kept += 1
            else:
                if old is not None:
                    shutil.rmtree(old)
                _write(wandb, run, project, place)
            progress(done, len(runs))
    finally:
        wandb.teardown()  # its process
    others = there.keys() - {_named(run.trial_id) for run in runs}
    gone = [there[each] for each in others if _digest_of(there[each])]  # written here
    for old in gone:
        shutil.rmtree(old)
    where = folder / name / "wandb"
    then = f"to upload them: wandb sync {where / 'offline-run-*'}"
    return Exported(len(runs) - kept, kept, len(gone), where, then)


def _imported() -> Any:
    os.environ["WANDB_ERROR_REPORTING"] = "false"  # before it is imported: nothing is sent
    import wandb

    return wandb


def _runs_in(folder: Path) -> dict[str, Path]:
    """The folder of each offline run, `offline-run-DATE_TIME-ID`, by its id."""
    names = {path: path.name.split("-", 3) for path in sorted(folder.glob("offline-run-*-*"))}
    return {parts[3]: path for path, parts in names.items()}


def _digest_of(folder: Path) -> str:
    """What a run holds; nothing where its export did not come to its end."""
    file = folder / _DIGEST
    return file.read_text() if file.exists() else ""


def _write(wandb: Any, run: TrialRun, project: str, place: Path) -> None:
    config = dict(run.params) | {"started_at": _date(run.begun), "ended_at": _date(run.ended)}
    settings = wandb.Settings(
        mode="offline",
        root_dir=str(place),
        silent=True,
        console="off",
        disable_git=True,
        disable_code=True,
        save_code=False,
        symlink=False,
        # Of this machine, which is not the one that trained.
        x_disable_stats=True,
        x_disable_meta=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
    )
    written = wandb.init(
        project=project,
        id=_named(run.trial_id),
        name=run.trial_id,
        group=str(run.params["arm"]),
        job_type=str(run.params["stage"]),
        tags=[run.status],
        notes=run.tags.get("error"),
        config=config | {"tags": dict(run.tags)},
        settings=settings,
        reinit="finish_previous",
    )
    folder = Path(written.dir).parent
    for epoch, time in run.times.items():
        values = {key: curve[epoch] for key, curve in run.curves.items() if epoch in curve}
        written.log(values | {"epoch": epoch, "_timestamp": time}, step=epoch)
    written.summary.update(dict(run.figures))
    written.finish(exit_code=int(run.status == Status.FAILED))
    write_result(folder / _DIGEST, run.digest)


def _named(text: str) -> str:
    return _REFUSED.sub("-", text)


def _date(time: float) -> str:
    return datetime.datetime.fromtimestamp(time, datetime.UTC).isoformat()
