"""Runs that can be told apart: a list of studies, names, notes, and a path that names none."""

import json
import re
import shutil

import pytest

from ablations.documents import write_report
from ablations.rows import read_study
from masll import InputError
from masll.common.storage import any_path
from tests.support import ROOT, TINY_BACKBONE
from tests.terminals import on_terminal
from tuning import status
from tuning.options import resolve
from tuning.studies import list_studies
from tuning.study.folder import StudyFolder
from tuning.study.spec import read_spec
from tuning.study_run import _new_folder

GOLDEN = ROOT / "tests" / "golden"


@pytest.fixture
def studies(tmp_path, monkeypatch):
    """A finished study, and one that was killed, in studies/."""
    for name in ("finished", "killed"):
        shutil.copytree(GOLDEN / name, tmp_path / "studies" / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "studies"


def test_studies_are_listed_with_state_data_and_verdict(studies, capsys):
    spec = json.loads((studies / "killed" / "spec.json").read_text())
    spec["options"]["note"] = "a second look"
    (studies / "killed" / "spec.json").write_text(json.dumps(spec))
    write_report(str(studies / "finished"), ["md"])
    (studies / "broken").mkdir()
    (studies / "broken" / "spec.json").write_text("{")
    broken, finished, killed = list_studies(any_path(studies))
    assert "spec.json" in broken["unreadable"]
    assert (finished["state"], killed["state"]) == ("done", "stopped")
    ended = len(list((studies / "killed" / "trials").glob("*.parquet")))
    assert killed["trials"].startswith(f"{ended} of ") and killed["note"] == "a second look"
    assert finished["verdict"] and finished["verdict"] in (
        studies / "finished" / "report" / "ablation.md"
    ).read_text(encoding="utf-8")
    assert status.main([]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("broken", "finished", "killed"))


def test_only_one_study_is_followed(studies):
    for words in ([], [str(studies)]):
        with pytest.raises(InputError, match="--follow looks on at one study; name one of those"):
            status.main([*words, "--follow"])
    with pytest.raises(InputError, match="leave one of both out"):
        status.main([str(studies / "finished"), "--config", "--follow"])


def test_a_folder_without_studies_says_how_to_make_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert status.main([]) == 0
    assert "python -m tuning.search makes one" in capsys.readouterr().out


@pytest.mark.usefixtures("studies")
@pytest.mark.parametrize("read", [lambda path: read_spec(StudyFolder(any_path(path))), read_study])
def test_a_missing_study_names_the_nearest_or_those_there_are(read):
    with pytest.raises(InputError, match=r"did you mean 'studies/finished'\?"):
        read("studies/finishd")
    with pytest.raises(InputError, match="there are studies/finished, studies/killed"):
        read("elsewhere")


def test_what_a_study_was_asked_is_printed(studies, capsys):
    assert status.main([str(studies / "finished"), "--config"]) == 0
    assert "[space.lr]" in capsys.readouterr().out


def test_a_name_stands_behind_the_time_in_the_folder():
    assert _new_folder("ten seeds").endswith("-ten-seeds")
    with pytest.raises(InputError, match="--name 'a/b'"):
        resolve({"name": "a/b"})


@pytest.mark.slow
def test_the_first_screen_of_a_search_says_what_is_waited_for(cache):
    """On a real terminal, from the first line to the last: no word is folded, no library speaks."""
    words = ["tuning.search", "--dry-run", "--backbones", TINY_BACKBONE, "--no-pretrained"]
    lines = on_terminal(80, *words, "--image-size", "32", cache=cache)
    assert re.fullmatch(r"\d\d:\d\d:\d\d  looking through the images, synthetic-fine", lines[0])
    assert re.fullmatch(r"\d\d:\d\d:\d\d  importing PyTorch, to check the networks", lines[1])
    told = [line for line in lines if "Traceback" in line or "arning" in line]
    assert not told
    words = " ".join(lines).split()
    for name in ("gated-fusion", "threshold_scale", "synthetic-fine", "largest_component"):
        assert any(word.strip(",()") == name for word in words), f"{name} is folded"
