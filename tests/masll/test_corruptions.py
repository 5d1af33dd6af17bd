"""Corruptions: what each does at its severities, and that an image and seed decide it."""

import colorsys
import io
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from masll.common.errors import InputError
from masll.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from masll.data.synthetic import synthesize

NAMES = sorted(CORRUPTIONS)
CHANGING = [name for name in NAMES if name != "identity"]


@pytest.fixture(scope="module")
def lesion() -> np.ndarray:
    return synthesize(3, 96).image


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b).mean())


@pytest.mark.parametrize("severity", SEVERITIES)
def test_identity_changes_nothing_at_all(lesion, severity):
    assert corrupt(lesion, "identity", severity, "a") is lesion


@pytest.mark.parametrize("name", CHANGING)
def test_a_higher_severity_takes_an_image_further_from_itself(lesion, name):
    away = [distance(lesion, corrupt(lesion, name, each, "a")) for each in SEVERITIES]
    assert away[0] > 0 and away == sorted(away) and away[-1] > 1.5 * away[0]


@pytest.mark.parametrize("name", NAMES)
def test_an_image_and_a_seed_decide_a_corruption_and_leave_the_image_as_it_is(lesion, name):
    before = lesion.copy()
    first, again = (corrupt(lesion, name, 3, "a", seed=5) for _ in range(2))
    assert np.array_equal(first, again) and np.array_equal(lesion, before)
    assert first.dtype == np.uint8 and first.shape == lesion.shape


@pytest.mark.parametrize("name", ["hair", "noise", "ruler"])
def test_another_image_or_seed_has_another_drawing(lesion, name):
    first = corrupt(lesion, name, 3, "a")
    assert not np.array_equal(first, corrupt(lesion, name, 3, "b"))
    assert not np.array_equal(first, corrupt(lesion, name, 3, "a", seed=1))


def test_the_same_hairs_come_first_at_every_severity():
    white = np.full((128, 128, 3), 255, np.uint8)
    covered = [corrupt(white, "hair", each, "a").min(axis=2) < 128 for each in SEVERITIES]
    for few, more in itertools.pairwise(covered):
        assert (few <= more).mean() > 0.999 and few.sum() < more.sum()


@given(st.tuples(*[st.integers(0, 255)] * 3), st.sampled_from(SEVERITIES))
def test_brightness_raises_the_value_of_hsv_and_keeps_hue_and_saturation(colour, severity):
    hue, saturation, value = colorsys.rgb_to_hsv(*(each / 255 for each in colour))
    raised = min(1, value + severity / 10)
    wanted = np.array(colorsys.hsv_to_rgb(hue, saturation, raised)) * 255
    image = np.full((2, 2, 3), colour, np.uint8)
    assert np.abs(corrupt(image, "brightness", severity, "a")[0, 0] - wanted).max() <= 0.5 + 1e-9


def test_jpeg_and_contrast_have_the_values_of_imagenet_c(lesion):
    content = io.BytesIO()
    Image.fromarray(lesion).save(content, "JPEG", quality=15)
    assert np.array_equal(corrupt(lesion, "jpeg", 3, "a"), np.asarray(Image.open(content)))
    flat = corrupt(lesion, "contrast", 1, "a").astype(float)
    ratio = flat.std(axis=(0, 1)) / lesion.std(axis=(0, 1))
    np.testing.assert_allclose(ratio, 0.4, atol=0.01)


def test_blur_is_as_wide_as_on_an_image_of_224_pixels_whatever_the_side():
    for side in (112, 224, 448):
        edge = np.zeros((side, side, 3), np.uint8)
        edge[:, side // 2 :] = 255
        profile = corrupt(edge, "blur", 3, "a")[side // 2, :, 0] / 255
        slope = np.diff(profile)
        places = np.arange(1, side) / side * 224
        mean = (slope * places).sum()
        sigma = np.sqrt((slope * (places - mean) ** 2).sum())
        assert sigma == pytest.approx(3, rel=0.1)


@pytest.mark.parametrize(("name", "severity"), [("hairs", 1), ("hair", 0), ("hair", 6)])
def test_an_unknown_name_or_severity_is_refused(lesion, name, severity):
    with pytest.raises(InputError, match=r"hair|severity must be from 1 to 5"):
        corrupt(lesion, name, severity, "a")
