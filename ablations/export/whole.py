"""A study exported from end to end: rows read, its name claimed in the folder, all written."""

import importlib
import json

from ablations.export.targets import Target
from ablations.formats import write_result
from ablations.rows import Study, read_study
from masll.common.errors import InputError
from masll.common.progress import progress_bar
from masll.common.storage import AnyPath
from masll.common.terminal import Terminal

_NAMES = "studies.json"  # DIR/studies.json: which study has which name there


def export_study(path: str, target: Target, folder: AnyPath) -> None:
    """Read a study and write it into a folder.

    Args:
        path: of the study, here or on s3://.

    Raises:
        InputError: no study, nothing in it to export, another study of its name in the folder, a
            folder that would mix the export with the study, or one that cannot be written to.
    """
    console = Terminal()
    console.say(f"reading {path}")
    write_export(read_study(path, search_predictions=False), target, folder, console)


def write_export(study: Study, target: Target, folder: AnyPath, console: Terminal) -> None:
    """Write a study that has been read: see `export_study`."""
    name = study.path.resolve().name
    export = importlib.import_module(target.module).export
    if study.trials.empty:
        raise InputError(f"{study.folder.trials} has no finished trial; wait for one")
    _check_apart(folder, name, study)
    _claim(folder, name, study)
    with progress_bar("exporting", unit=target.units) as progress:
        exported = export(study, name, folder, progress)
    number = f"{exported.written} of {exported.written + exported.kept} {target.units}"
    kept = "; the others are there as they were" if exported.kept else ""
    gone = f"; removed {exported.removed}, which the study has no more" if exported.removed else ""
    console.tell(f"wrote {number} to {exported.place}{kept}{gone}")
    console.print(exported.then, soft_wrap=True)


def _check_apart(folder: AnyPath, name: str, study: Study) -> None:
    """Raise `InputError` where DIR lies in the study, or DIR/STUDY is the study itself."""
    own, into = str(study.path.resolve()), str(folder.resolve())
    if str((folder / name).resolve()) == own or f"{into}/".startswith(f"{own}/"):
        raise InputError(
            f"DIR {folder} would mix the export with the study {study.folder}; name another DIR"
        )


def _claim(folder: AnyPath, name: str, study: Study) -> None:
    """Write down that a name is this study's in a folder.

    Raises:
        InputError: it is another's, or nobody can tell.
    """
    file = folder / _NAMES
    spec = study.spec
    begun, data = spec.created_at or "at an unknown time", spec.data.fingerprint or "unknown"
    own = f"begun {begun}, of data {data[:12]}"
    if not spec.created_at and not spec.data.fingerprint:
        own += f", in {study.path.resolve()}"
    try:
        known = json.loads(file.read_text()) if file.exists() else {}
        holder = known.get(name)
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}; name another DIR") from error
    except (ValueError, AttributeError) as error:
        raise InputError(f"{file} is damaged: {error}; remove it, or name another DIR") from error
    if holder is None:
        write_result(file, json.dumps(known | {name: own}, indent=1) + "\n")
    elif holder != own:
        raise InputError(f"{folder} has another study '{name}', {holder}; name another DIR")
