"""The official folder: what is read, and how each fault is named."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from masll import InputError
from masll.data import find_source, open_store
from masll.data.options import DataOptions
from masll.data.prepare import prepare
from tests.support import COUNTS, ROOT

REAL = ROOT.parent / "shared" / "data" / "isic2017-256"
TABLE = "ISIC-2017_Training_Part3_GroundTruth.csv"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.skipif(not REAL.is_dir(), reason=f"needs {REAL}")
def test_the_official_counts_are_found():
    records = find_source(str(REAL)).records
    for split, images, melanoma in [
        ("train", 2000, 374),
        ("validation", 150, 30),
        ("test", 600, 117),
    ]:
        labels = [record.label for record in records if record.split == split]
        assert (len(labels), sum(labels)) == (images, melanoma)


def test_records_and_pixels_are_those_of_the_files(isic_folder):
    source = find_source(str(isic_folder))
    assert len(source.records) == sum(COUNTS.values())
    record = source.records[5]
    assert (record.image_id, record.label, record.split) == ("ISIC_0000005", 0, "train")
    picture = source.read(record, 64)
    with Image.open(source.image_path(record)) as image:
        assert np.array_equal(picture.image, np.asarray(image))
    assert picture.mask.shape == (64, 64) and 0 < picture.mask.mean() < 0.6


def test_a_byte_order_mark_and_windows_line_ends_are_read(isic_folder):
    table = isic_folder / TABLE
    text = table.read_text().replace("\n", "\r\n")
    table.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert len(find_source(str(isic_folder)).records) == sum(COUNTS.values())


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("image_id,melanoma", "image_id,melanom", [TABLE, "'melanoma'", "did you mean 'melanom'"]),
        ("ISIC_0000002,0.0", "ISIC_0000002,x", [TABLE, "row 4", "'x'"]),
        ("ISIC_0000002,0.0", "ISIC_0000002,2", [TABLE, "row 4", "'2'"]),
        ("ISIC_0000002,0.0", "ISIC_0000001,0.0", [TABLE, "row 4", "ISIC_0000001", "twice"]),
        ("ISIC_0000002,0.0", "ISIC_9999999,0.0", [TABLE, "row 4", "ISIC_9999999.jpg"]),
        ("ISIC_0000002,0.0", "../secret,0.0", [TABLE, "row 4", "'../secret'"]),
        ("ISIC_0000002,0.0", "/etc/passwd,0.0", [TABLE, "row 4", "'/etc/passwd'"]),
        ("ISIC_0000002,0.0,0.0\n", "", ["ISIC_0000002.jpg", "no row", TABLE]),
    ],
)
def test_a_faulty_row_is_named(isic_folder, old, new, words):
    edit(isic_folder / TABLE, old, new)
    with pytest.raises(InputError) as caught:
        find_source(str(isic_folder))
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_an_id_of_another_split_is_named(isic_folder):
    edit(isic_folder / "ISIC-2017_Test_v2_Part3_GroundTruth.csv", "ISIC_0000036,", "ISIC_0000003,")
    with pytest.raises(InputError, match="ISIC_0000003 stands twice, first in train"):
        find_source(str(isic_folder))


def test_a_partial_folder_is_used_when_that_is_said(isic_folder):
    edit(isic_folder / TABLE, "ISIC_0000002,0.0,0.0\n", "")
    (isic_folder / "ISIC-2017_Training_Data" / "ISIC_0000005.jpg").unlink()
    with pytest.raises(InputError, match=r"ISIC_0000005\.jpg.*--partial.*1 more"):
        find_source(str(isic_folder))
    source = find_source(str(isic_folder), partial=True)
    assert len(source.records) == sum(COUNTS.values()) - 2
    assert {problem.kind for problem in source.problems} == {"missing", "extra"}
    edit(isic_folder / TABLE, "ISIC_0000003,0.0", "ISIC_0000003,7")
    with pytest.raises(InputError, match="'7'"):  # what is wrong is never left out silently
        find_source(str(isic_folder), partial=True)


def test_a_table_that_is_no_text_is_named(isic_folder):
    (isic_folder / TABLE).write_bytes(bytes(range(128, 256)))
    with pytest.raises(InputError, match=f"{TABLE} is no CSV"):
        find_source(str(isic_folder))


def test_missing_parts_are_named(isic_folder, tmp_path):
    with pytest.raises(InputError, match="no data folder 'nowhere'"):
        find_source("nowhere")
    (isic_folder / TABLE).rename(isic_folder / "elsewhere.csv")
    with pytest.raises(InputError, match=TABLE):
        find_source(str(isic_folder))
    (isic_folder / "ISIC-2017_Training_Data").rename(tmp_path / "elsewhere")
    source = find_source(str(isic_folder))
    assert {record.split for record in source.records} == {"validation", "test"}
    with pytest.raises(InputError, match="isic2017 has no train images"):
        prepare(DataOptions(str(isic_folder)), 32, for_training=True)
    (isic_folder / "ISIC-2017_Validation_Data").rename(tmp_path / "elsewhere too")
    with pytest.raises(InputError, match="no folder ISIC-2017_Validation_Data"):
        find_source(str(isic_folder))


@pytest.mark.parametrize("damage", ["truncated", "text", "empty", "bomb"])
def test_an_image_that_cannot_be_decoded_is_named_and_leaves_nothing(isic_folder, tmp_path, damage):
    victim = isic_folder / "ISIC-2017_Training_Data" / "ISIC_0000003.jpg"
    content = {"truncated": victim.read_bytes()[:900], "text": b"not an image", "empty": b""}
    content["bomb"] = b"P6 40000 40000 255\n"  # 1.6 gigapixels, as a portable pixmap says it
    victim.write_bytes(content[damage])
    with pytest.raises(InputError, match=r"ISIC_0000003\.jpg"):
        open_store(find_source(str(isic_folder)), 32, cache=tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_a_split_without_melanoma_is_refused_for_training_only(isic_folder, tmp_path):
    table = isic_folder / "ISIC-2017_Test_v2_Part3_GroundTruth.csv"
    table.write_text(table.read_text().replace(",1.0,", ",0.0,").replace("True", "0.0"))
    options = DataOptions(str(isic_folder))
    with pytest.raises(InputError, match="test split"):
        prepare(options, 32, tmp_path / "cache", for_training=True)
    store = prepare(options, 32, tmp_path / "cache")
    assert not store.split("test").labels.any() and store.split("train").labels.any()
