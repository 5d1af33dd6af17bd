"""Where commands may write: never among a study's own files, and everywhere else."""

import errno
import os

import pytest

from masll.common.errors import InputError
from masll.common.outputs import OWN_FOLDERS, check_output, holds_study
from masll.common.storage import S3Path, any_path, local_path
from tuning.study.folder import StudyFolder


@pytest.fixture
def study(tmp_path):
    study = any_path(tmp_path / "studies" / "paper")
    (study / "spec.json").write_whole("{}")
    return study


@pytest.mark.parametrize("name", OWN_FOLDERS)
@pytest.mark.parametrize("below", ["", "new", "new/er"])
def test_no_command_writes_into_a_folder_that_is_the_search_s(study, name, below):
    with pytest.raises(InputError, match=rf"^--out .*{name}.* lies in {name}/ of the study .*/pa"):
        check_output(study / name / below, "--out")
    assert [path.name for path in study.iterdir()] == ["spec.json"], "nothing was made"


def test_a_folder_that_leads_into_one_is_refused_like_it(study, tmp_path, monkeypatch):
    (study / "models").mkdir()
    (tmp_path / "link").symlink_to(study / "models")
    monkeypatch.chdir(study)
    for name in (tmp_path / "link" / "x", "models/x", f"..{os.sep}paper{os.sep}models"):
        with pytest.raises(InputError, match=r"lies in models/ of the study"):
            check_output(any_path(name), "--out")


@pytest.mark.parametrize("name", ["report", "external/ph2/looked-at", "mine/models", "../models"])
def test_a_folder_of_one_s_own_in_a_study_or_beside_it_is_taken(study, name):
    check_output(study / name, "--out")


def test_a_folder_that_is_no_study_may_have_folders_of_any_name(tmp_path):
    (tmp_path / "clinic" / "trials").mkdir(parents=True)
    check_output(any_path(tmp_path / "clinic" / "models" / "first"), "--out")


def test_rows_without_a_spec_are_a_study(tmp_path):
    assert not holds_study(any_path(tmp_path))
    for name in ("trials", "epochs"):
        (tmp_path / name).mkdir()
    assert holds_study(any_path(tmp_path))


def test_the_folders_of_the_search_are_those_of_a_study_folder(study):
    folder = StudyFolder(study)
    own = (folder.trials, folder.epochs, folder.predictions, folder.models, folder.running)
    deeper = (folder.part("x"), folder.folded("trials"), folder.set_aside("now"))
    assert set(OWN_FOLDERS) == {path.name for path in (*own, *(each.parent for each in deeper))}
    assert folder.spec == study / "spec.json"


def test_a_study_on_s3_keeps_its_folders_too(monkeypatch):
    asked = []

    def exists(path):
        asked.append(str(path))
        return path.name == "spec.json" and path.parent.name == "paper"

    monkeypatch.setattr(S3Path, "exists", exists)
    for name in ("s3://lab/paper/models", "s3://lab/paper/models/x/report"):
        with pytest.raises(InputError, match="in models/ of the study s3://lab/paper, where only"):
            check_output(any_path(name), "--out")
    asked.clear()
    for name in ("s3://lab", "s3://models/x", "s3://lab/paper/report"):
        check_output(any_path(name), "--out")
    assert asked == [], "a request takes time: only for what has the name of such a folder"


def test_a_place_that_cannot_be_looked_at_is_one_line(monkeypatch):
    def refuse(path):
        raise OSError(errno.EIO, "the endpoint is not reachable", str(path))

    monkeypatch.setattr(S3Path, "exists", refuse)
    said = "^cannot tell whether --out s3://lab/x/models lies in a study: the endpoint is not"
    with pytest.raises(InputError, match=said):
        check_output(any_path("s3://lab/x/models"), "--out")


def test_an_address_is_no_path_of_this_machine():
    assert local_path("a//b", "--out") == any_path("a/b")
    for name in ("s3://bucket/x", "https://example.com/x.jpg"):
        with pytest.raises(InputError, match=rf"^IMAGE {name} is not on this machine; copy it"):
            local_path(name, "IMAGE", "copy it here, and name the copy")
