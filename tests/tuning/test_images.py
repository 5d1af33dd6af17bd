"""Which images a study learns from, on real files."""

import numpy as np
import pytest

from masll.common.errors import InputError
from masll.common.storage import any_path
from masll.data.prepare import prepare
from tuning.images import choose_images, read_images, write_folds
from tuning.options import SearchOptions, resolve
from tuning.specification import make_spec
from tuning.study.folder import StudyFolder


@pytest.fixture
def options(isic_folder, cache, monkeypatch) -> SearchOptions:
    monkeypatch.setenv("MASLL_CACHE", str(cache))
    chosen = {"image_size": 32, "source_size": 32, "validation": "fold"}
    return resolve(chosen | {"data": str(isic_folder)})


@pytest.mark.slow
def test_a_fold_held_out_takes_the_place_of_the_official_validation_images(options, tmp_path):
    store = prepare(options, options.source_pixels)
    official = {name: set(store.split(name).ids) for name in ("train", "validation", "test")}
    images = choose_images(options)
    train, held = images.train_and_validation(store)
    assert not set(train.ids) & set(held.ids)
    assert set(train.ids) | set(held.ids) == official["train"] | official["validation"]
    assert not images.cross_validated and held.name == "validation"
    share = len(held) / (len(train) + len(held))
    assert 0.1 < share < 0.3, "a fifth, as far as duplicates let it"
    assert abs(held.labels.mean() - train.labels.mean()) < 0.1, "stratified"
    pixels = {
        i: store.split(s).images[n] for s in official for n, i in enumerate(store.split(s).ids)
    }
    assert np.array_equal(held.images[np.arange(1)][0], pixels[held.ids[0]])

    folder = StudyFolder(any_path(tmp_path / "study"))
    write_folds(folder, images)
    spec = make_spec(options, (), (), store, images)
    again = read_images(folder, spec).train_and_validation(store)
    assert [each.ids for each in again] == [train.ids, held.ids], "a resumed study keeps its fold"


@pytest.mark.slow
def test_folds_need_as_many_images_of_each_class(options, monkeypatch):
    monkeypatch.setattr("tuning.images.FOLDS", 99)
    with pytest.raises(InputError, match="--validation fold needs 99 images of each class"):
        choose_images(options)
