"""From a file's bytes to a square: sizes, modes, orientations, and the reduced decoding."""

import io
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from masll.data.reading import FITS, decode, frame_of, to_square
from masll.data.synthetic import synthesize


def encoded(image: Image.Image, style: str = "jpeg", **settings) -> bytes:
    content = io.BytesIO()
    image.save(content, style, **settings)
    return content.getvalue()


def quarters(width: int, height: int) -> Image.Image:
    """Black, but for the top right quarter."""
    frame = np.zeros((height, width, 3), np.uint8)
    frame[: height // 2, width // 2 :] = (200, 100, 50)
    return Image.fromarray(frame)


def test_squash_takes_the_whole_frame():
    square = np.asarray(to_square(decode(encoded(quarters(1200, 900)), 64), 64, "squash"))
    assert square.shape == (64, 64, 3)
    assert abs(square[10, 50].astype(int) - (200, 100, 50)).max() < 8
    assert max(square[50, 10].max(), square[50, 50].max(), square[10, 10].max()) < 8


def test_pad_keeps_proportions_and_crop_takes_the_middle():
    image = Image.new("RGB", (400, 200), "white")
    padded = np.asarray(to_square(image, 100, "pad"))
    assert (padded[25:75] == 255).all()
    assert (padded[:24] == 0).all() and (padded[76:] == 0).all()
    striped = np.zeros((200, 400, 3), np.uint8)
    striped[:, 100:300] = 255
    assert (np.asarray(to_square(Image.fromarray(striped), 100, "crop"))[:, 2:-2] == 255).all()


@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 64), st.sampled_from(FITS))
def test_every_size_becomes_the_square_that_its_frame_says(width, height, size, fit):
    square = to_square(Image.new("RGB", (width, height)), size, fit)
    assert square.size == (size, size)
    frame = frame_of(width, height, fit)
    assert fit == "squash" or frame.width == frame.height
    assert frame.left + frame.width / 2 == width / 2  # the same centre
    assert frame.top + frame.height / 2 == height / 2


def test_a_reduced_decoding_differs_invisibly():
    photo = Image.fromarray(synthesize(3, 900).image)
    content = encoded(photo, quality=95)
    full = np.asarray(to_square(decode(content), 200, "squash"), dtype=float)
    reduced = decode(content, 200)
    assert min(reduced.size) < 900 and min(reduced.size) >= 200
    error = np.asarray(to_square(reduced, 200, "squash"), dtype=float) - full
    assert 10 * np.log10(255**2 / (error**2).mean()) > 40  # dB


def test_a_photograph_held_upright_is_turned():
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    turned = decode(encoded(quarters(80, 40), quality=95, exif=exif))
    assert turned.size == (40, 80)


def test_a_scan_of_sixty_megapixels_is_read_at_a_reduced_size():
    content = encoded(Image.new("L", (10000, 6000), 90))
    assert np.asarray(to_square(decode(content, 64), 64, "squash")).mean() == pytest.approx(90, 1)


def test_what_threads_need_is_imported_before_they_start():
    """NumPy's own lazy import of numpy.ma, in np.unique, fails now and then in two at once."""
    code = "import sys; from masll.data import reading; assert 'numpy.ma' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
