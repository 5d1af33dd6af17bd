"""metadata.parquet: what is written is read again, and what is no metadata is named."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masll.common.errors import InputError
from masll.common.storage import any_path
from tuning.study.folder import StudyFolder
from tuning.study.metadata import KnownImage, read_metadata, write_metadata

FEMALE = KnownImage("a", "test", {"sex": "female", "age": "55"})
NOTHING = KnownImage("b", "validation", {})


def folder(path: Path) -> StudyFolder:
    return StudyFolder(any_path(path))


def test_a_row_an_image_a_column_of_text_for_each_kind_and_null_where_not_known(tmp_path):
    write_metadata(folder(tmp_path), [FEMALE, NOTHING, KnownImage("c", "test", {"sex": ""})])
    rows = pq.read_table(tmp_path / "metadata.parquet").to_pydict()
    assert list(rows) == ["image_id", "split", "sex", "age"]
    assert rows["split"] == ["test", "validation", "test"]
    assert rows["sex"] == ["female", None, None]
    assert rows["age"] == ["55", None, None]


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.dictionaries(names, names, max_size=3), min_size=1, max_size=5))
def test_what_is_written_is_read_again_whatever_columns_are_called(tmp_path_factory, known):
    study = folder(tmp_path_factory.mktemp("study"))
    write_metadata(study, [KnownImage(f"{i}", "test", each) for i, each in enumerate(known)])
    kept = [{n: t for n, t in each.items() if n not in ("image_id", "split")} for each in known]
    read = read_metadata(study)
    if not any(kept):
        assert read is None
        return
    rows = [
        {n: t for n, t in row.items() if t is not None and n not in ("image_id", "split")}
        for row in read.to_pylist()
    ]
    assert rows == kept


def test_images_of_which_nothing_is_known_leave_no_file(tmp_path):
    write_metadata(folder(tmp_path), [NOTHING, KnownImage("c", "test", {"sex": ""})])
    assert list(tmp_path.iterdir()) == []
    assert read_metadata(folder(tmp_path)) is None


def test_a_study_keeps_the_metadata_that_it_began_with(tmp_path):
    write_metadata(folder(tmp_path), [FEMALE])
    write_metadata(folder(tmp_path), [FEMALE._replace(metadata={"sex": "male"})])
    assert read_metadata(folder(tmp_path)).to_pydict()["sex"] == ["female"]


def test_pandas_may_have_written_it(tmp_path):
    rows = pd.DataFrame(
        {"image_id": ["a", "b"], "split": "test", "site": pd.Categorical(["x"] * 2)}
    )
    rows.to_parquet(tmp_path / "metadata.parquet", index=False)
    assert read_metadata(folder(tmp_path)).to_pydict()["site"] == ["x", "x"]


SOUND = {"image_id": ["a", "b"], "split": ["test", "test"]}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"image_id": ["a", "b"]}, "no column 'split'"),
        (SOUND | {"age": [30.0, 40.0]}, "column 'age' must be of type string, got double"),
        (SOUND | {"image_id": ["a", None]}, "column 'image_id' is null"),
        (SOUND | {"image_id": ["a", "a"]}, "an image_id stands twice"),
    ],
)
def test_what_is_no_metadata_is_named_in_one_line(tmp_path, columns, message):
    pq.write_table(pa.table(columns), tmp_path / "metadata.parquet")
    with pytest.raises(InputError) as error:
        read_metadata(folder(tmp_path))
    assert str(error.value).startswith(f"{tmp_path / 'metadata.parquet'}: {message}")
    assert "restore or remove it" in str(error.value) and "\n" not in str(error.value)


def test_a_column_that_stands_twice_is_named(tmp_path):
    text = pa.array(["x"])
    pq.write_table(
        pa.table([text] * 4, names=["image_id", "split", "sex", "sex"]),
        tmp_path / "metadata.parquet",
    )
    with pytest.raises(InputError, match="column 'sex' stands twice"):
        read_metadata(folder(tmp_path))
