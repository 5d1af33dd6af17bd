"""The official folder: what is read, and how each fault is named."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from masll import InputError
from masll.data import find_source, open_store
from masll.data.isic2017 import Isic2017
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
    source = Isic2017(isic_folder)
    assert len(source.records) == sum(COUNTS.values())
    record = source.records[5]
    assert (record.image_id, record.label, record.split) == ("ISIC_0000005", 0, "train")
    picture = source.read(record, 64)
    with Image.open(source.image_path(record)) as image:
        assert np.array_equal(picture.image, np.asarray(image))
    assert picture.mask.shape == (64, 64) and 0 < picture.mask.mean() < 0.6


def test_a_large_image_is_squashed_as_a_whole():
    import io

    frame = np.zeros((900, 1200, 3), np.uint8)
    frame[:450, 600:] = (200, 100, 50)  # the top right quarter
    content = io.BytesIO()
    Image.fromarray(frame).save(content, "jpeg", quality=95)
    square = read_square(content.getvalue(), 64)
    assert square.shape == (64, 64, 3)
    assert abs(square[10, 50].astype(int) - (200, 100, 50)).max() < 8
    assert square[50, 10].max() < 8 and square[50, 50].max() < 8 and square[10, 10].max() < 8


def test_a_byte_order_mark_and_windows_line_ends_are_read(isic_folder):
    table = isic_folder / TABLE
    text = table.read_text().replace("\n", "\r\n")
    table.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert len(Isic2017(isic_folder).records) == sum(COUNTS.values())


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
    ],
)
def test_a_faulty_row_is_named(isic_folder, old, new, words):
    edit(isic_folder / TABLE, old, new)
    with pytest.raises(InputError) as caught:
        Isic2017(isic_folder)
    for word in words:
        assert word in str(caught.value)


def test_a_table_that_is_no_text_is_named(isic_folder):
    (isic_folder / TABLE).write_bytes(bytes(range(128, 256)))
    with pytest.raises(InputError, match=f"{TABLE} is no CSV"):
        Isic2017(isic_folder)


def test_missing_parts_are_named(isic_folder, tmp_path):
    with pytest.raises(InputError, match="no data folder 'nowhere'"):
        find_source("nowhere")
    (isic_folder / TABLE).rename(isic_folder / "elsewhere.csv")
    with pytest.raises(InputError, match=TABLE):
        Isic2017(isic_folder)
    (isic_folder / "ISIC-2017_Training_Data").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="ISIC-2017_Training_Data"):
        Isic2017(isic_folder)


@pytest.mark.parametrize("damage", ["truncated", "text", "empty"])
def test_an_image_that_cannot_be_decoded_is_named_and_leaves_nothing(isic_folder, tmp_path, damage):
    victim = isic_folder / "ISIC-2017_Training_Data" / "ISIC_0000003.jpg"
    content = {"truncated": victim.read_bytes()[:900], "text": b"not an image", "empty": b""}
    victim.write_bytes(content[damage])
    with pytest.raises(InputError, match=r"ISIC_0000003\.jpg"):
        open_store(Isic2017(isic_folder), 32, cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_split_without_melanoma_is_named(isic_folder, tmp_path):
    table = isic_folder / "ISIC-2017_Test_v2_Part3_GroundTruth.csv"
    table.write_text(table.read_text().replace(",1.0,", ",0.0,").replace("True", "0.0"))
    with pytest.raises(InputError, match="test split"):
        open_store(Isic2017(isic_folder), 32, cache=tmp_path / "cache")
