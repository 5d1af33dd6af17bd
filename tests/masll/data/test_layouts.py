"""Folders of published data sets: the official counts, classes, groups, metadata, and faults."""

import csv
import pickle
import shutil
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from masll import InputError
from masll.data import find_source
from masll.data.dealing import Dealing
from masll.data.labelling import Labelling
from masll.data.layouts import LAYOUTS, FolderSource, published_files, recognise
from masll.data.layouts.isic import ARCHIVE
from masll.data.layouts.layout import Pattern
from masll.data.rules import Rules
from masll.data.types import UNKNOWN, count_positive
from masll.data.verify import verify
from tests.masll.data import published
from tests.masll.data.published import MAKERS, make, scaled
from tests.support import ROOT

# Classes of each split, from the papers; melanoma by the text that stands for it.
OF_CLASS = {
    "isic2016": published.ISIC2016,
    "isic2017": published.ISIC2017,
    "isic2018": published.ISIC2018,
    "isic2019": published.ISIC2019,
    "isic2020": {"train": published.ISIC2020},
    "ham10000": {"test": published.HAM10000},
    "ph2": {"test": published.PH2},
    "derm7pt": published.DERM7PT,
    "med-node": {"test": published.MED_NODE},
}


def is_melanoma(text: str) -> bool:
    return text.lower() in ("mel", "malignant", "1.0", "2") or "melanoma" in text


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """One of each, not to be changed by a test."""
    return {name: make(name, tmp_path_factory.mktemp(name)) for name in MAKERS}


@pytest.fixture
def ham(tmp_path) -> Path:
    """A copy that a test may damage."""
    return make("ham10000", tmp_path / "HAM10000")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_every_layout_has_a_folder_to_be_tried_on():
    assert MAKERS.keys() == LAYOUTS.keys() == OF_CLASS.keys() | {"isic-archive"}


def test_the_documentation_has_the_files_and_counts_of_every_layout():
    page = (ROOT / "docs" / "datasets.md").read_text()
    for layout in LAYOUTS.values():
        (row,) = (line for line in page.splitlines() if line.startswith(f"| `{layout.name}` |"))
        assert all(f"`{file}`" in row for file in layout.looked_for.split(" and "))
        for part in layout.parts:
            assert part.official is None or "{} ({})".format(*part.official) in row
        assert all(name in row for name in layout.metadata if name != "diagnosis")


@pytest.mark.parametrize("name", OF_CLASS)
def test_the_official_counts_are_those_of_the_papers_classes(name):
    official = {part.split: part.official for part in LAYOUTS[name].parts}
    for split, classes in OF_CLASS[name].items():
        melanomas = sum(count for text, count in classes.items() if is_melanoma(text))
        assert official[split] == (sum(classes.values()), melanomas)


@pytest.mark.parametrize("name", OF_CLASS)
def test_a_small_folder_gives_the_scaled_counts(folders, name):
    source = find_source(str(folders[name]))
    assert source.name == name
    found = Counter((record.split, record.label) for record in source.records)
    expected = Counter()
    for split, classes in OF_CLASS[name].items():
        for text, count in classes.items():
            expected[split, int(is_melanoma(text))] += scaled(count)
    if name == "isic2020":  # whose test images have no labels
        expected["test", UNKNOWN] = scaled(published.ISIC2020_TEST)
    assert found == +expected


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ham10000", "ph2", "derm7pt", "med-node", "isic2017"])
def test_a_folder_of_full_size_gives_the_official_counts(tmp_path, monkeypatch, name):
    monkeypatch.setattr(published, "SCALE", 1)
    source = find_source(str(make(name, tmp_path)))
    for split, official in source.official.items():
        records = [record for record in source.records if record.split == split]
        assert (len(records), count_positive(records)) == official
    if name == "ham10000":
        assert len({record.group for record in source.records}) == published.HAM10000_LESIONS


@pytest.mark.parametrize("name", MAKERS)
def test_every_file_of_a_small_folder_is_read_or_rightly_ignored(folders, name):
    report = verify(find_source(str(folders[name])))
    assert report.problems == []


