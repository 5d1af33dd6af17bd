"""`python -m tuning.status` without a study: all studies of a folder, a line each."""

import re
from collections.abc import Sequence

from masll.common.errors import InputError
from masll.common.storage import AnyPath
from tuning.study.folder import StudyFolder
from tuning.study.known import studies_in
from tuning.study.lock import holder
from tuning.study.space import of_arm
from tuning.study.spec import Spec, read_spec

_HEADLINE = re.compile(r"^\*\*(.+)\*\*$", re.MULTILINE)  # of report/ablation.md


def list_studies(place: AnyPath) -> list[dict[str, str]]:
    """What there is to know of each study in a folder without reading its rows.

    Returns:
        Cells by heading, a row for each study by the name of its folder: study, its note and data,
        arms, trials ended of those asked, state, and verdict, the headline of its report.
    """
    return [_row(folder) for folder in studies_in(place)]


def _row(folder: StudyFolder) -> dict[str, str]:
    try:
        spec, held = read_spec(folder), holder(folder)
    except (InputError, OSError) as error:
        return {"study": folder.path.name, "unreadable": str(error)}
    options, total = spec.options, _trials(spec)
    ended = sum(path.name.endswith(".parquet") for path in folder.trials.content())
    state = "runs" if held else "done" if ended >= total else "stopped"
    note = options.get("note")
    return {
        "study": folder.path.name,
        "state": state,
        "trials": f"{ended} of {total}",
        "arms": str(len(spec.arms)),
        "data": spec.data.source or "?",
        "verdict": _verdict(folder),
        **({"note": note} if note else {}),
    }


def _trials(spec: Spec) -> int:
    """Trials that the study asks for: an arm with nothing to search has no search trials."""
    trials, seeds = (int(spec.options.get(name, 0)) for name in ("trials", "seeds"))
    return sum(trials * bool(of_arm(spec.space, arm)) + seeds for arm in spec.arms)


def _verdict(folder: StudyFolder) -> str:
    """The first sentence of the study's report; nothing where there is none."""
    try:
        headline: Sequence[str] = _HEADLINE.findall(
            (folder.report / "ablation.md").read_text(encoding="utf-8")
        )
    except OSError:
        return ""
    return headline[0] if headline else ""
