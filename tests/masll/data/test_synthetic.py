"""Synthetic lesions: reproducible, plausible, and made so that a local view can help."""

import numpy as np
import pytest
import torch
from PIL import Image

from masll.data import find_source
from masll.data.synthetic import _fine_pattern, _waves, factors_of, label_of, synthesize
from masll.localization import crop_and_resize, resize
from masll.metrics import binary_metrics

FEW = range(40)


def test_the_same_index_and_seed_give_the_same_bytes_in_any_order():
    forward = [synthesize(i, 48, seed=2) for i in range(6)]
    backward = [synthesize(i, 48, seed=2) for i in reversed(range(6))][::-1]
    for a, b in zip(forward, backward, strict=True):
        assert np.array_equal(a.image, b.image) and np.array_equal(a.mask, b.mask)
    assert not np.array_equal(forward[0].image, synthesize(0, 48, seed=3).image)


def test_two_sizes_show_the_same_lesion():
    for i in FEW:
        large, small = synthesize(i, 128), synthesize(i, 64)
        assert large.label == small.label == label_of(i)
        reduced = np.asarray(Image.fromarray(large.image).reduce(2), dtype=float)
        assert abs(reduced - small.image).mean() < 12
        assert (
            np.asarray(Image.fromarray(large.mask).resize((64, 64))) != small.mask
        ).mean() < 0.03


def test_about_a_fifth_are_melanoma():
    assert 0.17 < np.mean([label_of(i) for i in range(4000)]) < 0.23


def test_the_lesion_is_inside_its_mask_and_darker_than_the_skin():
    darker = []
    for i in FEW:
        lesion = synthesize(i, 96)
        assert 0.01 < lesion.mask.mean() < 0.6
        grey = lesion.image.mean(axis=2)
        ring = np.asarray(Image.fromarray(lesion.mask).convert("L").resize((96, 96)))
        darker.append(np.median(grey[ring > 0]) < np.median(grey[ring == 0]))
    assert np.mean(darker) > 0.8  # but for vignettes and thick hair


def test_the_coarse_factors_tell_much_of_the_label_and_the_fine_one_the_rest():
    factors = np.array([factors_of(i) for i in range(3000)])
    labels = [label_of(i) for i in range(3000)]
    weights = np.array([0.22, 0.22, 0.22, 0.34])
    coarse = binary_metrics(labels, factors[:, :3] @ weights[:3])["auc"]
    everything = binary_metrics(labels, factors @ weights)["auc"]
    assert 0.80 < coarse < 0.90 and everything > 0.97


@pytest.mark.parametrize("disorder", [0.0, 0.5, 1.0])
def test_a_reduced_image_has_lost_most_of_the_fine_pattern(disorder):
    for seed in range(5):
        pattern = _fine_pattern(np.random.default_rng(seed), disorder, 192)
        reduced = pattern.reshape(64, 3, 64, 3).mean(axis=(1, 3))
        assert reduced.std() < 0.55 * pattern.std()


@pytest.mark.parametrize("seed", range(5))
def test_waves_vanish_from_a_reduced_image_and_show_in_a_crop(seed):
    axis = (np.arange(192) + 0.5) / 192 - 0.5
    waves = _waves(np.random.default_rng(seed), axis[None, :], axis[:, None])
    image = torch.tensor(waves, dtype=torch.float32).expand(1, 3, 192, 192)
    half = torch.tensor([[48, 48, 144, 144]])
    inner = slice(2, -2)  # a filter is another one at the border
    assert resize(image, 64)[..., inner, inner].std() < 0.02 * waves.std()
    assert crop_and_resize(image, half, 64).std() > 0.4 * waves.std()


def test_the_label_of_the_fine_kind_is_the_pattern_but_for_a_few():
    def contrast(lesion) -> float:  # between neighbours within the lesion, hair and bubbles aside
        grey = lesion.image.mean(axis=2)
        along = np.median(abs(np.diff(grey, axis=1))[lesion.mask[:, 1:]])
        down = np.median(abs(np.diff(grey, axis=0))[lesion.mask[1:]])
        return float(max(along, down))

    lesions = [synthesize(i, 192, kind="fine") for i in range(60)]
    labels = [lesion.label for lesion in lesions]
    assert labels == [label_of(i, kind="fine") for i in range(60)]
    assert binary_metrics(labels, [contrast(lesion) for lesion in lesions])["auc"] > 0.85
    many = [label_of(i, kind="fine") for i in range(4000)]
    assert 0.47 < np.mean(many) < 0.53
    shape = [factors_of(i).asymmetry + factors_of(i).border for i in range(4000)]
    assert abs(binary_metrics(many, shape)["auc"] - 0.5) < 0.03, "nothing else tells it"


def test_either_word_is_a_source_of_its_own():
    usual, fine = find_source("synthetic"), find_source("synthetic-fine")
    assert (usual.name, fine.name) == ("synthetic", "synthetic-fine")
    assert usual.identity() != fine.identity() and usual.identity()["generator"] == 1
    record = fine.records[0]
    assert fine.read(record, 64).digest != usual.read(usual.records[0], 64).digest


def test_the_source_deals_lesions_out_to_all_splits():
    source = find_source("synthetic")
    assert {record.split for record in source.records} == {"train", "validation", "test"}
    assert len({record.image_id for record in source.records}) == len(source.records)
    record = source.records[-1]
    assert source.read(record, 32).image.shape == (32, 32, 3)


@pytest.mark.parametrize(("index", "size"), [(-1, 64), (0, 8)])
def test_a_bad_index_or_size_is_refused(index, size):
    with pytest.raises(ValueError, match="got"):
        synthesize(index, size)
