"""Images that stay on a device: the shelf is the same on the CPU, where nothing else uses it."""

import numpy as np
import pytest
import torch

from masll import loading, resident
from masll.data.split import Split, pool
from masll.inputs import InputSpec
from masll.loading import Loader
from masll.resident import Shelf, resident_pixels
from tests.fake_cuda import GPU_BYTES, FakeCuda

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


@pytest.fixture
def copies(monkeypatch):
    """Where images were copied to, on a machine that seems to have two GPUs."""
    FakeCuda(current=1).install(monkeypatch)
    monkeypatch.setattr(resident, "_shelves", {})
    copied, whole = [], resident._copied

    def copy(arrays, device):
        copied.append(str(device))
        return whole(arrays, CPU)

    monkeypatch.setattr(resident, "_copied", copy)
    return copied


def test_a_gpu_has_images_once_by_whatever_name_it_goes(copies):
    images = drawn("train", 5).images
    found = [resident_pixels(images, torch.device(name)) for name in ("cuda", "cuda:1", "cuda:0")]
    assert copies == ["cuda:1", "cuda:0"]
    assert found[0].images is found[1].images is not found[2].images
    assert np.array_equal(found[2].images.numpy(), images)
    assert resident_pixels(images, CPU) is None


def test_images_take_a_tenth_at_most_of_what_the_process_may_have_of_a_gpu(copies, monkeypatch):
    assert resident_pixels(np.empty((GPU_BYTES // 10, 1), np.uint8), torch.device("cuda:0"))
    assert resident_pixels(np.empty((1, 1), np.uint8), torch.device("cuda:0")) is None
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda _: 0.5)
    assert resident_pixels(np.empty((GPU_BYTES // 10, 1), np.uint8), torch.device("cuda")) is None
    assert copies == ["cuda:0"]


def test_where_a_gpu_is_full_nothing_is_kept_on_it_and_nothing_fails(monkeypatch):
    tries = []

    def refuse(*_):
        tries.append(1)
        raise torch.OutOfMemoryError

    monkeypatch.setattr(resident, "_copied", refuse)
    shelf = Shelf(10**6, CPU)
    assert [shelf.find(drawn("a", 5).images) for _ in range(3)] == 3 * [None]
    assert len(tries) == 1


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