@pytest.mark.parametrize("name", MAKERS)
def test_a_source_goes_to_another_process(folders, name):
    source = pickle.loads(pickle.dumps(find_source(str(folders[name]))))
    assert source.read(source.records[0], 16).image.shape == (16, 16, 3)


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_fetched_from_elsewhere_is_what_is_read(folders, name, tmp_path):
    read = published_files(files(folders[name]))
    assert not any((folders[name] / path).read_bytes() == b"not read" for path in read) or (
        name == "derm7pt"  # its clinical images lie among the others
    )
    for path in read:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folders[name] / path, tmp_path / path)
    assert find_source(str(tmp_path)).records == find_source(str(folders[name])).records


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("ham10000", scaled(published.HAM10000_LESIONS)),
        ("isic2020", scaled(published.ISIC2020_PATIENTS)),
    ],
)
def test_groups_are_the_lesions_or_patients_of_the_set(folders, name, groups):
    records = find_source(str(folders[name])).records
    assert len({record.group for record in records if record.label != UNKNOWN}) == groups


@pytest.mark.parametrize(
    ("name", "place", "metadata"),
    [
        ("isic2017", 1, {"diagnosis": "melanoma", "age": "55", "sex": "female"}),
        ("isic2018", 0, {"diagnosis": "melanoma", "confirmed_by": "histopathology"}),
        (
            "isic2019",
            0,
            {"diagnosis": "melanoma", "age": "45.0", "sex": "male", "site": "anterior torso"},
        ),
        (
            "isic2020",
            -1,
            {"age": "70.0", "sex": "male"},
        ),
        ("ph2", 0, {"diagnosis": "common nevus", "asymmetry": "0"}),
        ("med-node", -1, {"diagnosis": "nevus"}),
    ],
)
def test_metadata_has_one_name_in_all_sets(folders, name, place, metadata):
    assert find_source(str(folders[name])).records[place].metadata == metadata


def test_columns_without_a_meaning_of_their_own_are_metadata_too(folders, tmp_path):
    derm = find_source(str(folders["derm7pt"])).records[0]
    assert derm.metadata == {
        **{"diagnosis": "basal cell carcinoma", "sex": "male", "site": "back", "case_num": "1"},
        **{"elevation": "flat", "difficulty": "low", "seven_point_score": "0"},
    }
    of_archive = find_source(str(folders["isic-archive"])).records[0].metadata
    assert of_archive["copyright_license"] == "CC-0"
    assert not {"isic_id", "diagnosis_1", "lesion_id", "patient_id"} & of_archive.keys()

    table = {
        **{"isic_id": "ISIC_1", "diagnosis_1": "Benign", "patient_id": "IP_1", "lesion_id": "IL_1"},
        **{"Mel-thick (mm)": "0.4", "family_hx_mm": "unknown"},
        **{"Age": "old", "age_approx": "60", "label": "1", "Split": "train"},
    }
    with (tmp_path / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([table.keys(), table.values()])
    Image.new("RGB", (8, 8)).save(tmp_path / "ISIC_1.jpg")
    (record,) = FolderSource(tmp_path, ARCHIVE).records
    assert record.metadata == {"diagnosis": "benign", "age": "60", "mel_thick_mm": "0.4"}
    assert (record.label, record.group) == (0, "IP_1")


def test_what_nobody_knows_is_no_metadata(folders):
    first = find_source(str(folders["isic2017"])).records[0]
    assert first.metadata == {"diagnosis": "melanoma", "sex": "female"}  # its age: unknown
    of_df = [r for r in find_source(str(folders["ham10000"])).records if "sex" not in r.metadata]
    assert {record.metadata["diagnosis"] for record in of_df} == {"dermatofibroma"}


def test_an_export_of_the_archive_says_melanoma_as_finely_as_it_can(folders):
    labels = [record.label for record in find_source(str(folders["isic-archive"])).records]
    assert labels == [1, 1, 0, 0, 0, UNKNOWN, UNKNOWN, UNKNOWN]


@pytest.mark.parametrize(
    ("diagnoses", "labels", "label"),
    [
        (("Indeterminate", "Indeterminate melanocytic proliferations", "AIMP"), {}, UNKNOWN),
        (("Indeterminate", "", "Melanoma, NOS"), {}, UNKNOWN),
        (("Indeterminate", "", "AIMP"), {"aimp": "0"}, 0),
        (("Indeterminate", "", "AIMP"), {"indeterminate": "1"}, 1),
        (("Malignant", "Malignant melanocytic proliferations (Melanoma)", "unknown"), {}, 1),
        (("Benign", "N/A", "Unknown"), {}, 0),
        (("", "", "unknown"), {}, UNKNOWN),
        (("Malignant", "", "Nevus"), {}, 0),
    ],
)
def test_what_the_archive_leaves_open_in_any_column_has_no_label(
    tmp_path, diagnoses, labels, label
):
    columns = ("isic_id", "diagnosis_1", "diagnosis_2", "diagnosis_3")
    with (tmp_path / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, ("ISIC_1", *diagnoses)])
    Image.new("RGB", (8, 8)).save(tmp_path / "ISIC_1.jpg")
    (record,) = FolderSource(tmp_path, ARCHIVE, Rules(Labelling(meanings=labels))).records
    assert record.label == label


