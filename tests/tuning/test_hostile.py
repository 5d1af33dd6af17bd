"""Damaged and hostile studies: search, status and report say the same, in one line, and at once.

And what can be done about them: damaged trials run again, and a study may have moved.
"""

import importlib
import re
import shutil
from pathlib import Path

import pytest

from masll.common.errors import InputError
from masll.common.storage import S3Path
from tests.tuning.hostile import (
    DAMAGES,
    HARMLESS,
    LOCKS,
    OF_THE_SEARCH,
    cut,
    opening,
    option,
    pipe,
    run,
)
from tests.tuning.kill_points import StandIn, run_fork
from tuning import in_process, last_screen, search

WAITED_FOR = re.compile(r"\d\d:\d\d:\d\d  ")  # a line on what takes time
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
    late = ("tuning.study_run", "tuning.status_view", "tuning.preview", "ablations.documents")
    for module in (*COMMANDS, *late):
        importlib.import_module(module)
    return root / "study"


@pytest.fixture
def study(finished, tmp_path, cache, monkeypatch) -> Path:
    """A copy to damage."""
    monkeypatch.setenv("MASLL_CACHE", str(cache))
    return Path(shutil.copytree(finished, tmp_path / "study"))


def leave_out_what_is_no_reading() -> None:
    from ablations import documents
    from tuning import preview

    preview.print_plan = preview.print_what_it_will_see = lambda *_, **__: None
    documents.write_report = documents.print_report = lambda *_: []


def read(study: Path, *commands: str) -> dict[str, tuple[int | None, str]]:
    """Exit status and output of the commands that read a study."""
    words = {
        "tuning.search": ["--resume", "--dry-run", "--study", str(study)],
        "tuning.status": [str(study)],
        "ablations.report": [str(study), "--format", "md"],
    }
    output = study.parent / "output"
    return {
        command: run([command, *words[command]], output, leave_out_what_is_no_reading)
        for command in commands or COMMANDS
    }


def assert_refused(said: dict[str, tuple[int | None, str]], name: str) -> None:
    for command, (status, text) in said.items():
        lines = [line for line in text.splitlines() if not WAITED_FOR.match(line)]
        assert status == 2 and len(lines) == 1, (command, status, text[-2000:])
        assert lines[0].startswith("error: ") and name in lines[0], (command, lines[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", DAMAGES)
def test_every_command_names_the_damaged_file_in_one_line(study, name):
    DAMAGES[name].damage(study)
    said = read(study)
    assert_refused(said, DAMAGES[name].names)
    assert len(set(said.values())) == 1, said


@pytest.mark.slow
@pytest.mark.parametrize("name", HARMLESS)
def test_what_does_no_harm_stops_no_command(study, name):
    HARMLESS[name](study)
    for command, (status, text) in read(study).items():
        assert status == 0 and "Traceback" not in text, (command, text[-2000:])


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_THE_SEARCH | LOCKS)
def test_what_only_the_search_needs_is_named_by_it_and_by_status(study, name):
    (OF_THE_SEARCH | LOCKS)[name](study)
    names = ".lock" if name in LOCKS else "spec.json"
    assert_refused(read(study, "tuning.search", "tuning.status"), names)
    ((status, text),) = read(study, "ablations.report").values()
    assert status == 0, text


def go_on(study: Path, *words: str) -> tuple[int | None, str]:
    """Resume a study with a stand-in for training: exit status and output."""

    def stand_in() -> None:
        from tuning import in_process, last_screen

        in_process.TrialRun = StandIn  # type: ignore[misc,assignment]
        last_screen._report = lambda *_: 0  # type: ignore[assignment]

    command = ["tuning.search", "--resume", "--in-process", "--study", str(study), *words]
    return run(command, study.parent / "output", stand_in)


def test_damaged_trials_are_set_aside_and_run_again(study):
    rows = {path.name: path.read_bytes() for path in (study / "trials").glob("*.parquet")}
    openings = (study / "test-set.jsonl").read_text().splitlines()
    cut("trials", 100)(study)
    cut("predictions", 0, "confirm")(study)
    pipe("running/x.json")(study)
    assert_refused({"search": go_on(study)}, "--set-aside")
    status, text = go_on(study, "--set-aside")
    assert status == 0, text
    damaged = ["baseline.test_resnet.confirm.0000", "baseline.test_resnet.search.0000", "x"]
    told = [line for line in text.splitlines() if line.startswith("set aside in ")]
    assert sorted(line.split(": ")[1].split()[0] for line in told) == damaged, told
    (aside,) = (study / "set-aside").iterdir()
    assert {path.stem for path in aside.rglob("*.*")} == set(damaged)
    assert len(list(aside.rglob("*.*"))) == 3 + 3 + 1
    now = {path.name: path.read_bytes() for path in (study / "trials").glob("*.parquet")}
    assert now.keys() == rows.keys()
    assert {n.removesuffix(".parquet") for n in rows if now[n] != rows[n]} == set(damaged[:2])
    again = (study / "test-set.jsonl").read_text().splitlines()
    assert again[:-1] == openings and damaged[0] in again[-1]
    assert {status for status, _ in read(study).values()} == {0}


def test_on_s3_damaged_trials_are_set_aside_and_run_again_too(study, s3, monkeypatch, capsys):
    monkeypatch.setattr(in_process, "TrialRun", StandIn)
    monkeypatch.setattr(last_screen, "_report", lambda *_: 0)
    cut("trials", 100)(study)
    s3.make_bucket("hostile")
    s3.put_folder(study, "hostile/study")
    there = S3Path("hostile/study")
    before = contents(there)
    damaged = [name for name in before if "/baseline.test_resnet.search.0000." in name]
    resume = ["--resume", "--in-process", "--study", str(there)]
    with pytest.raises(InputError, match="--set-aside"):
        search.main(resume)
    assert search.main([*resume, "--set-aside"]) == 0
    (told,) = (line for line in capsys.readouterr().out.splitlines() if "set aside in" in line)
    (aside,) = {path.parent.parent for path in (there / "set-aside").content()}
    assert told.startswith(f"set aside in {aside}, to run again: baseline.test_resnet.search.0000")
    assert contents(aside) == {name: before[name] for name in damaged} and len(damaged) == 3
    after = contents(there)
    rows = [name for name in before if name.startswith("trials/")]
    assert [name for name in rows if after[name] != before[name]] == [damaged[-1]]


def contents(place: S3Path) -> dict[str, bytes]:
    """What lies below a place, by its name from there, in the order of names."""
    return {each.name: (place / each.name).read_bytes() for each in place.listed()}


def test_what_is_no_trial_s_is_not_set_aside(study):
    opening("{")(study)
    assert_refused({"search": go_on(study, "--set-aside")}, "test-set.jsonl")
    assert_refused({"search": go_on(study, "--set-aside", "--dry-run")}, "--dry-run")
    assert not (study / "set-aside").exists()


def test_a_study_goes_on_elsewhere_with_its_images_elsewhere(study, isic_folder):
    moved = study.rename(study.with_name("moved"))
    option(data="/nope/isic")(moved)
    assert_refused({"search": go_on(moved, "--trials", "3")}, "/nope/isic")
    status, text = go_on(moved, "--trials", "3", "--data", str(isic_folder))
    assert status == 0, text
    assert len(list((moved / "trials").glob("*.search.*.parquet"))) == 2 * 3
    (isic_folder / "ISIC-2017_Training_Data" / "ISIC_0000000.jpg").unlink()
    status, text = go_on(moved, "--trials", "4", "--data", str(isic_folder))
    assert status == 2 and text.count("error: ") == 1, text
