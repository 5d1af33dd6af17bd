"""A folder and a CSV: any two-class image task, and each fault by file and row."""

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from masll import InputError
from masll.data import find_source, open_store
from masll.data.duplicates import duplicates_of
from masll.data.options import DataOptions
from masll.data.prepare import prepare
from masll.data.synthetic import synthesize
from masll.data.types import UNKNOWN
from masll.data.verify import verify

SPLITS = ["train"] * 8 + ["validation"] * 4 + ["test"] * 4


@pytest.fixture
def table(tmp_path) -> Path:
    """Sixteen images in two folders, PNG and JPEG, half of the training ones with masks."""
    folder = tmp_path / "task"
    rows = []
    for number, split in enumerate(SPLITS):
        lesion = synthesize(number, 48)
        name = f"{'ab'[number % 2]}/{number:02d}.{'png' if number % 3 else 'jpg'}"
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(lesion.image).save(path)
        mask = ""
        if number < 4:
            mask = f"a/{number:02d}-mask.png"
            (folder / "a").mkdir(exist_ok=True)
            Image.fromarray(lesion.mask).save(folder / mask)
        rows.append([name, number % 2, split, f"patient-{number // 2}", mask])
    path = folder / "task.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["image", "label", "split", "group", "mask"], *rows])
    return path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_images_labels_splits_groups_and_masks_are_those_of_the_table(table, tmp_path):
    source = find_source(str(table))
    store = open_store(source, 32, cache=tmp_path / "cache")
    train = store.split("train")
    assert train.ids[:3] == ("a/00.jpg", "b/01.png", "a/02.png")
    assert train.labels.tolist() == [0, 1] * 4
    assert train.masked.tolist() == [True] * 4 + [False] * 4
    assert train.masks[:4].any(axis=(1, 2)).all() and not train.masks[4:].any()
    assert store.listed("train")["groups"][:3] == ["patient-0", "patient-0", "patient-1"]
    assert store.split("test").masks is None
    expected = np.asarray(Image.open(table.parent / "b/01.png").resize((32, 32), 3))
    assert np.array_equal(train.images[1], expected.transpose(2, 0, 1))


def test_group_and_mask_columns_may_be_missing(table):
    rows = [line.split(",")[:3] for line in table.read_text().splitlines()]
    table.write_text("\n".join(",".join(row) for row in rows))
    assert {record.group for record in find_source(str(table)).records} == {""}


def test_a_byte_order_mark_and_windows_line_ends_are_read(table):
    text = table.read_text().replace("\r\n", "\n").replace("\n", "\r\n")
    table.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert len(find_source(str(table)).records) == len(SPLITS)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("image,label", "picture,label", ["'image'", "picture"]),
        ("b/01.png,1", "b/01.png,2", ["row 3", "'2'"]),
        ("b/01.png,1,train", "b/01.png,1,training", ["row 3", "'training'", "'train'"]),
        ("b/01.png", "a/00.jpg", ["row 3", "a/00.jpg", "twice"]),
        ("b/01.png", "b/99.png", ["row 3", "b/99.png"]),
        ("b/01.png", "../01.png", ["row 3", "'../01.png'"]),
        ("b/01.png", "b/../../01.png", ["row 3", "'b/../../01.png'"]),
        ("b/01.png", "/etc/passwd", ["row 3", "'/etc/passwd'"]),
        ("b/01.png", "C:/01.png", ["row 3", "'C:/01.png'"]),
        ("b/01.png", "", ["row 3", "empty"]),
        ("a/01-mask.png", "/etc/passwd", ["row 3", "mask", "'/etc/passwd'"]),
        ("a/01-mask.png", "a/no-mask.png", ["row 3", "a/no-mask.png"]),
    ],
)
def test_a_faulty_row_is_named(table, old, new, words):
    edit(table, old, new)
    with pytest.raises(InputError) as caught:
        find_source(str(table))
    assert "\n" not in str(caught.value)
    for word in [table.name, *words]:
        assert word in str(caught.value)


