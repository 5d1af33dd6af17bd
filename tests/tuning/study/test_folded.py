"""What is folded spares opening files, and never says anything else than they do."""

import shutil

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from masll.common.storage import LocalPath, any_path
from tests.benchmarks.report import write_study
from tuning.study import folding, reader
from tuning.study.damage import DamagedTrial
from tuning.study.folder import StudyFolder
from tuning.study.folding import Folding, fold
from tuning.study.reader import read_ended
from tuning.study.spec import Spec, read_spec

KINDS = ("trials", "epochs", "predictions")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A study of 5 arms, each with 3 search trials and a confirmed model."""
    folder = tmp_path_factory.mktemp("studies") / "study"
    write_study(folder, trials=3, seeds=1)
    return folder


@pytest.fixture
def folder(written, tmp_path, monkeypatch) -> StudyFolder:
    for module in (reader, folding):
        monkeypatch.setattr(module, "WORTH_FOLDING", 2)
    shutil.copytree(written, tmp_path / "study")
    return StudyFolder(LocalPath(tmp_path / "study"))


def ended(folder):
    return read_ended(folder, read_spec(folder))


def opened(folder, monkeypatch):
    """Names of the files of rows that reading a study opens."""
    names = []
    whole = reader._read_file

    def read(source, *of):
        names.append(source.path.name)
        return whole(source, *of)

    monkeypatch.setattr(reader, "_read_file", read)
    ended(folder)
    return names


def assert_same(first, second):
    assert first.rows == second.rows and first.curves == second.curves
    for kind in KINDS:
        assert getattr(first, kind).equals(getattr(second, kind)), kind


def change(path, edit):
    """Write a file anew with other rows, at another time."""
    edit(pd.read_parquet(path)).to_parquet(path, index=False)


def test_a_folded_study_is_read_the_same_and_opens_no_file(folder, monkeypatch):
    before = ended(folder)
    assert len(before.rows) == 20 and before.predictions.num_rows == 5 * (150 + 600)
    fold(folder)
    assert_same(ended(folder), before)
    assert opened(folder, monkeypatch) == []


def test_only_what_has_come_since_is_opened(folder, tmp_path, monkeypatch):
    later = folder.trials / "gated-fusion.resnet18.search.0001.parquet"
    aside = tmp_path / later.name
    later.rename(aside)
    fold(folder)
    aside.rename(later)
    before = ended(folder)
    assert opened(folder, monkeypatch) == [later.name]
    shutil.rmtree(folder.path / "folded")
    assert_same(ended(folder), before)


def test_a_file_that_has_changed_counts_and_not_what_was_folded(folder):
    fold(folder)
    row = ended(folder).rows[0]
    change(folder.trials / f"{row.trial_id}.parquet", lambda rows: rows.assign(seconds=77.0))
    assert ended(folder).rows[0].seconds == 77


def test_a_file_that_is_gone_is_gone_and_one_that_is_damaged_is_named(folder):
    fold(folder)
    first, second, *_ = ended(folder).rows
    for path in folder.files_of(first.trial_id)[:3]:
        path.unlink()
    assert first.trial_id not in {row.trial_id for row in ended(folder).rows}
    (folder.epochs / f"{second.trial_id}.parquet").write_bytes(b"PAR1 cut off")
    with pytest.raises(DamagedTrial, match=second.trial_id):
        ended(folder)


def test_what_rows_say_is_checked_against_the_spec_though_they_are_folded(folder):
    fold(folder)
    spec = read_spec(folder)
    fewer = Spec(spec.arms, {**spec.options, "epochs": 2}, spec.space)
    with pytest.raises(DamagedTrial, match="the study asks for 2 at most"):
        read_ended(folder, fewer)


def test_a_number_that_is_null_is_a_damage_and_not_folded_away(folder):
    name = ended(folder).rows[0].trial_id
    change(folder.trials / f"{name}.parquet", lambda rows: rows.assign(number=None))
    fold(folder)
    with pytest.raises(DamagedTrial, match=name):
        ended(folder)


def test_rows_of_earlier_versions_lack_the_same_columns_when_folded(folder, monkeypatch):
    """A column that one file lacks and another has is null in one table of both."""
    for row in ended(folder).rows[::2]:
        change(
            folder.trials / f"{row.trial_id}.parquet",
            lambda rows: rows.drop(columns=["number", "confirmation", "crashes", "gpus"]),
        )
    before = ended(folder)
    fold(folder)
    assert_same(ended(folder), before)
    assert opened(folder, monkeypatch) == []


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kind=st.sampled_from(KINDS),
    of_list=st.booleans(),
    where=st.floats(0, 1, exclude_max=True),
    cut=st.booleans(),
)
def test_damage_to_what_is_folded_changes_nothing(folder, kind, of_list, where, cut):
    fold(folder)
    before = ended(folder)
    path = folder.folded(kind)
    path = path.with_suffix(".json") if of_list else path
    content = bytearray(path.read_bytes())
    at = int(where * len(content))
    if cut:
        del content[at:]
    else:
        content[at] ^= 0x55
    path.write_bytes(bytes(content))
    assert_same(ended(folder), before)


def test_predictions_of_the_search_are_read_from_their_files(folder):
    spec = read_spec(folder)
    before = read_ended(folder, spec, stage=None)
    fold(folder)
    assert_same(read_ended(folder, spec, stage=None), before)
    assert before.predictions.num_rows > ended(folder).predictions.num_rows


def test_the_search_folds_when_enough_trials_have_ended(folder):
    ending = Folding(folder, ended=0)
    ending.add()
    assert not folder.folded("trials").exists()
    ending.add()
    assert pq.read_table(folder.folded("trials")).num_rows == 20


def test_damaged_rows_and_folders_that_take_nothing_stop_no_search(folder):
    path = folder.trials / f"{ended(folder).rows[0].trial_id}.parquet"
    sound = path.read_bytes()
    path.write_bytes(b"")
    fold(folder)
    assert not folder.folded("trials").exists()
    path.write_bytes(sound)
    (folder.path / "folded").write_text("in the way")
    fold(folder)
    assert len(ended(folder).rows) == 20


def test_on_s3_three_objects_are_read_in_place_of_one_a_file(folder, s3):
    s3.make_bucket("folded")
    s3.put_folder(folder.path, "folded/study")
    remote = StudyFolder(any_path("s3://folded/study"))
    before = ended(remote)
    fold(remote)
    with s3.counted() as requests:
        assert_same(ended(remote), before)
    assert requests["GET"] < 13  # the spec, three listings, three objects with their lists


def test_few_trials_are_not_folded(folder, monkeypatch):
    fold(folder)
    for kind in KINDS:
        folder.folded(kind).write_bytes(b"never looked at")
    monkeypatch.setattr(reader, "WORTH_FOLDING", 21)
    asked = []
    monkeypatch.setattr(reader, "read_folded", lambda *_: asked.append(1))
    ended(folder)
    assert asked == []
