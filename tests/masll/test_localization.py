"""SLL against references written from the formulas, and its laws on random and nasty inputs."""

import math

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from masll.localization import (
    BoxRule,
    activation_map,
    adjust_boxes,
    box_area,
    crop_and_resize,
    localize,
    mask_to_box,
    resize,
    scale_boxes,
    threshold_mask,
)

masks = arrays(bool, array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=12))
maps = arrays(
    np.float32,
    array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=8),
    elements=st.floats(-100, 100, width=32),
)


def reference_box(mask: np.ndarray) -> list[int]:
    """Loop over the cells of one mask (H, W)."""
    cells = [(x, y) for y in range(mask.shape[0]) for x in range(mask.shape[1]) if mask[y, x]]
    if not cells:
        return [0, 0, mask.shape[1], mask.shape[0]]
    xs, ys = [x for x, _ in cells], [y for _, y in cells]
    return [min(xs), min(ys), max(xs) + 1, max(ys) + 1]


def reference_crop(image: np.ndarray, box: list[int], size: int) -> np.ndarray:
    """By its definition: image (C, S, S); means of n x n bilinear samples."""
    channels, height, width = image.shape
    x0, y0, x1, y1 = box
    n_x = n_y = -(-width // (2 * size))

    def at(y: float, x: float) -> np.ndarray:
        y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
        top, left = int(y), int(x)
        bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
        v, u = y - top, x - left
        return (
            image[:, top, left] * (1 - v) * (1 - u)
            + image[:, top, right] * (1 - v) * u
            + image[:, bottom, left] * v * (1 - u)
            + image[:, bottom, right] * v * u
        )

    out = np.zeros((channels, size, size))
    for row in range(size):
        for column in range(size):
            for i in range(n_y):
                for j in range(n_x):
                    y = y0 + (row + (i + 0.5) / n_y) * (y1 - y0) / size - 0.5
                    x = x0 + (column + (j + 0.5) / n_x) * (x1 - x0) / size - 0.5
                    out[:, row, column] += at(y, x) / (n_x * n_y)
    return out


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_activation_map_is_the_channel_mean_with_negatives_as_zero(dtype):
    features = torch.randn(3, 5, 4, 6, dtype=dtype)
    expected = np.zeros((3, 4, 6))
    for b in range(3):
        for k in range(5):
            expected[b] += np.maximum(features[b, k].numpy(), 0) / 5
    torch.testing.assert_close(activation_map(features), torch.from_numpy(expected).to(dtype))


@given(maps, st.floats(0.25, 4))
def test_the_mask_is_where_the_map_reaches_scale_times_its_mean(values, scale):
    mask = threshold_mask(torch.from_numpy(values), scale).numpy()
    for one, found in zip(values.astype(np.float64), mask, strict=True):
        positive = np.maximum(one, 0)
        threshold = scale * positive.sum() / positive.size
        clear = np.abs(positive - threshold) > 1e-4 * (1 + threshold)  # rounding decides the rest
        assert (found[clear] == (positive >= threshold)[clear]).all()


@given(maps, st.floats(0.1, 4), st.floats(0.1, 4))
def test_a_larger_scale_never_gives_a_larger_mask(values, a, b):
    small, large = sorted((a, b))
    smaller_mask = threshold_mask(torch.from_numpy(values), large)
    assert not (smaller_mask & ~threshold_mask(torch.from_numpy(values), small)).any()


@given(st.floats(0, 1e6, width=32), st.integers(1, 20), st.integers(1, 20))
def test_a_flat_map_is_all_mask_at_scale_one(value, height, width):
    assert threshold_mask(torch.full((1, height, width), value), 1.0).all()


@given(masks)
def test_the_box_is_the_reference_box(values):
    boxes = mask_to_box(torch.from_numpy(values))
    assert boxes.dtype == torch.int64
    assert boxes.tolist() == [reference_box(mask) for mask in values]


@given(masks)
def test_the_box_contains_every_cell_and_no_empty_border(values):
    for mask, (x0, y0, x1, y1) in zip(
        values, mask_to_box(torch.from_numpy(values)).tolist(), strict=True
    ):
        if not mask.any():
            continue
        inside = mask[y0:y1, x0:x1]
        assert inside.sum() == mask.sum()
        assert inside[0].any() and inside[-1].any()
        assert inside[:, 0].any() and inside[:, -1].any()


@given(masks)
def test_flipping_the_mask_flips_the_box(values):
    mask = torch.from_numpy(values)
    width = mask.shape[2]
    x0, y0, x1, y1 = mask_to_box(mask).unbind(1)
    flipped = torch.stack([width - x1, y0, width - x0, y1], dim=1)
    assert torch.equal(mask_to_box(mask.flip(2)), flipped)
    assert torch.equal(mask_to_box(mask.transpose(1, 2)), torch.stack([y0, x0, y1, x1], dim=1))


@given(masks, st.integers(0, 5), st.integers(0, 5))
def test_shifting_the_mask_shifts_the_box(values, right, down):
    mask = torch.from_numpy(values)
    shifted = torch.nn.functional.pad(mask, (right, 0, down, 0))
    some = mask.any(dim=(1, 2))
    moved = mask_to_box(mask) + torch.tensor([right, down, right, down])
    assert torch.equal(mask_to_box(shifted)[some], moved[some])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.5, 2.5), st.sampled_from([torch.float32, torch.float64]))