def test_the_ending_of_a_table_may_be_in_capitals(table):
    assert find_source(str(table.rename(table.with_suffix(".CSV")))).name == table.stem


def test_a_missing_or_empty_table_is_named(table, tmp_path):
    with pytest.raises(InputError, match=r"none\.csv: No such file"):
        find_source(str(tmp_path / "none.csv"))
    table.write_text("image,label,split\n")
    with pytest.raises(InputError, match="no rows"):
        find_source(str(table))


def test_a_file_under_two_spellings_of_its_path_stands_twice(table):
    with table.open("a") as file:
        file.write("./a/00.jpg,1,test,,\n")
    with pytest.raises(InputError, match=r"row 18: \./a/00\.jpg stands twice, first as a/00\.jpg"):
        find_source(str(table))


def test_a_column_that_stands_twice_is_refused(table):
    edit(table, "image,label,split,group,mask", "image,label,split,label,mask")
    with pytest.raises(InputError, match=r"task\.csv has two columns 'label'; remove one"):
        find_source(str(table))


def test_one_content_under_two_names_is_told_by_verify_and_by_every_preparation(
    table, tmp_path, capsys
):
    (table.parent / "a/14.png").write_bytes((table.parent / "a/00.jpg").read_bytes())
    text = "the same file: a/00.jpg (train, label 0) and a/14.png (test, label 0)"
    assert text in [problem.text for problem in verify(find_source(str(table))).problems]
    prepare(DataOptions(data=str(table)), 32, tmp_path / "cache")
    assert text in capsys.readouterr().err


def test_a_group_in_two_splits_is_told_by_every_preparation(table, tmp_path, capsys):
    edit(table, "patient-7", "patient-0")
    prepare(DataOptions(data=str(table)), 32, tmp_path / "cache")
    assert "task: group 'patient-0' is in test and train" in capsys.readouterr().err


def test_files_that_macos_leaves_beside_others_are_no_images(isic_folder):
    images = isic_folder / "ISIC-2017_Training_Data"
    (images / "._ISIC_0000001.jpg").write_bytes(b"\0\5\26\7")
    masks = isic_folder / "ISIC-2017_Training_Part1_GroundTruth"
    (masks / "._ISIC_0000001_segmentation.png").write_bytes(b"\0\5\26\7")
    assert verify(find_source(str(isic_folder))).problems == []


def test_other_columns_are_metadata_and_stay_with_their_images_in_the_store(table, tmp_path):
    lines = table.read_text().splitlines()
    ages = ["age,site", *(f"{40 + n},{'back' if n % 2 else ''}" for n in range(len(SPLITS)))]
    table.write_text("\n".join(",".join(both) for both in zip(lines, ages, strict=True)))
    source = find_source(str(table))
    assert source.records[1].metadata == {"age": "41", "site": "back"}
    assert source.records[2].metadata == {"age": "42"}
    store = open_store(source, 32, cache=tmp_path / "cache")
    assert store.listed("validation")["metadata"] == {
        "age": ["48", "49", "50", "51"],
        "site": ["", "back", "", "back"],
    }
    assert store.records == [
        record._replace(metadata={"site": "", **record.metadata}) for record in source.records
    ]


def test_metadata_change_the_store_and_not_the_fingerprint_of_a_study(table, tmp_path):
    before = open_store(find_source(str(table)), 32, cache=tmp_path / "cache")
    assert before.listed("train")["metadata"] == {}
    lines = table.read_text().splitlines()
    table.write_text("\n".join([f"{lines[0]},sex", *(f"{line},male" for line in lines[1:])]))
    after = open_store(find_source(str(table)), 32, cache=tmp_path / "cache")
    assert after.folder != before.folder
    assert after.index["fingerprint"] == before.index["fingerprint"]


