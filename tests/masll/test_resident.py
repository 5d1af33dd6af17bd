"""Images that stay on a device: the shelf is the same on the CPU, where nothing else uses it."""

import numpy as np
import pytest
import torch

from masll import loading
from masll.data.split import Split, pool
from masll.inputs import InputSpec
from masll.loading import Loader
from masll.resident import Shelf

CPU = torch.device("cpu")
SPEC = InputSpec(8, "squash", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


def drawn(name: str, images: int) -> Split:
    draws = np.random.default_rng(len(name))
    pixels = draws.integers(0, 256, (images, 3, 8, 8), dtype=np.uint8)
    return Split(name, tuple(map(str, range(images))), np.arange(images) % 2, pixels)


@pytest.fixture
def pooled():
    return pool("validation", [drawn("train", 70), drawn("validation", 9)])


def test_a_shelf_has_every_image_in_its_place_and_folds_share_it(pooled):
    shelf = Shelf(10**6, CPU)
    images = set()
    for fold in range(3):
        part = pooled.select(np.arange(fold, 79, 3))
        found = shelf.find(part.images)
        assert np.array_equal(found.images[found.places].numpy(), part.images[:])
        images.add(found.images.data_ptr())
    assert len(images) == 1


def test_a_file_that_is_mapped_again_is_not_copied_again(tmp_path):
    np.save(tmp_path / "images.npy", drawn("train", 5).images)
    shelf = Shelf(2 * 5 * 3 * 8 * 8 - 1, CPU)
    found = [shelf.find(np.load(tmp_path / "images.npy", mmap_mode="r")) for _ in range(2)]
    assert found[0].images.data_ptr() == found[1].images.data_ptr()


def test_two_parts_of_a_mapped_file_are_two(tmp_path):
    np.save(tmp_path / "images.npy", drawn("train", 6).images)
    whole = np.load(tmp_path / "images.npy", mmap_mode="r")
    shelf, parts = Shelf(10**6, CPU), (whole[:3], whole[3:])
    for part in parts:
        assert np.array_equal(shelf.find(part).images.numpy(), part)


def test_what_does_not_fit_stays_where_it_is():
    shelf = Shelf(2 * 5 * 3 * 8 * 8 - 1, CPU)
    assert shelf.find(drawn("a", 5).images) is not None
    assert shelf.find(drawn("bb", 5).images) is None


def test_batches_are_the_same_from_a_shelf(pooled, monkeypatch):
    split = pooled.select(np.arange(60, 79))
    shelf, batches = Shelf(10**6, CPU), {}
    for name in ("copied", "resident"):
        draws = torch.Generator().manual_seed(3)
        loader = Loader(SPEC, CPU, keep=True)
        batches[name] = [*loader.training_batches(split, 6, draws)]
        batches[name, "images"] = loader.images(split, np.array([3, 1]))
        monkeypatch.setattr(loading, "resident_pixels", lambda images, _: shelf.find(images))
    for mine, yours in zip(batches["copied"], batches["resident"], strict=True):
        assert mine.lesions is yours.lesions is None
        for one, other in zip(mine[:3], yours[:3], strict=True):
            assert torch.equal(one, other)
    assert torch.equal(batches["copied", "images"], batches["resident", "images"])


def test_who_predicts_once_keeps_nothing_on_a_gpu(pooled, monkeypatch):
    monkeypatch.setattr(loading, "resident_pixels", lambda *_: pytest.fail("kept"))
    Loader(SPEC, CPU).images(pooled, np.array([0]))
