"""The image store: made once, whole or not at all, shared by processes."""

import json
import multiprocessing
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from masll import InputError
from masll.data import ImageStore, find_source, open_store
from masll.data.reading import FITS
from masll.data.split import pool
from masll.data.synthesize import synthesize_folder
from tests.support import COUNTS


def stores_in(cache: Path) -> list[Path]:
    """Finished stores; beside them lie lock files, and what a killed process has left."""
    return [path for path in cache.glob("*") if not path.name.startswith(".")]


def test_the_store_holds_what_the_source_reads(isic_folder, tmp_path):
    source = find_source(str(isic_folder))
    store = open_store(source, 48, cache=tmp_path / "cache")
    records = iter(source.records)
    for name, count in zip(("train", "validation", "test"), COUNTS.values(), strict=True):
        split = store.split(name)
        assert split.images.shape == (count, 3, 48, 48) and isinstance(split.images, np.memmap)
        for image, mask, label, image_id in zip(
            split.images, split.masks, split.labels, split.ids, strict=True
        ):
            record = next(records)
            picture = source.read(record, 48)
            assert (image_id, label) == (record.image_id, record.label)
            assert np.array_equal(image.transpose(1, 2, 0), picture.image) and np.array_equal(
                mask, picture.mask
            )


def test_a_second_opening_decodes_nothing(isic_folder, tmp_path):
    decoded = []
    for _ in range(2):
        source = find_source(str(isic_folder))
        store = open_store(
            source, 32, cache=tmp_path / "cache", progress=lambda done, _: decoded.append(done)
        )
    assert decoded == list(range(1, sum(COUNTS.values()) + 1))
    assert stores_in(tmp_path / "cache") == [store.folder]


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
        context.Process(
            target=open_store,
            args=(find_source(str(isic_folder)), 32),
            kwargs={"cache": tmp_path / "cache"},
        )
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(stores_in(tmp_path / "cache")) == 1


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


