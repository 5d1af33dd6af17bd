"""Wrong, extreme, empty, doubled and contradictory command lines of every command.

wrong.txt and sound.txt have a command line each. SEARCH, TRAIN, AUDIT, PREDICT, REPORT, EXTERNAL
and EXPORT stand for a small command that is well; other words in capitals name what `places` makes.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.options.forks import Answer
from tests.options.places import make_places
from tests.support import ROOT

BASES: Mapping[str, str] = MappingProxyType(
    {
        "SEARCH": "search --data ISIC --backbones test_resnet --no-pretrained --image-size 32 "
        "--source-size 48 --batch-size 8 --num-gpus 0 --trials 1 --epochs 1 --seeds 1 "
        "--variants baseline --study STUDY",
        "TRAIN": "train --data ISIC --backbone test_resnet --no-pretrained --image-size 32 "
        "--source-size 48 --batch-size 8 --epochs 1 --device cpu --out OUT",
        "AUDIT": "audit --data ISIC --backbone test_resnet --no-pretrained --image-size 32 "
        "--device cpu --out OUT",
        "PREDICT": "predict --model MODEL --device cpu",
        "REPORT": "report FINISHED --out OUT",
        "EXTERNAL": "external --model MODEL --data IMAGES --duplicates unchecked --out OUT "
        "--device cpu",
        "EXPORT": "export FINISHED --to isic OUT",
    }
)


def lines(name: str) -> list[str]:
    """The command lines of a file here."""
    return (Path(__file__).with_name(name)).read_text().splitlines()


def spelt_out(line: str) -> str:
    """A command line with the small command that it begins with."""
    first, space, rest = line.partition(" ")
    return BASES.get(first, first) + space + rest


WRONG, SOUND = lines("wrong.txt"), lines("sound.txt")


def content(folder: Path) -> dict[Path, bytes | None]:
    """What lies in the places that command lines name."""
    passing = {folder / "stdout", folder / "stderr"}
    return {
        path: path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if path not in passing
    }


@pytest.fixture(scope="module")
def answers(isic_master, tmp_path_factory) -> Mapping[str, Answer]:
    """Of all command lines: they share one process, so that each takes moments."""
    folder, cache = tmp_path_factory.mktemp("options"), tmp_path_factory.mktemp("cache")
    make_places(folder, isic_master)
    before = content(folder)
    asked = [*WRONG, *SOUND]
    process = subprocess.run(
        [sys.executable, "-m", "tests.options.forks", str(folder), str(cache)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        input="".join(f"{spelt_out(line)}\n" for line in asked),
        capture_output=True,
        text=True,
        check=True,
    )
    assert content(folder) == before, "a command has changed what is not its own"
    told = [Answer(**json.loads(line)) for line in process.stdout.splitlines()]
    return dict(zip(asked, told, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_command_line_is_one_line_and_leaves_nothing(answers, line):
    answer = answers[line]
    said = [each for each in answer.errors.splitlines() if "is partial: " not in each]
    assert (answer.status, len(said), answer.written) == (2, 1, []), answer
    assert said[0].startswith("error: ")


@pytest.mark.slow
@pytest.mark.parametrize("line", SOUND)
def test_a_sound_command_line_is_taken(answers, line):
    answer = answers[line]
    assert answer.at_work or answer.status in (0, 1), answer  # 1: an image that cannot be read
    assert "Traceback" not in answer.errors
