"""`verify` names every file that is missing, extra, unreadable or does not fit."""

import numpy as np
import pytest
from PIL import Image

from masll.data import files
from masll.data.sources import survey_source
from masll.data.verify import verify
from tests.masll.data.test_isic2017 import REAL, TABLE, edit
from tests.support import COUNTS

TRAIN = "ISIC-2017_Training_Data"
MASKS = "ISIC-2017_Training_Part1_GroundTruth"


@pytest.mark.skipif(not REAL.is_dir(), reason=f"needs {REAL}")
def test_the_official_data_is_complete():
    report = verify(survey_source(str(REAL)))
    assert not report.partial and not any(problem.is_fault for problem in report.problems)
    # Six images of it stand twice, byte for byte at 256 pixels, four of them in two splits.
    assert [problem.kind for problem in report.problems] == 6 * ["repeated"]
    assert [(c.images, c.melanomas) for c in report.counts] == [(2000, 374), (150, 30), (600, 117)]


def test_a_sound_part_of_the_data_is_said_to_be_partial(isic_folder):
    report = verify(survey_source(str(isic_folder)))
    assert report.problems == [] and report.partial
    assert [count.images for count in report.counts] == list(COUNTS.values())


def test_every_file_is_read_once(isic_folder, monkeypatch):
    paths = []

    def read(path):
        paths.append(path)
        return path.read_bytes()

    monkeypatch.setattr(files, "read_regular", read)
    source = survey_source(str(isic_folder))
    paths.clear()  # tables
    verify(source)
    assert len(paths) == len(set(paths)) == 2 * len(source.records)  # an image and its mask each


def test_every_fault_is_named_at_once(isic_folder):
    train, masks = isic_folder / TRAIN, isic_folder / MASKS
    (train / "ISIC_0000001.jpg").unlink()  # a row without an image, and a mask of none
    (train / "ISIC_9999999.jpg").write_bytes((train / "ISIC_0000002.jpg").read_bytes())
    content = (train / "ISIC_0000003.jpg").read_bytes()
    (train / "ISIC_0000003.jpg").write_bytes(content[: len(content) // 2])
    Image.fromarray(np.zeros((32, 64), bool)).save(masks / "ISIC_0000004_segmentation.png")
    (masks / "ISIC_0000005_segmentation.png").unlink()
    (masks / "ISIC_0000006_segmentation.png").write_text("no mask")
    edit(isic_folder / TABLE, "ISIC_0000007,0.0", "ISIC_0000007,maybe")
    found = [(p.kind, p.text) for p in verify(survey_source(str(isic_folder))).problems]

    def named(kind: str, *words: str) -> bool:
        return any(k == kind and all(word in text for word in words) for k, text in found)

    assert named("missing", TABLE, "row 3", "ISIC_0000001.jpg")
    assert named("extra", MASKS, "ISIC_0000001")
    assert named("extra", "ISIC_9999999.jpg", TABLE)
    assert named("unreadable", "ISIC_0000003.jpg")
    assert named("mismatching", "ISIC_0000004_segmentation.png", "64 x 32", "64 x 64")
    assert named("missing", "no mask of ISIC_0000005")
    assert named("unreadable", "ISIC_0000006_segmentation.png")
    assert named("malformed", TABLE, "row 9", "'maybe'")
    assert named("suspect", "ISIC_0000004_segmentation.png", "empty")
    assert len(found) == 10  # and the mask of the malformed row's image
