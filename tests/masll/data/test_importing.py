"""A published data set as our CSV: the same images, labels, splits, groups, masks and metadata."""

from pathlib import Path

import pytest

from masll import InputError
from masll.data import find_source
from masll.data.dealing import Dealing
from masll.data.importing import read_named, write_table
from masll.data.rules import Rules
from tests.masll.data.published import MAKERS, make
from tests.support import assert_one_line_error, run_module


@pytest.mark.parametrize("name", MAKERS)
def test_the_csv_of_a_data_set_says_what_the_data_set_says(tmp_path, name):
    folder = make(name, tmp_path / name)
    source = read_named(name, folder, Rules())
    write_table(source, tmp_path / "all.csv")
    table = find_source(str(tmp_path / "all.csv"))
    for ours, theirs in zip(table.records, source.records, strict=True):
        assert ours[1:] == theirs[1:]
        assert table.image_path(ours) == source.image_path(theirs)
        mask = source.mask_path(theirs)
        assert table.mask_path(ours) == (mask if mask and mask.is_file() else None)


def test_the_splits_of_a_csv_are_those_that_were_dealt_out(tmp_path):
    folder = make("ham10000", tmp_path / "HAM10000")
    rules = Rules(dealing=Dealing("group", (0.7, 0.1, 0.2)))
    write_table(read_named("ham10000", folder, rules), folder / "ham10000.csv")
    dealt = find_source(str(folder), rules=rules).records
    read = find_source(str(folder / "ham10000.csv")).records
    assert [r.split for r in read] == [r.split for r in dealt]


def test_what_cannot_be_imported_is_refused(tmp_path):
    folder = make("ph2", tmp_path / "sets" / "PH2")
    source = read_named("ph2", folder, Rules())
    with pytest.raises(InputError, match=r"OUT must end in \.csv"):
        write_table(source, folder / "ph2.txt")
    with pytest.raises(InputError, match=r"put it in .*PH2, or above; such as .*PH2.ph2\.csv"):
        write_table(source, tmp_path / "elsewhere" / "ph2.csv")
    write_table(source, folder / "ph2.csv")
    with pytest.raises(InputError, match="exists already"):
        write_table(source, folder / "ph2.csv")
    with pytest.raises(InputError, match=r"holds no HAM10000: there is no HAM10000_metadata\.csv"):
        read_named("ham10000", folder, Rules())
    with pytest.raises(InputError, match="unknown data set 'ph3'"):
        read_named("ph3", folder, Rules())
    with pytest.raises(InputError, match="no folder nowhere on this machine"):
        read_named("ph2", Path("nowhere"), Rules())
    next(folder.rglob("IMD000.bmp")).unlink()
    with pytest.raises(InputError, match=r"row 2: there is no .*IMD000\.bmp"):
        read_named("ph2", folder, Rules())
    assert len(read_named("ph2", folder, Rules(), partial=True).records) == 2


@pytest.mark.slow
def test_the_commands_take_a_published_data_set(tmp_path):
    folder: Path = make("ham10000", tmp_path / "HAM10000")

    def data(*arguments):
        return run_module("masll.data", *arguments, cache=tmp_path / "cache")

    dealing = ("--split-by", "group", "0.7", "0.1", "0.2")
    made = data("import", "ham10000", folder, folder / "ham.csv", *dealing)
    assert made.returncode == 0, made.stderr
    assert "train" in made.stdout and "verify --data" in made.stdout
    verified = data("verify", "--data", folder / "ham.csv")
    assert verified.returncode == 0 and "groups" in verified.stdout, verified.stdout
    assert "metadata   diagnosis of 105, age of 105, sex of 103" in verified.stdout
    prepared = data("prepare", "--data", folder, "--source-size", 32)
    assert prepared.returncode == 0, prepared.stderr
    assert "test          105 images, 12 melanoma, 105 masks" in prepared.stdout
    train = run_module("masll.train", "--data", folder, "--out", tmp_path / "m", cache=tmp_path)
    assert_one_line_error(train, "ham10000 has no train images", "--split-by group 0.7 0.1 0.2")
