"""The image store: made once, whole or not at all, shared by processes."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from masll import InputError
from masll.data import ImageStore, find_source, open_store
from tests.support import COUNTS


def test_the_store_holds_what_the_source_reads(isic_folder, tmp_path):
    source = find_source(str(isic_folder))
    store = open_store(source, 48, cache=tmp_path / "cache")
    records = iter(source.records)
    for name, count in zip(("train", "validation", "test"), COUNTS.values(), strict=True):
        split = store.split(name)
        assert split.images.shape == (count, 48, 48, 3) and isinstance(split.images, np.memmap)
        for image, mask, label, image_id in zip(
            split.images, split.masks, split.labels, split.ids, strict=True
        ):
            record = next(records)
            picture = source.read(record, 48)
            assert (image_id, label) == (record.image_id, record.label)
            assert np.array_equal(image, picture.image) and np.array_equal(mask, picture.mask)


def test_a_second_opening_decodes_nothing(isic_folder, tmp_path):
    decoded = []
    for _ in range(2):
        source = find_source(str(isic_folder))
        store = open_store(
            source, 32, cache=tmp_path, progress=lambda done, _: decoded.append(done)
        )
    assert decoded == list(range(1, sum(COUNTS.values()) + 1))
    assert [entry.name for entry in tmp_path.iterdir() if entry != isic_folder] == [
        store.folder.name
    ]


def test_a_changed_image_label_or_size_makes_another_store(isic_folder, tmp_path):
    def opened(size: int = 32) -> ImageStore:
        return open_store(find_source(str(isic_folder)), size, cache=tmp_path / "cache")

    first = opened()
    assert opened(40).folder != first.folder
    assert opened(40).index["fingerprint"] == first.index["fingerprint"]  # the same images

    image = isic_folder / "ISIC-2017_Training_Data" / "ISIC_0000003.jpg"
    Image.fromarray(np.full((64, 64, 3), 7, np.uint8)).save(image)
    second = opened()
    assert second.index["fingerprint"] != first.index["fingerprint"]

    table = isic_folder / "ISIC-2017_Training_Part3_GroundTruth.csv"
    table.write_text(table.read_text().replace("ISIC_0000003,0.0", "ISIC_0000003,1.0"))
    assert opened().index["fingerprint"] != second.index["fingerprint"]


def test_two_processes_that_prepare_at_once_end_with_one_store(isic_folder, tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [
        context.Process(target=open_store, args=(find_source(str(isic_folder)), 32),
                        kwargs={"cache": tmp_path / "cache"})
        for _ in range(4)
    ]  # fmt: skip
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs /proc")
def test_two_processes_hold_one_copy_of_the_images(isic_folder, tmp_path):
    store = open_store(find_source(str(isic_folder)), 128, cache=tmp_path / "cache")
    context = multiprocessing.get_context("spawn")
    ready, go = context.Barrier(3), context.Event()
    kilobytes = context.Queue()
    workers = [
        context.Process(target=read_and_measure, args=(store, ready, go, kilobytes))
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    ready.wait(timeout=60)  # both have read every image
    go.set()
    measured = [kilobytes.get(timeout=60) for _ in workers]
    ready.wait(timeout=60)
    for worker in workers:
        worker.join()
    for resident, private in measured:
        assert resident > 0.9 * COUNTS["ISIC-2017_Training"] * 128 * 128 * 3 / 1024
        assert private == 0


def read_and_measure(store, ready, go, kilobytes) -> None:
    """Read all training images, then tell resident and private kilobytes of their mapping."""
    images = store.split("train").images
    assert int(images.sum(dtype=np.int64)) > 0
    ready.wait(timeout=60)
    go.wait(timeout=60)
    fields = {"Rss": 0, "Private_Clean": 0, "Private_Dirty": 0}
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name = line.split(":")[0]
        if "-" in name.split(" ")[0] and " " in name:
            inside = line.endswith("train-images.npy")
        elif inside and name in fields:
            fields[name] += int(line.split()[1])
    kilobytes.put((fields["Rss"], fields["Private_Clean"] + fields["Private_Dirty"]))
    ready.wait(timeout=60)  # hold the mapping until the other has measured too


def test_mapping_the_training_images_opens_no_file_of_the_test_split(isic_folder, tmp_path):
    store = open_store(find_source(str(isic_folder)), 32, cache=tmp_path / "cache")
    for file in store.folder.glob("test-*"):
        file.unlink()
    assert len(store.split("train")) == COUNTS["ISIC-2017_Training"]
    with pytest.raises(FileNotFoundError):
        store.split("test")


def test_a_cache_that_cannot_be_written_is_named(isic_folder, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(InputError, match="MASLL_CACHE"):
        open_store(find_source(str(isic_folder)), 32, cache=blocked)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_named_and_leaves_nothing(isic_folder, tmp_path, monkeypatch):
    really_open = Path.open

    def full(self, mode="r", *args, **kwargs):
        target = Path("/dev/full") if self.name == "train-images.npy" else self
        return really_open(target, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(InputError, match="No space left"):
        open_store(find_source(str(isic_folder)), 32, cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
