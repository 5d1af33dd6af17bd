"""What a pixel means follows from the type of its file, never from the picture's other values."""

import io
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from masll import InputError
from masll.data.files import inspect, read_picture
from masll.data.reading import decode, decode_mask, read_rgb

LESION = np.zeros((40, 80), np.uint8)
LESION[5:15, 10:30] = 1
NONE = 0 * LESION


def encoded(image: Image.Image, style: str = "png", **settings) -> bytes:
    content = io.BytesIO()
    image.save(content, style, **settings)
    return content.getvalue()


def palette(lesion: np.ndarray) -> Image.Image:
    image = Image.fromarray(lesion)
    image = image.convert("P")
    image.putdata(lesion.ravel().tolist())
    image.putpalette([0, 0, 0, 128, 0, 0] + [0] * 762)
    return image


ENCODINGS = {
    "one bit": lambda m: encoded(Image.fromarray(m.astype(bool))),
    "0 and 1": lambda m: encoded(Image.fromarray(m)),
    "1 and 2": lambda m: encoded(Image.fromarray(m + 1)),
    "0 and 255": lambda m: encoded(Image.fromarray(m * 255)),
    "0 and 1 in 16 bits": lambda m: encoded(Image.fromarray(m.astype(np.uint16))),
    "0 and 1 in 32 bits": lambda m: encoded(Image.fromarray(m.astype(np.int32)), "tiff"),
    "0 and 1 as floats": lambda m: encoded(Image.fromarray(m.astype(np.float32)), "tiff"),
    "a palette": lambda m: encoded(palette(m)),
    "red on black": lambda m: encoded(Image.fromarray(np.dstack([m * 255, NONE, NONE]))),
    "transparency": lambda m: encoded(Image.fromarray(np.dstack([NONE + 255] * 3 + [m * 255]))),
    "opaque colours": lambda m: encoded(Image.fromarray(np.dstack([m * 255] * 3 + [NONE + 255]))),
    "a noisy JPEG": lambda m: encoded(Image.fromarray(m * 255), "jpeg", quality=90),
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_mask_is_one_lesion_in_whatever_encoding(name):
    mask = np.asarray(decode_mask(ENCODINGS[name](LESION)).lesion)
    assert set(np.unique(mask)) == {0, 255}
    assert np.array_equal(mask > 0, LESION > 0)


@given(arrays.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))), st.data())
def test_any_two_values_are_skin_and_lesion(lesion, data):
    low, high = sorted(data.draw(st.sets(st.integers(0, 255), min_size=2, max_size=2)))
    mask = decode_mask(encoded(Image.fromarray(np.where(lesion, high, low).astype(np.uint8))))
    if lesion.any() and not lesion.all():
        assert np.array_equal(np.asarray(mask.lesion) > 0, lesion) and not mask.many_valued


def test_many_values_in_the_lower_half_of_their_range_are_refused():
    classes = LESION.copy()
    classes[20:30] = 2  # of a segmentation into three classes
    with pytest.raises(ValueError, match="3 values, none above half"):
        decode_mask(encoded(Image.fromarray(classes)))
    both = np.dstack([np.indices((40, 80))[1].astype(np.uint8)] * 3 + [LESION * 255])
    with pytest.raises(ValueError, match="both its colours and its transparency vary"):
        decode_mask(encoded(Image.fromarray(both)))


def test_sixteen_bits_are_sixteen_bits_in_a_dark_picture_too():
    values = np.full((8, 8), 255, np.uint16)  # nearly black: 0.4 % of the range
    assert np.asarray(decode(encoded(Image.fromarray(values)))).max() == 0
    assert np.asarray(decode(encoded(Image.fromarray(values * 257)))).min() == 255


@pytest.mark.parametrize(("kind", "word"), [(np.int32, "32 bits"), (np.float32, "floats")])
def test_pixels_without_a_range_are_refused_by_name(tmp_path, kind, word):
    path = tmp_path / "odd.tiff"
    Image.fromarray(np.ones((8, 8), kind)).save(path)
    with pytest.raises(InputError, match=rf"cannot read .*odd\.tiff: .*{word}.* 8 or 16 bits"):
        read_rgb(path)


def turned(image: Image.Image, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image, "png", exif=exif)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_image_and_mask_lie_upon_each_other_however_they_are_stored(tmp_path, orientation):
    grey = Image.fromarray(LESION * 200)
    image = turned(grey, orientation)
    seen = np.asarray(decode(image))[..., 0] > 0
    own = turned(Image.fromarray(LESION * 255), orientation)
    assert np.array_equal(np.asarray(decode_mask(own, image).lesion) > 0, seen)
    upright = encoded(Image.fromarray(seen))
    assert np.array_equal(np.asarray(decode_mask(upright, image).lesion) > 0, seen)
    if orientation >= 5:  # only where the sides tell it from an upright one
        as_stored = encoded(Image.fromarray(LESION))
        assert np.array_equal(np.asarray(decode_mask(as_stored, image).lesion) > 0, seen)
    (tmp_path / "image.png").write_bytes(image)
    (tmp_path / "mask.png").write_bytes(own)
    assert inspect(tmp_path / "image.png", tmp_path / "mask.png").problems == []


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # as it is said to a user
def test_broken_metadata_do_not_cost_sound_pixels():
    content = encoded(
        Image.fromarray(LESION * 255).convert("RGB"), "jpeg", exif=b"Exif\0\0MM\0*junk"
    )
    assert decode(content).size == (80, 40)


def test_postscript_is_no_image_whatever_it_is_called(tmp_path):
    path = tmp_path / "figure.jpg"
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\nshowpage\n%%EOF\n")
    with pytest.raises(InputError, match="not an image"):
        read_rgb(path)


@pytest.mark.parametrize("which", ["image", "mask"])
def test_a_pipe_is_refused_and_never_waited_for(tmp_path, which):
    Image.fromarray(LESION).save(tmp_path / "file.png")
    os.mkfifo(tmp_path / "pipe.png")
    files = {"image": tmp_path / "file.png", "mask": tmp_path / "file.png"}
    files[which] = tmp_path / "pipe.png"
    with pytest.raises(InputError, match=r"pipe\.png: no regular file"):
        read_picture(files["image"], files["mask"], 16, "squash")


def test_verify_names_what_is_flat_empty_full_or_many_valued(tmp_path):
    def found(image: np.ndarray, mask: np.ndarray) -> list[str]:
        for name, values in (("image", image), ("mask", mask)):
            Image.fromarray(values).save(tmp_path / f"{name}.png")
        problems = inspect(tmp_path / "image.png", tmp_path / "mask.png").problems
        assert {problem.kind for problem in problems} <= {"suspect"}
        return [problem.text.partition(".png ")[2] for problem in problems]

    shades = np.indices((40, 80))[1].astype(np.uint8) * 3
    assert found(shades, LESION) == []
    assert found(NONE + 7, LESION) == ["has one colour only"]
    assert found(shades, NONE) == ["is empty"] and found(shades, NONE + 1) == ["is full"]
    assert found(shades, shades) == ["has more than two values; cut at half of their range"]
