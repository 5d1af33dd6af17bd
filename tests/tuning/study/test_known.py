"""Which studies there are, and which is the newest."""

import os

import pytest

from masll.common.errors import InputError
from masll.common.storage import any_path
from tuning.study.known import newest_study, studies_in


def begin(folder, when: float) -> None:
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text("{}")
    os.utime(folder / "spec.json", (when, when))


def test_the_newest_study_is_the_one_begun_or_gone_on_with_last(tmp_path):
    for name, when in (("a", 30), ("b", 50), ("c", 40)):
        begin(tmp_path / "studies" / name, when)
    assert newest_study(tmp_path).name == "b"
    os.utime(tmp_path / "studies" / "a" / "spec.json", (60, 60))
    assert newest_study(tmp_path).name == "a"


def test_it_is_looked_for_here_and_then_in_the_folders_above(tmp_path):
    begin(tmp_path / "studies" / "above", 10)
    deep = tmp_path / "studies" / "notes"
    (deep / "studies").mkdir(parents=True)  # without a study
    assert newest_study(deep).name == "above"
    begin(deep / "studies" / "here", 5)
    assert newest_study(deep).name == "here"


def test_what_is_no_study_is_passed_over_and_none_at_all_is_said(tmp_path):
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "summary.ipynb").write_text("{}")
    assert studies_in(any_path(tmp_path / "studies")) == []
    with pytest.raises(InputError, match=r"no study in studies/ of .*tuning\.search makes one"):
        newest_study(tmp_path)