def mounted(folder: Path, options: str) -> Iterator[None]:
    """A small file system of its own at `folder`; skips where that may not be made."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def full_disk(tmp_path) -> Iterator[Path]:
    """A disk of 64 kB."""
    folder = tmp_path / "small"
    yield from (folder for _ in mounted(folder, "size=64k"))


@pytest.fixture
def read_only(tmp_path) -> Iterator[Path]:
    folder = tmp_path / "fixed"
    yield from (folder for _ in mounted(folder, "ro"))


def test_a_full_disk_is_named_and_left_empty(isic_folder, full_disk):
    with pytest.raises(InputError, match=r"No space left.*MASLL_CACHE") as caught:
        open_store(find_source(str(isic_folder)), 64, cache=full_disk)
    assert "\n" not in str(caught.value)
    assert [path.suffix for path in full_disk.iterdir()] == [".lock"]


def test_a_read_only_cache_is_named(isic_folder, read_only):
    with pytest.raises(InputError, match=r"Read-only.*MASLL_CACHE"):
        open_store(find_source(str(isic_folder)), 64, cache=read_only)


@pytest.mark.parametrize("damage", ["flipped", "short", "gone", "no index"])
def test_a_damaged_store_is_made_anew(isic_folder, tmp_path, damage):
    source = find_source(str(isic_folder))
    folder = open_store(source, 32, cache=tmp_path).folder
    file = folder / "validation-images.npy"
    whole = file.read_bytes()
    if damage == "flipped":
        file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    elif damage == "short":
        file.write_bytes(whole[:-1])
    elif damage == "gone":
        file.unlink()
    else:
        (folder / "index.json").write_text("{}")
    assert ImageStore(folder).damage() is not None
    again = open_store(source, 32, cache=tmp_path)
    assert again.damage() is None and file.read_bytes() == whole


def test_each_fit_has_a_store_of_its_own(isic_folder, tmp_path):
    source = find_source(str(isic_folder))
    stores = {open_store(source, 32, fit=fit, cache=tmp_path).folder for fit in FITS}
    assert len(stores) == 3


def test_a_pool_of_splits_selects_rows_of_each(isic_folder, tmp_path):
    store = open_store(find_source(str(isic_folder)), 32, cache=tmp_path)
    train, validation = store.split("train"), store.split("validation")
    both = pool("pooled", [train, validation])
    assert both.ids == train.ids + validation.ids
    images = np.concatenate([train.images, validation.images])
    rows = np.array([30, 0, 23, 24, 7])
    some = both.select(rows)
    assert some.images.shape == (5, 3, 32, 32)
    assert np.array_equal(some.images[np.array([4, 1, 1])], images[rows[[4, 1, 1]]])
    assert np.array_equal(some.images[1:3], images[rows[1:3]])
    assert some.ids[0] == both.ids[30] and some.labels.tolist() == both.labels[rows].tolist()


def prepare_slowly(folder: str, cache: str) -> None:
    """What a process does that is killed in the middle: each image takes a while."""
    source = find_source(folder)
    really_read = source.read

    def read(record, size, fit="squash"):
        time.sleep(0.02)
        return really_read(record, size, fit)

    source.read = read
    open_store(source, 32, cache=Path(cache))


@pytest.mark.slow
def test_a_preparation_killed_twenty_times_never_leaves_an_incomplete_store(tmp_path):
    folder = tmp_path / "lesions"
    synthesize_folder(folder, 160, 40)
    source = find_source(str(folder))
    expected = open_store(source, 32, cache=tmp_path / "undisturbed")
    context = multiprocessing.get_context("fork")
    moments = np.random.default_rng(0).uniform(0.0, 1.2, 20)
    resumed = 0
    for number, moment in enumerate(moments):
        # Every fourth starts from nothing; the others meet what the one before has left.
        cache = tmp_path / f"cache{number // 4}"
        process = context.Process(target=prepare_slowly, args=(str(folder), str(cache)))
        process.start()
        time.sleep(moment)
        process.kill()
        process.join()
        for store in stores_in(cache):
            assert ImageStore(store).damage() is None
        resumed += any(cache.glob(".*.partial/journal.jsonl"))
    assert resumed > 5, "the test should kill in the middle"
    for number in range(5):
        done: list[int] = []
        cache = tmp_path / f"cache{number}"
        store = open_store(source, 32, cache=cache, progress=lambda n, _, done=done: done.append(n))
        assert store.index == expected.index
        for file in expected.folder.glob("*.npy"):
            assert (store.folder / file.name).read_bytes() == file.read_bytes()


def test_what_a_killed_preparation_had_done_is_kept_unless_it_is_torn(isic_folder, tmp_path):
    source = find_source(str(isic_folder))
    whole = open_store(source, 32, cache=tmp_path / "whole")
    cache = tmp_path / "cache"
    context = multiprocessing.get_context("fork")
    process = context.Process(target=prepare_slowly, args=(str(isic_folder), str(cache)))
    process.start()
    while not any(journal.stat().st_size for journal in cache.glob(".*.partial/journal.jsonl")):
        time.sleep(0.005)
    process.kill()
    process.join()
    (journal,) = cache.glob(".*.partial/journal.jsonl")
    kept = sum(len(json.loads(line)[3]) for line in journal.read_text().splitlines())
    with journal.open("a") as file:
        file.write('["train", 16, "cut off in the mid')  # by the kill
    done: list[int] = []
    store = open_store(source, 32, cache=cache, progress=lambda n, _: done.append(n))
    assert done[0] == kept > 0 and done[-1] == sum(COUNTS.values())
    assert store.index == whole.index and store.damage() is None


def test_one_process_prepares_while_the_other_waits(isic_folder, tmp_path):
    cache = tmp_path / "cache"
    context = multiprocessing.get_context("fork")
    process = context.Process(target=prepare_slowly, args=(str(isic_folder), str(cache)))
    process.start()
    while not any(cache.glob(".*.partial")):
        time.sleep(0.005)
    told: list[str] = []
    open_store(
        find_source(str(isic_folder)),
        32,
        cache=cache,
        progress=lambda *_: told.append("decoded"),
        waiting=lambda: told.append("waited"),
    )
    process.join()
    assert told == ["waited"] and process.exitcode == 0
