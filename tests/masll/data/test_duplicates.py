"""Duplicates: every copy that a person would recognise is found, and no other lesion is."""

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from masll.data.duplicates import TURNS, DuplicateReport, Pair, duplicates_of, find_duplicates
from masll.data.options import DataOptions
from masll.data.split import Pixels
from masll.data.synthetic import synthesize
from masll.data.types import Record
from tests.support import assert_one_line_error, run_masll

OTHERS = 40  # lesions that are nobody's copy
SIDE = 256


def picture(index: int) -> Image.Image:
    return Image.fromarray(synthesize(index, SIDE).image)


def as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def planes(images: list[Image.Image]) -> np.ndarray:
    return np.stack([np.asarray(image).transpose(2, 0, 1) for image in images])


COPIES = {
    "saved again as a coarse JPEG": lambda image: as_jpeg(image, 50),
    "made smaller and larger again": lambda image: image.resize((180, 180)).resize((SIDE, SIDE)),
    "cropped by a few per cent": lambda image: image.crop((8, 5, 250, 249)).resize((SIDE, SIDE)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.85),
    "turned by some degrees": lambda image: image.rotate(6, Image.Resampling.BILINEAR),
    "shifted": lambda image: image.transform(
        image.size, Image.Transform.AFFINE, (1, 0, 20, 0, 1, -14)
    ),
}


@pytest.fixture(scope="module")
def found() -> dict[tuple[int, int], Pair]:
    """Pairs among lesions 0 to 39, copies of the first of them, and turned copies of lesion 7."""
    originals = [picture(index) for index in range(OTHERS)]
    copies = [change(originals[place]) for place, change in enumerate(COPIES.values())]
    seventh = np.asarray(originals[7])
    for turn in range(1, len(TURNS)):
        # What turns the copy back is the turn by name: a mirrored image is its own way back.
        back = np.rot90(
            seventh[:, ::-1] if turn >= 4 else seventh, turn % 4 if turn >= 4 else -turn
        )
        copies.append(Image.fromarray(np.ascontiguousarray(back)))
    images = planes(originals + copies)
    digests = [str(row) for row in range(len(images))]
    digests[3] = digests[2]  # the same file under two names, whatever it shows
    return {(p.first, p.second): p for p in find_duplicates(images, digests)}


@pytest.mark.slow
@pytest.mark.parametrize("place", range(len(COPIES)), ids=list(COPIES))
def test_a_copy_is_found_although_it_was(found, place):
    pair = found[place, OTHERS + place]
    assert not pair.identical and pair.turn == "as it is" and pair.similarity > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("turn", range(1, len(TURNS)), ids=TURNS[1:])
def test_a_copy_is_found_although_it_was_turned_and_the_turn_is_named(found, turn):
    pair = found[7, OTHERS + len(COPIES) + turn - 1]
    assert pair.turn == TURNS[turn] and pair.similarity > 0.9


@pytest.mark.slow
def test_no_other_lesion_is_called_a_copy(found):
    copies = {place: OTHERS + place for place in range(len(COPIES))}
    turned = {7, *range(OTHERS + len(COPIES), OTHERS + len(COPIES) + len(TURNS) - 1)}
    for first, second in found:
        assert (
            copies.get(first) == second or {first, second} <= turned or (first, second) == (2, 3)
        ), (first, second)


@pytest.mark.slow
def test_files_of_the_same_content_are_identical(found):
    assert found[2, 3] == Pair(2, 3, True, "as it is", 1.0)
    assert sum(pair.identical for pair in found.values()) == 1


def test_two_images_are_enough():
    images = planes([picture(0), picture(0)])
    (pair,) = find_duplicates(images, ["a", "b"])
    assert (pair.first, pair.second, pair.identical) == (0, 1, False)
    assert find_duplicates(images[:1], ["a"]) == []


def an_audit(records: list[Record], joined: list[tuple[int, int]]) -> DuplicateReport:
    pairs = [Pair(low, high, False, TURNS[0], 1.0) for low, high in joined]
    return DuplicateReport(records, Pixels([np.zeros((len(records), 3, 1, 1), np.uint8)]), pairs)


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=14))
def test_groups_are_what_can_be_reached_over_pairs(joined):
    joined = [(min(pair), max(pair)) for pair in joined if pair[0] != pair[1]]
    groups = an_audit([Record(str(row), 0, "train") for row in range(12)], joined).groups
    reach = np.eye(12, dtype=bool)
    for low, high in joined:
        reach[low, high] = reach[high, low] = True
    for middle in range(12):  # Warshall's closure
        reach |= reach[:, middle : middle + 1] & reach[middle]
    assert ((groups[:, None] == groups) == reach).all()
    assert (groups == reach.argmax(axis=1)).all()


def test_leaks_are_training_and_validation_images_whose_lesion_comes_again_later():
    records = [
        Record("a", 0, "train"),
        Record("b", 1, "train", "patient-1"),
        Record("c", 0, "train"),
        Record("v", 1, "validation", "patient-1"),
        Record("t", 0, "test"),
        Record("u", 1, "test"),
    ]
    assert an_audit(records, [(0, 2), (2, 4), (3, 5)]).leaks() == {
        "a": ["t"],  # through c
        "b": ["v", "u"],  # through their patient, and v through its pair
        "c": ["t"],
        "v": ["u"],
    }


@pytest.mark.slow
def test_the_command_writes_a_csv_and_pictures_and_knows_what_it_found(isic_folder, tmp_path):
    original = isic_folder / "ISIC-2017_Training_Data" / "ISIC_0000001.jpg"
    copy = isic_folder / "ISIC-2017_Test_v2_Data" / "ISIC_0000040.jpg"
    copy.write_bytes(original.read_bytes())
    turned = isic_folder / "ISIC-2017_Validation_Data" / "ISIC_0000030.jpg"
    with Image.open(original.with_stem("ISIC_0000002")) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(turned, quality=90)
    out, cache = tmp_path / "out", tmp_path / "cache"
    result = run_masll(
        "masll.data.__main__", "audit", "--data", isic_folder, "--out", out, cache=cache
    )
    assert result.returncode == 0, result.stderr
    assert "2 pairs among 48 images" in result.stdout and "1 of them in identical" in result.stdout
    assert "2 training images show a lesion of the validation or test" in result.stdout
    with (out / "duplicates.csv").open() as file:
        rows = {
            (row["first_image_id"], row["second_image_id"]): row for row in csv.DictReader(file)
        }
    same = rows["ISIC_0000001", "ISIC_0000040"]
    assert (same["identical"], same["second_split"]) == ("True", "test")
    assert rows["ISIC_0000002", "ISIC_0000030"]["second_is"] == "mirrored"
    with Image.open(out / "pairs-01.png") as sheet:
        assert sheet.width > 300 and sheet.height > 150
    again = duplicates_of(DataOptions(data=str(isic_folder)), cache)
    assert len(again.pairs) == 2
    (kept,) = cache.glob("*/duplicates.json")
    kept.write_text("{")  # cut off: compared anew
    assert duplicates_of(DataOptions(data=str(isic_folder)), cache).pairs == again.pairs

    file = tmp_path / "file"
    file.write_text("")
    refused = run_masll(
        "masll.data.__main__", "audit", "--data", isic_folder, "--out", file, cache=cache
    )
    assert_one_line_error(refused, "--out", str(file))
