"""Runs command lines in forks of one process that has imported everything, so that each is quick.

    python -m tests.options.forks FOLDER CACHE [PLACE] < lines > answers

FOLDER holds what the lines name in capitals (see `test_command_lines`). Each is run in an empty
folder, or in a copy of PLACE. Each line becomes one line of JSON: what was asked, the exit status,
what stderr said, what was left on the disk, and whether the command came to its work, where it is
stopped. A line that begins with `parse` is stopped as soon as its words are taken.
"""

import dataclasses
import json
import os
import shlex
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import torch

from masll.common.command import Parser, run
from tuning.options import SearchOptions

COMMANDS = {
    "search": "tuning.search",
    "status": "tuning.status",
    "smoke": "tuning.smoke",
    "report": "ablations.report",
    "external": "ablations.external.__main__",
    "export": "ablations.export.__main__",
    "train": "masll.train",
    "predict": "masll.predict",
    "audit": "masll.audit",
    "data": "masll.data.__main__",
}
_PARSE = "parse"
_WORK = {
    "tuning.search": "tuning.study_run._train",
    "tuning.smoke": "tuning.smoke_checks.CHECKS",
    "ablations.report": "ablations.documents.write_report",
    "ablations.external.__main__": "ablations.external.whole.Evaluation",
    "ablations.export.__main__": "ablations.export.whole.write_export",
    "masll.train": "masll.single_run.train_one",
    "masll.audit": "masll.localizer_audit.audit",
}
# Imported late by the commands themselves.
_LATE = (
    "masll.backbones",
    "masll.model",
    "masll.data.duplicates",
    "tuning.preview",
    "masll.single_run",
    "masll.prediction",
    "masll.localizer_audit",
    "tuning.smoke_checks",
    "ablations.external.whole",
    "ablations.export.whole",
    "ablations.documents",
    "tuning.study_run",
    "tuning.status_view",
)
_LIMIT = 120  # seconds of one command line
_AT_WORK = 77  # exit status of a command that was stopped at its work


@dataclass(frozen=True)
class Answer:
    """What a command line came to."""

    line: str
    status: int
    errors: str  # stderr
    written: list[str]  # what it left in its folder, which was empty
    at_work: bool  # its options were taken


class _Work:
    """Takes the place of a command's work."""

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_AT_WORK)

    items = __call__


def answer(line: str, folder: Path, place: Path | None = None) -> Answer:
    """Run one command line in a fork, in an empty folder of its own or in a copy of a place."""
    work = folder / "work"
    if place is None:
        work.mkdir()
    else:
        shutil.copytree(place, work, copy_function=os.link)  # commands write new files whole
    out, errors = folder / "stdout", folder / "stderr"
    command, *words = shlex.split(line)
    child = os.fork()
    if not child:
        if command == _PARSE:
            command, *words = words
            Parser.parse_args = _parse_only(Parser.parse_args)
        _run(command, [_placed(word, folder, work) for word in words], work, out, errors)
    _, ended = os.waitpid(child, 0)
    status = os.waitstatus_to_exitcode(ended)
    written = sorted(str(path.relative_to(work)) for path in work.rglob("*"))
    shutil.rmtree(work)
    return Answer(line, status, errors.read_text(errors="replace"), written, status == _AT_WORK)


def _parse_only(parse: Callable[..., Any]) -> Callable[..., NoReturn]:
    def stop(*words: Any, **settings: Any) -> NoReturn:
        parse(*words, **settings)
        _Work()()

    return stop


def _placed(word: str, folder: Path, work: Path) -> str:
    """A word of a command line: one in capitals names a file or folder."""
    first, slash, rest = word.partition("/")
    if first in ("OUT", "STUDY"):
        return str(work / first.lower()) + slash + rest
    if first == "LONG":
        return 300 * "a"
    if first.isupper() and (folder / first.lower()).exists():
        return str((folder / first.lower()).resolve()) + slash + rest
    return word


def _run(command: str, words: list[str], work: Path, out: Path, errors: Path) -> NoReturn:
    try:
        os.setsid()
        signal.alarm(_LIMIT)
        os.chdir(work)
        for number, path in ((0, Path(os.devnull)), (1, out), (2, errors)):
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC
            os.dup2(os.open(path, flags), number)
        module = import_module(COMMANDS[command])
        if module.__name__ in _WORK:
            place, _, name = _WORK[module.__name__].rpartition(".")
            setattr(import_module(place), name, _Work())
        _keep_to_this_process()
        sys.argv = [command, *words]
        run(module.main)
    except SystemExit as end:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 1)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(99)


def _keep_to_this_process() -> None:
    """Let a search look at its networks here, where PyTorch is imported, and start no Ray."""
    from tuning import study_run
    from tuning.checks import check_address

    started = study_run.started

    def here(options: SearchOptions, *rest: Any, **named: Any) -> Any:
        check_address(options)
        same = dataclasses.replace(options, in_process=True, address=None)
        return started(same, *rest, **named)

    study_run.started = here


def main() -> None:
    folder = Path(sys.argv[1])
    place = Path(sys.argv[3]) if sys.argv[3:] else None
    os.environ.update({"MASLL_CACHE": sys.argv[2], "HF_HUB_OFFLINE": "1"})
    torch.set_num_threads(1)
    for module in (*COMMANDS.values(), *_LATE):
        import_module(module)
    for line in sys.stdin.read().splitlines():
        print(json.dumps(dataclasses.asdict(answer(line, folder, place))), flush=True)


if __name__ == "__main__":
    main()