@pytest.mark.parametrize(
    ("name", "positive", "count"),
    [
        ("ham10000", ("basal cell carcinoma",), scaled(514)),
        ("ham10000", ("mel", "BCC"), scaled(1113) + scaled(514)),
        ("isic2017", ("seborrheic keratosis",), scaled(254) + scaled(42) + scaled(90)),
        ("isic2017", ("nevus",), scaled(1372) + scaled(78) + scaled(393)),
        ("ph2", ("melanoma", "atypical nevus"), scaled(40) + scaled(80)),
    ],
)
def test_another_class_may_be_the_positive_one(folders, name, positive, count):
    source = find_source(str(folders[name]), rules=Rules(Labelling(positive)))
    assert sum(record.label for record in source.records) == count
    assert not source.official  # which counts melanomas


def test_a_class_that_the_set_does_not_have_is_named_with_those_that_it_has(folders):
    said = r"--positive common nervus: no class of ph2 \(did you mean 'common nevus'"
    with pytest.raises(InputError, match=said):
        find_source(str(folders["ph2"]), rules=Rules(Labelling(("common nervus",))))


def test_a_label_text_of_ones_own_is_explained(ham):
    edit(ham / "HAM10000_metadata.csv", "HAM_0000000,ISIC_0000000,akiec", "HAM_0,ISIC_0000000,mm")
    with pytest.raises(InputError, match=r"row 2: dx must be one of .*'mm'.*--labels 'mm=0'"):
        find_source(str(ham))
    rules = Rules(Labelling(meanings={"mm": "melanoma"}))
    assert find_source(str(ham), rules=rules).records[0].label == 1


def test_a_folder_of_another_shape_is_one_line_with_what_was_looked_for(tmp_path):
    with pytest.raises(InputError) as caught:
        find_source(str(tmp_path))
    assert "\n" not in str(caught.value)
    for layout in LAYOUTS.values():
        assert f"{layout.name} ({layout.looked_for})" in str(caught.value)


def test_a_data_set_one_folder_down_is_pointed_at(folders):
    above = folders["ph2"].parent / "above"
    shutil.copytree(folders["ph2"], above / "PH2Dataset")
    with pytest.raises(InputError, match=r"no data set in .*, but in .*PH2Dataset; name that"):
        find_source(str(above))


def test_two_data_sets_in_one_folder_are_named_unless_only_one_has_images(tmp_path):
    both = make("ham10000", make("isic2018", tmp_path / "both"))
    with pytest.raises(InputError, match=r"holds isic2018 and ham10000; .*import isic2018"):
        find_source(str(both))
    for folder in both.glob("ISIC2018*_Input"):
        shutil.rmtree(folder)
    assert recognise(both).name == "ham10000"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("lesion_id,image_id", "lesion_id,image", ["'image_id'", "HAM10000", "image, dx"]),
        (",dx,", ",diagnosis,", ["'dx'", "HAM10000"]),
        ("ISIC_0000003,akiec", "ISIC_0000002,akiec", ["row 5", "ISIC_0000002 stands twice"]),
        ("ISIC_0000003,akiec", "../3,akiec", ["row 5", "'../3'"]),
        ("ISIC_0000003,akiec", ",akiec", ["row 5", "image_id is empty"]),
        ("ISIC_0000003,akiec", "ISIC_9,akiec", ["row 5", "there is no", "ISIC_9.jpg", "1 more"]),
    ],
)
def test_a_faulty_table_is_named_by_file_and_row(ham, old, new, words):
    edit(ham / "HAM10000_metadata.csv", old, new)
    with pytest.raises(InputError) as caught:
        find_source(str(ham))
    assert "\n" not in str(caught.value)
    for word in ["HAM10000_metadata.csv", *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("name", "table", "old", "new", "words"),
    [
        ("isic2018", "ISIC2018_Task3_Test_GroundTruth", ",1.0,", ",0.0,", ["one of MEL,", "got 0"]),
        ("isic2018", "ISIC2018_Task3_Test_GroundTruth", "1.0,0.0", "1.0,1", ["one of", "got 2"]),
        ("isic2018", "ISIC2018_Task3_Test_GroundTruth", "1.0,0.0", "1.0,x", ["NV must", "'x'"]),
        ("derm7pt", "test_indexes", "17\n", "99\n", ["test_indexes.csv", "from 0 to", "'99'"]),
    ],
)
def test_a_row_without_one_class_or_beyond_the_table_is_named(
    tmp_path, name, table, old, new, words
):
    folder = make(name, tmp_path / name)
    (path,) = folder.rglob(f"{table}.csv")
    path.write_text(path.read_text().replace("\r\n", "\n"))
    edit(path, old, new)
    with pytest.raises(InputError) as caught:
        find_source(str(folder))
    for word in words:
        assert word in str(caught.value)


