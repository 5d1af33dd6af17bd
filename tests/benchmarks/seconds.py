"""What a researcher waits for: processor seconds of each command, and how many of them are imports.

Seconds of processors, not of the clock, so that a busy machine says nearly the same; the median of
some runs. Imports are what `import` statements take, wherever they stand, without the start of
Python itself. The studies have random scores: see `tests.benchmarks.report`.

    python -m tests.benchmarks.seconds [--runs 3] [--trials 5000]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from masll import ModelConfig, build_model
from masll.common.storage import LocalPath
from masll.data.synthetic import synthesize
from masll.model import save_model
from masll.variants import VARIANTS
from tests.benchmarks.goals import Goal
from tests.benchmarks.report import write_study
from tests.test_imports import COMMANDS
from tuning.study.folder import StudyFolder
from tuning.study.folding import fold

HELP, REFUSED, STATUS, REPORT = 0.3, 0.5, 2.0, 5.0  # seconds that are aimed at
_USUAL = (30, 5)  # trials and seeds of an arm
# Runs a module as `python -m` does, and leaves the processor seconds of its imports in a file.
_WATCHED = """
import atexit, builtins, runpy, sys, time
place, module, *words = sys.argv[1:]
real, depth, spent = builtins.__import__, 0, 0.0
def timed(*given, **named):
    global depth, spent
    began, depth = time.process_time(), depth + 1
    try:
        return real(*given, **named)
    finally:
        depth -= 1
        if not depth:
            spent += time.process_time() - began
builtins.__import__ = timed
atexit.register(lambda: open(place, "w").write(str(spent)))
sys.argv = ["-m", *words]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


class Line(NamedTuple):
    """A command line, and what is aimed at."""

    words: str
    target: float | None = None  # seconds; None where half of them may be imports


def lines(folder: Path, trials: int) -> list[Line]:
    """Every command with `--help` and refused, and what reads studies and images."""
    for name, asked in (("large", (trials // len(VARIANTS), 5)), ("usual", _USUAL)):
        write_study(folder / name, *asked)
        fold(StudyFolder(LocalPath(folder / name)))  # as the search has by then
    config = ModelConfig(backbone="efficientnet_lite0", pretrained=False)
    save_model(build_model(config), folder / "model")
    Image.fromarray(synthesize(0, 512).image).save(folder / "lesion.jpg")
    return [
        *(Line(f"{command} --help", HELP) for command in COMMANDS),
        *(Line(f"{command} --no-such-option", REFUSED) for command in COMMANDS),
        Line("masll.train --epochs 0 --out OUT", REFUSED),
        Line("tuning.search --trials 0", REFUSED),
        Line(f"tuning.status {folder / 'large'}", STATUS),
        Line(f"ablations.report {folder / 'usual'} --format md csv tex", REPORT),
        Line(f"masll.predict --model {folder / 'model'} {folder / 'lesion.jpg'}"),
    ]


def spent(command: list[str]) -> float:
    """Processor seconds of a process."""
    silent = subprocess.DEVNULL
    process = subprocess.Popen([sys.executable, *command], stdout=silent, stderr=silent)
    _, _, used = os.wait4(process.pid, 0)
    process.returncode = 0  # it has been waited for
    return used.ru_utime + used.ru_stime


def share_of_imports(words: str, folder: Path) -> float:
    """Of a command line's seconds, while watching makes each import a little dearer."""
    place = folder / "imports"
    seconds = spent(["-c", _WATCHED, str(place), *words.split()])
    return float(place.read_text()) / seconds


def seconds_of(words: str, runs: int = 3) -> float:
    """Of a command line, as a user runs it."""
    return statistics.median(spent(["-m", *words.split()]) for _ in range(runs))


def row(line: Line, folder: Path, runs: int) -> str:
    """A line of the table: the median of some runs."""
    seconds = seconds_of(line.words, runs)
    share = statistics.median(share_of_imports(line.words, folder) for _ in range(runs))
    target = "half imports" if line.target is None else f"{line.target:g}"
    met = share >= 0.5 if line.target is None else seconds <= line.target
    words = line.words.replace(f"{folder}/", "")
    return f"{words:<52}{seconds:8.2f}{share:10.0%}{target:>14}  {'' if met else 'missed'}".rstrip()


def goals() -> Iterator[Goal]:
    """The slowest command line of each kind."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        slowest: dict[float, tuple[float, str]] = {}
        for line in lines(folder, trials=5000):
            if line.target is not None:
                found = seconds_of(line.words), line.words.replace(f"{folder}/", "")
                slowest[line.target] = max(slowest.get(line.target, found), found)
        for target, (seconds, words) in sorted(slowest.items()):
            yield Goal(f"processor time of `{words}`, the slowest such", seconds, target, unit="s")


def main() -> None:
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=shape)
    parser.add_argument("--runs", type=int, default=3, help="of each command (default: 3)")
    parser.add_argument(
        "--trials", type=int, default=5000, help="of the large study (default: 5000)"
    )
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        every = lines(folder, asked.trials)
        print(f"{'command':<52}{'seconds':>8}{'imports':>10}{'target':>14}")
        for line in every:
            print(row(line, folder, asked.runs), flush=True)


if __name__ == "__main__":
    main()