def test_what_a_table_says_is_not_known_is_no_metadata(table):
    lines = table.read_text().splitlines()
    sexes = ["Male", "unknown", "NaN", "", *["N/A"] * 12]
    rows = [f"{line},{sex}" for line, sex in zip(lines[1:], sexes, strict=True)]
    table.write_text("\n".join([f"{lines[0]},sex", *rows]))
    found = [record.metadata for record in find_source(str(table)).records]
    assert found == [{"sex": "Male"}, *[{}] * 15]


def test_a_store_of_before_metadata_is_read(table, tmp_path):
    store = open_store(find_source(str(table)), 32, cache=tmp_path / "cache")
    for name in ("train", "validation", "test"):
        listed = store.listed(name)
        del listed["metadata"]
        (store.folder / f"{name}.json").write_text(json.dumps(listed))
    assert store.records == find_source(str(table)).records


def test_labels_in_words_are_explained_by_options(table):
    text = table.read_text().replace(",1,", ",malignant,").replace(",0,", ",Benign,")
    table.write_text(text)
    with pytest.raises(InputError, match=r"row 2: label must be 0 or 1, got 'Benign'.*--labels"):
        find_source(str(table))
    options = DataOptions(str(table), positive=("malignant",), labels=("benign=0",))
    source = find_source(str(table), rules=options.rules)
    assert [record.label for record in source.records] == [0, 1] * 8


def test_a_table_without_splits_is_all_test_images_or_dealt_out(table):
    rows = [line.split(",") for line in table.read_text().splitlines()]
    table.write_text("\n".join(",".join([*row[:2], row[3]]) for row in rows))
    assert {record.split for record in find_source(str(table)).records} == {"test"}
    options = DataOptions(str(table), split_by=("group", "0.5", "0.25", "0.25"))
    dealt = find_source(str(table), rules=options.rules).records
    assert Counter(record.split for record in dealt) == {"train": 8, "validation": 4, "test": 4}
    with pytest.raises(InputError, match=r"task has no train images; .*--split-by group"):
        prepare(DataOptions(str(table)), 32, for_training=True)


def test_a_table_without_labels_is_prepared_and_not_trained_on(table, tmp_path):
    rows = [line.split(",") for line in table.read_text().splitlines()]
    table.write_text("\n".join(",".join([row[0], *row[2:]]) for row in rows))
    report = verify(find_source(str(table)))
    assert [count.unlabelled for count in report.counts] == [8, 4, 4]
    store = prepare(DataOptions(str(table)), 32, tmp_path / "cache")
    assert set(store.split("train").labels.tolist()) == {UNKNOWN}
    with pytest.raises(InputError, match="8 train images of task have no label"):
        prepare(DataOptions(str(table)), 32, tmp_path / "cache", for_training=True)


def test_one_split_of_one_class_is_verified_prepared_and_compared(table, tmp_path):
    lines = [line for line in table.read_text().splitlines() if ",0,train," in line]
    table.write_text("\n".join(["image,label,split,group,mask", *lines]))
    assert verify(find_source(str(table))).problems == []
    store = prepare(DataOptions(str(table)), 32, tmp_path / "cache")
    assert [len(store.split(name)) for name in ("train", "validation", "test")] == [4, 0, 0]
    assert prepare(DataOptions(str(table)), 32, tmp_path / "cache").folder == store.folder
    assert duplicates_of(DataOptions(str(table)), tmp_path / "cache").pairs == []
    with pytest.raises(InputError, match="the train split of task needs"):
        prepare(DataOptions(str(table)), 32, tmp_path / "cache", for_training=True)


@pytest.mark.parametrize("column", ["label", "split", "group", "mask"])
def test_a_misspelt_column_is_no_metadata(table, column):
    edit(table, column, f"{column}s")
    with pytest.raises(InputError, match=rf"no column '{column}' \(did you mean '{column}s'"):
        find_source(str(table))
