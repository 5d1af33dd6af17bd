"""Damaged and hostile studies: search, status and report say the same, in one line, and at once."""

import importlib
import shutil
from pathlib import Path

import pytest

from tests.tuning.hostile import DAMAGES, HARMLESS, OF_THE_SEARCH, run
from tests.tuning.kill_points import run_fork

COMMANDS = ("tuning.search", "tuning.status", "ablations.report")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, isic_master, cache) -> Path:
    """A study of two arms that has finished; not to be changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MASLL_CACHE", str(cache))
        root = tmp_path_factory.mktemp("hostile") / "studies"
        root.mkdir()
        status, _, output = run_fork(root, isic_master)
    assert status == 0, output
    for module in (*COMMANDS, "tuning.preview"):
        importlib.import_module(module)
    return root / "study"


@pytest.fixture
def study(finished, tmp_path, cache, monkeypatch) -> Path:
    """A copy to damage."""
    monkeypatch.setenv("MASLL_CACHE", str(cache))
    return Path(shutil.copytree(finished, tmp_path / "study"))


def leave_out_what_is_no_reading() -> None:
    from ablations import report
    from tuning import preview, search

    preview.print_plan = search._print_what_it_will_see = lambda *_, **__: None
    report.write_report = report.print_report = lambda *_: []


def read(study: Path, *commands: str) -> dict[str, tuple[int | None, str]]:
    """Exit status and output of the commands that read a study."""
    words = {
        "tuning.search": ["--resume", "--dry-run", "--study", str(study)],
        "tuning.status": [str(study)],
        "ablations.report": [str(study), "--format", "md"],
    }
    output = study.parent / "output"
    said = {}
    for command in commands or COMMANDS:
        status, text = run([command, *words[command]], output, leave_out_what_is_no_reading)
        of_images = " is partial: "  # the tests' images are fewer than the official ones
        said[command] = (
            status,
            "".join(line for line in text.splitlines(keepends=True) if of_images not in line),
        )
    return said


def assert_refused(said: dict[str, tuple[int | None, str]], name: str) -> None:
    for command, (status, text) in said.items():
        lines = text.splitlines()
        assert status == 2 and len(lines) == 1, (command, status, text[-2000:])
        assert lines[0].startswith("error: ") and name in lines[0], (command, lines[0])


@pytest.mark.parametrize("name", DAMAGES)
def test_every_command_names_the_damaged_file_in_one_line(study, name):
    DAMAGES[name].damage(study)
    said = read(study)
    assert_refused(said, DAMAGES[name].names)
    assert len(set(said.values())) == 1, said


@pytest.mark.parametrize("name", HARMLESS)
def test_what_does_no_harm_stops_no_command(study, name):
    HARMLESS[name](study)
    for command, (status, text) in read(study).items():
        assert status == 0 and "Traceback" not in text, (command, text[-2000:])


@pytest.mark.parametrize("name", OF_THE_SEARCH)
def test_what_only_the_search_needs_is_named_by_it_and_by_status(study, name):
    OF_THE_SEARCH[name](study)
    assert_refused(read(study, "tuning.search", "tuning.status"), "spec.json")
    ((status, text),) = read(study, "ablations.report").values()
    assert status == 0, text