def test_a_folder_of_images_that_is_missing_is_named(ham):
    for folder in ham.glob("HAM10000_images*"):
        shutil.rmtree(folder)
    with pytest.raises(InputError, match=r"no folder HAM10000_images_part_1 or .*_part_2 or"):
        find_source(str(ham))


def test_the_table_of_the_dataverse_has_tabs(ham):
    records = find_source(str(ham)).records
    table = ham / "HAM10000_metadata.csv"
    table.write_text(table.read_text().replace(",", "\t"))
    table.rename(table.with_suffix(".tab"))
    assert find_source(str(ham)).records == records


def test_a_data_set_of_one_part_is_read(folders, tmp_path):
    shutil.copytree(folders["isic2019"], tmp_path / "2019")
    shutil.rmtree(tmp_path / "2019" / "ISIC_2019_Training_Input")
    (tmp_path / "2019" / "ISIC_2019_Training_GroundTruth.csv").unlink()
    source = find_source(str(tmp_path / "2019"))
    assert {record.split for record in source.records} == {"test"} == source.official.keys()


def test_a_histology_of_ph2_may_have_commas_and_quotes(folders, tmp_path):
    folder = shutil.copytree(folders["ph2"], tmp_path / "PH2")
    edit(folder / "PH2_dataset.txt", "|| Melanoma ||", '|| Melanoma, "in situ", 0 ||')
    before, after = (find_source(str(each)).records for each in (folders["ph2"], folder))
    (place,) = (row for row, each in enumerate(before) if each.label)
    metadata = {**before[place].metadata, "histology": 'Melanoma, "in situ", 0'}
    assert after[place] == before[place]._replace(metadata=metadata)
    assert after[:place] == before[:place]


def test_masks_are_taken_along(folders):
    for name in ("isic2016", "ham10000", "ph2"):
        source = find_source(str(folders[name]))
        picture = source.read(source.records[0], 16)
        assert picture.mask is not None and 0.2 < picture.mask.mean() < 0.3, name
        with Image.open(source.image_path(source.records[0])) as image:
            assert image.size == (32, 32)


def test_splits_dealt_out_keep_each_lesion_together(folders):
    rules = Rules(dealing=Dealing("group", (0.7, 0.1, 0.2)))
    source = find_source(str(folders["ham10000"]), rules=rules)
    splits: dict[str, set[str]] = {}
    for record in source.records:
        splits.setdefault(record.group, set()).add(record.split)
    assert {len(each) for each in splits.values()} == {1} and not source.official
    assert {r.split for r in source.records} == {"train", "validation", "test"}


def test_a_pattern_gives_the_name_that_it_was_filled_with():
    pattern = Pattern("a/{id}/{id}_lesion.bmp")
    assert pattern.name_in(pattern.fill("IMD1")) == "IMD1" and pattern.folder == "a"
    assert pattern.name_in("a/IMD1/IMD2_lesion.bmp") is None
    assert Pattern("images/{path}").name_in("images/NEL/1.jpg") == "NEL/1.jpg"
    assert Pattern("{id}.jpg").name_in("sub/1.jpg") is None and Pattern("{id}.jpg").folder == ""
