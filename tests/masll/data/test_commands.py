"""`python -m masll.data`: what each command prints, and how it refuses."""

import pytest
from PIL import Image

from masll.data import find_source
from masll.data.synthesize import synthesize_folder
from tests.support import assert_one_line_error, run_masll

pytestmark = pytest.mark.slow


def data(cache, *arguments):
    return run_masll("masll.data.__main__", *arguments, cache=cache)


def test_prepare_says_what_it_stored_and_the_second_time_finds_it(isic_master, tmp_path):
    first = data(tmp_path, "prepare", "--data", isic_master, "--source-size", 48)
    assert first.returncode == 0, first.stderr
    assert "train          24 images, 6 melanoma, 24 masks" in first.stdout
    assert "train has 24 images and 6 melanomas, officially 2000 and 374" in first.stderr
    (store,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert str(store) in first.stdout and "48 pixels" in first.stdout
    made = (store / "index.json").stat().st_mtime_ns
    second = data(tmp_path, "prepare", "--data", isic_master, "--source-size", 48)
    assert second.returncode == 0 and (store / "index.json").stat().st_mtime_ns == made
    padded = data(tmp_path, "prepare", "--data", isic_master, "--source-size", 48, "--fit", "pad")
    assert "-pad-" in padded.stdout and len([*tmp_path.glob("isic*")]) == 2


def test_verify_counts_and_names_what_is_wrong(isic_folder, tmp_path):
    sound = data(tmp_path, "verify", "--data", isic_folder)
    assert sound.returncode == 0, sound.stderr
    assert "official: 2000, 374  PARTIAL" in sound.stdout and "nothing is wrong" in sound.stdout
    (isic_folder / "ISIC-2017_Training_Data" / "ISIC_0000003.jpg").unlink()
    broken = isic_folder / "ISIC-2017_Test_v2_Data" / "ISIC_0000040.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    found = data(tmp_path, "verify", "--data", isic_folder)
    assert found.returncode == 1
    assert "missing: " in found.stdout and "ISIC_0000003" in found.stdout
    assert "unreadable: " in found.stdout and str(broken) in found.stdout


def test_a_partial_folder_is_used_on_demand_and_said_to_be_partial(isic_folder, tmp_path):
    (isic_folder / "ISIC-2017_Training_Data" / "ISIC_0000003.jpg").unlink()
    arguments = ("prepare", "--data", isic_folder, "--source-size", 32)
    assert_one_line_error(data(tmp_path, *arguments), "ISIC_0000003", "--partial")
    partial = data(tmp_path, *arguments, "--partial")
    assert partial.returncode == 0, partial.stderr
    assert "train          23 images" in partial.stdout
    assert "1 rows or images left out" in partial.stderr and "ISIC_0000003" in partial.stderr


def test_synthesize_writes_a_folder_that_every_command_takes(tmp_path):
    out = tmp_path / "lesions"
    made = data(tmp_path, "synthesize", out, "--images", 60, "--size", 64, "--seed", 3)
    assert made.returncode == 0, made.stderr
    source = find_source(str(out))
    assert len(source.records) == 60
    with Image.open(next((out / "ISIC-2017_Training_Data").iterdir())) as image:
        assert image.size == (64, 64)
    verified = data(tmp_path, "verify", "--data", out)
    assert verified.returncode == 0, verified.stdout
    assert "partial" not in (verified.stdout + verified.stderr).lower(), "none is prescribed"
    assert_one_line_error(data(tmp_path, "synthesize", out), str(out))


@pytest.mark.parametrize("seed", range(8))
def test_the_smallest_synthesized_folder_has_both_classes_in_every_split(tmp_path, seed):
    synthesize_folder(tmp_path / "lesions", 60, 32, seed)
    records = find_source(str(tmp_path / "lesions")).records
    assert {(record.split, record.label) for record in records} == {
        (split, label) for split in ("train", "validation", "test") for label in (0, 1)
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["prepare", "--data", "nowhere"], ["nowhere"]),
        (["prepare", "--source-size", "0"], ["source size", "32", "got 0"]),
        (["prepare", "--fit", "stretch"], ["stretch", "squash"]),
        (["verify", "--daat", "x"], ["--daat", "did you mean '--data'"]),
        (["audits"], ["audits", "audit"]),
        ([], ["COMMAND"]),
        (["synthesize", "x", "--images", "2"], ["images", "60", "got 2"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_one_line(tmp_path, arguments, words):
    assert_one_line_error(data(tmp_path, *arguments), *words)
