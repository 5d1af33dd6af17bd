"""What takes seconds to import waits until a command knows that it is needed."""

import json
import os
import shlex
import subprocess
import sys

import pytest

from tests.support import ROOT
from tests.tuning.searches import SMALL

PACKAGES = ("masll", "tuning", "ablations")
FINISHED = "tests/golden/finished"
# A line for each rule that a command itself checks, beside what its parser refuses.
REFUSED = """\
masll nothing
masll.train --lr x
masll.train --epochs 0 --out OUT
masll.train
masll.train --out pyproject.toml/OUT
masll.predict --model A --model A lesion.jpg
masll.predict --model A --batch-size 0 lesion.jpg
masll.predict --model A --threshold 2 lesion.jpg
masll.predict --model A --threshold spe-90 lesion.jpg
masll.audit --scales 0
masll.audit --image-size 8
masll.audit --model A --backbone resnet18
masll.audit --seeds 3
masll.audit --sanity --no-pretrained
masll.data prepare --source-size 3
masll.data synthesize OUT --images 2
tuning nothing
tuning.search --trials 0
tuning.search --variants nothing
tuning.search --preset nothing
tuning.search --set nothing=3
tuning.search --config nothing.toml
tuning.search --confirm-again
tuning.search --resume
tuning.smoke --device tpu
ablations.report STUDY --margin 2
ablations.report STUDY --format word
ablations.report STUDY STUDY
ablations.report STUDY OTHER --prevalence 0.1
ablations.report STUDY --by age:x
ablations.report STUDY OTHER --by sex
ablations.report STUDY --out pyproject.toml/OUT
ablations.export STUDY OUT
ablations.export STUDY --to nothing OUT
ablations.export STUDY --to mlflow s3://bucket/x
ablations.export STUDY --to isic pyproject.toml/OUT
ablations.external STUDY
ablations.external --data PATH
ablations.external STUDY --data PATH --severities 9
"""


def all_commands() -> list[str]:
    """Every module that is a command of its own, by its text."""
    commands = []
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        text = path.read_text()
        if "if __name__ ==" in text and ("Parser(" in text or "commands(" in text):
            commands.append(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return [name.removesuffix(".__main__") for name in commands]


COMMANDS = all_commands()


def run_lines(lines: list[str]) -> list[tuple[str, int, set[str]]]:
    """Each line with its exit status, and which large packages it imported."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.imports"],
        cwd=ROOT,
        env=os.environ,
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=True,
    )
    answers = map(json.loads, ended.stdout.splitlines())
    return [(each["line"], each["status"], set(each["large"])) for each in answers]


def test_help_imports_nothing_large():
    assert {"masll", "masll.data", "tuning.search", "ablations.external"} <= set(COMMANDS)
    lines = ["masll", "tuning", *(f"{command} --help" for command in COMMANDS)]
    assert run_lines(lines) == [(line, 0, set()) for line in lines]


def test_an_option_is_refused_before_anything_large_is_imported():
    lines = [f"{command} --no-such-option 3" for command in COMMANDS]
    lines += REFUSED.splitlines()
    assert run_lines(lines) == [(line, 2, set()) for line in lines]


@pytest.mark.parametrize(
    "line",
    [
        f"tuning.status {FINISHED}",
        f"tuning.status {FINISHED} --config",
        "tuning.status tests/golden",
        f"ablations.report {FINISHED} --format md csv tex --out OUT",
    ],
)
def test_what_reads_a_study_imports_neither_pytorch_nor_ray(line, tmp_path):
    ((_, status, large),) = run_lines([line.replace("OUT", str(tmp_path / "report"))])
    assert status == 0 and not large & {"torch", "timm", "ray"}


@pytest.mark.slow
def test_a_search_leaves_pytorch_to_its_workers(isic_master, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("MASLL_CACHE", str(cache))
    asked = [*SMALL, "--variants", "baseline", "--trials", "1", "--seeds", "1"]
    line = ["tuning.search", "--data", str(isic_master), "--study", str(tmp_path / "study")]
    ((_, status, large),) = run_lines([shlex.join([*line, *asked])])
    assert status == 0 and "ray" in large and not large & {"torch", "timm"}
