"""Which images a study learns from, on real files."""

import numpy as np
import pytest

from masll.common.errors import InputError
from masll.common.storage import any_path
from masll.data.prepare import prepare
from tuning.images import StudyImages, choose_images, read_images, write_folds
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
    images.check_classes(store)
    assert abs(held.labels.mean() - train.labels.mean()) < 0.1, "stratified"
    pixels = {
        i: store.split(s).images[n] for s in official for n, i in enumerate(store.split(s).ids)
    }
    assert np.array_equal(held.images[np.arange(1)][0], pixels[held.ids[0]])

    folder = StudyFolder(any_path(tmp_path / "study"))
    write_folds(folder, images)
    spec = make_spec(options, (), (), store, images, {})
    again = read_images(folder, spec).train_and_validation(store)
    assert [each.ids for each in again] == [train.ids, held.ids], "a resumed study keeps its fold"


@pytest.mark.slow
def test_folds_need_as_many_images_of_each_class(options, monkeypatch):
    monkeypatch.setattr("tuning.images.FOLDS", 99)
    with pytest.raises(InputError, match="--validation fold: 99 folds need both classes"):
        choose_images(options)


@pytest.mark.slow
def test_a_study_whose_images_lack_a_class_is_refused_before_it_trains(options):
    store = prepare(options, options.source_pixels)
    both = [record for record in store.records if record.split != "test"]
    sorted_by_label = StudyImages(
        folds={record.image_id: 4 * record.label for record in both}, validation="fold"
    )
    with pytest.raises(InputError, match="fold 0 of the study has not both classes"):
        sorted_by_label.check_classes(store)
    melanomas = {record.image_id: ["x"] for record in both if record.label}
    with pytest.raises(InputError, match=r"--drop-leaks leaves training images of labels \[0\]"):
        StudyImages(melanomas).check_classes(store)
    StudyImages().check_classes(store)