def test_localizing_a_batch_equals_one_by_one_in_both_precisions(seed, scale, dtype):
    features = torch.randn(4, 6, 5, 7, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    together = localize(features, scale, 64)
    for i in range(4):
        alone = localize(features[i : i + 1], scale, 64)
        assert torch.equal(alone.boxes[0], together.boxes[i])
        assert torch.equal(alone.activation_map[0], together.activation_map[i])


@given(masks)
def test_a_batch_equals_one_by_one(values):
    mask = torch.from_numpy(values)
    for largest in (False, True):
        one_by_one = [mask_to_box(mask[i : i + 1], largest) for i in range(len(mask))]
        assert torch.equal(mask_to_box(mask, largest), torch.cat(one_by_one))


def spiral(side: int) -> np.ndarray:
    """One thin component that winds to the centre: the worst case for label propagation."""
    mask = np.zeros((side, side), bool)
    top, left, bottom, right = 0, 0, side - 1, side - 1
    while top < bottom and left < right:
        mask[top, left : right + 1] = mask[top : bottom + 1, right] = True
        mask[bottom, left : right + 1] = True
        mask[top + 2 : bottom + 1, left] = True
        if left + 1 < right and top + 2 < bottom:
            mask[top + 2, left : left + 2] = True
        top, left, bottom, right = top + 2, left + 2, bottom - 2, right - 2
    return mask


@settings(deadline=None)
@given(masks)
def test_the_largest_component_is_that_of_scipy(values):
    boxes = mask_to_box(torch.from_numpy(values), largest_component=True).tolist()
    for mask, box in zip(values, boxes, strict=True):
        labels, count = scipy.ndimage.label(mask, np.ones((3, 3)))
        sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        largest = [i + 1 for i in range(count) if sizes[i] == sizes.max()]
        assert box in ([reference_box(labels == i) for i in largest] or [reference_box(mask)])


@pytest.mark.parametrize("side", [5, 9, 17, 33, 65])
def test_a_winding_component_is_one_component(side):
    mask = spiral(side)
    assert scipy.ndimage.label(mask, np.ones((3, 3)))[1] == 1
    for turned in (mask, mask[::-1].copy(), mask.T.copy()):
        box = mask_to_box(torch.from_numpy(turned)[None], largest_component=True)
        assert box.tolist() == [[0, 0, side, side]]


@pytest.mark.parametrize(
    ("cells", "source", "expected"),
    [
        ([1, 0, 2, 4], 192, [64, 0, 128, 192]),
        ([0, 0, 3, 4], 100, [0, 0, 100, 100]),
        ([1, 1, 2, 2], 100, [33, 25, 67, 50]),  # rounded outwards
    ],
)
def test_cells_become_pixels_rounded_outwards(cells, source, expected):
    assert scale_boxes(torch.tensor([cells]), (4, 3), source).tolist() == [expected]


def test_a_box_of_the_output_size_is_copied():
    images = torch.rand(2, 3, 16, 16)
    boxes = torch.tensor([[3, 5, 11, 13], [8, 0, 16, 8]])
    crops = crop_and_resize(images, boxes, 8)
    torch.testing.assert_close(crops[0], images[0, :, 5:13, 3:11])
    torch.testing.assert_close(crops[1], images[1, :, 0:8, 8:16])


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_crop_is_what_the_definition_gives(data):
    side, size = data.draw(st.integers(4, 16)), data.draw(st.integers(1, 6))
    x0, y0 = data.draw(st.integers(0, side - 1)), data.draw(st.integers(0, side - 1))
    x1, y1 = data.draw(st.integers(x0 + 1, side)), data.draw(st.integers(y0 + 1, side))
    image = np.random.default_rng(side).random((3, side, side))
    crop = crop_and_resize(torch.from_numpy(image)[None], torch.tensor([[x0, y0, x1, y1]]), size)
    np.testing.assert_allclose(crop[0].numpy(), reference_crop(image, [x0, y0, x1, y1], size))


@pytest.mark.parametrize("size", [8, 12, 16, 5])
def test_no_source_pixel_is_left_out(size):
    images = torch.rand(1, 3, 32, 32, dtype=torch.float64, requires_grad=True)
    crop_and_resize(images, torch.tensor([[0, 0, 32, 32]]), size).sum().backward()
    assert (images.grad > 0).all()


def test_half_the_size_is_the_mean_of_two_by_two_pixels():
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(resize(images, 16), torch.nn.functional.avg_pool2d(images, 2))


def test_the_whole_image_box_gives_what_the_global_branch_sees():
    images = torch.rand(2, 3, 24, 24)
    whole = torch.tensor([[0, 0, 24, 24]] * 2)
    torch.testing.assert_close(crop_and_resize(images, whole, 10), resize(images, 10))
    assert resize(images, 24) is images


def test_an_impossible_threshold_falls_back_to_the_whole_image_and_is_counted():
    features = torch.ones(2, 4, 5, 5)
    features[1, :, 2, 3] = 50
    found = localize(features, 2.0, 100)
    assert found.boxes.tolist() == [[0, 0, 100, 100], [60, 40, 80, 60]]
    assert found.fallback.tolist() == [True, False]
    torch.testing.assert_close(box_area(found.boxes, 100), torch.tensor([1.0, 0.04]).double())


@pytest.mark.parametrize("value", [0.0, -3.0, float("nan")])
def test_a_map_without_activation_gives_the_whole_image(value):
    found = localize(torch.full((1, 3, 4, 4), value), 1.0, 64)
    assert found.boxes.tolist() == [[0, 0, 64, 64]]


rules = st.builds(
    BoxRule,
    padding=st.floats(0, 2),
    min_side=st.floats(0, 1),
    square=st.booleans(),
)


@given(st.data(), rules)
def test_an_adjusted_box_contains_the_box_and_stays_inside_the_image(data, rule):
    side = data.draw(st.integers(1, 60))
    x0, y0 = data.draw(st.integers(0, side - 1)), data.draw(st.integers(0, side - 1))
    x1, y1 = data.draw(st.integers(x0 + 1, side)), data.draw(st.integers(y0 + 1, side))
    box = torch.tensor([[x0, y0, x1, y1]])
    a0, b0, a1, b1 = adjust_boxes(box, side, rule)[0].tolist()
    assert 0 <= a0 <= x0 and 0 <= b0 <= y0 and x1 <= a1 <= side and y1 <= b1 <= side
    wide, high = a1 - a0, b1 - b0
    for grown, given_side in ((wide, x1 - x0), (high, y1 - y0)):
        wanted = max(given_side * (1 + 2 * rule.padding), rule.min_side * side)
        assert grown >= min(side, math.floor(wanted))
    if rule.square:
        assert wide == high


def test_padding_widens_by_its_share_on_each_side():
    boxes = torch.tensor([[40, 30, 60, 50]])
    assert adjust_boxes(boxes, 100, BoxRule(padding=0.25)).tolist() == [[35, 25, 65, 55]]
    assert torch.equal(adjust_boxes(boxes, 100, BoxRule()), boxes)


def test_a_finer_map_is_thresholded_on_its_own_grid():
    features = torch.zeros(1, 1, 4, 4)
    features[..., 1, 2] = 1
    coarse, fine = localize(features, 4.0, 64), localize(features, 4.0, 64, BoxRule(map_size=16))
    assert fine.activation_map.shape == (1, 16, 16)
    assert coarse.boxes.tolist() == [[32, 16, 48, 32]]
    (x0, y0, x1, y1) = fine.boxes[0].tolist()
    assert x0 <= 36 and x1 >= 44 and (x1 - x0) % 4 == 0 and y0 <= 20 and y1 >= 28


def test_a_larger_component_wins_over_a_hotter_one():
    features = torch.zeros(1, 1, 6, 6)
    features[..., 0, 5] = 9
    features[..., 3:6, 0:2] = 5
    assert localize(features, 1.0, 6, BoxRule(largest_component=True)).boxes.tolist() == [
        [0, 3, 2, 6]
    ]
    assert localize(features, 1.0, 6).boxes.tolist() == [[0, 0, 6, 6]]


@pytest.mark.parametrize("rule", [BoxRule(), BoxRule(16, True, 0.1, 0.2, True)])
def test_nothing_is_copied_to_the_host(rule):
    # A meta tensor has no values: whatever asks for one raises.
    features = torch.empty(3, 8, 6, 6, device="meta")
    images = torch.empty(3, 3, 64, 64, device="meta")
    found = localize(features, 1.0, 64, rule)
    assert found.boxes.shape == (3, 4) and found.boxes.dtype == torch.int64
    assert crop_and_resize(images, found.boxes, 32).shape == (3, 3, 32, 32)
    assert resize(images, 16).shape == (3, 3, 16, 16)


@pytest.mark.parametrize("source", [64, 512])
def test_a_crop_under_autocast_is_the_crop_without(source):
    images = torch.rand(3, 3, source, source)
    boxes = torch.tensor([[3, 5, source - 7, source // 2], [0, 0, source, source], [1, 1, 4, 5]])
    plain = crop_and_resize(images, boxes, 32)
    with torch.autocast("cpu"):
        assert torch.equal(crop_and_resize(images, boxes, 32), plain)
