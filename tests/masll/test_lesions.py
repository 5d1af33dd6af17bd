"""Rectangles of lesion masks, turned as images are."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from masll.augment import random_turns, turn
from masll.common.errors import InputError
from masll.data.split import Split, pool
from masll.lesions import LesionBoxes
from masll.localization import mask_to_box

SIDE = 64


def split_of(masks: np.ndarray, masked: np.ndarray | None = None) -> Split:
    n = len(masks)
    images = np.zeros((n, 3, SIDE, SIDE), np.uint8)
    masked = np.ones(n, dtype=bool) if masked is None else masked
    ids = tuple(f"i{n}" for n in range(n))
    return Split("train", ids, np.zeros(n, dtype=np.int64), images, masks, masked)


def blobs(seed: int) -> np.ndarray:
    """Ellipses so near the centre that no turn brings in their reflection at the edge."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    masks = []
    for _ in range(5):
        cx, cy = rng.uniform(-5, 5, 2)
        a, b = rng.uniform(3, 10, 2)
        masks.append((((x - cx) / a) ** 2 + ((y - cy) / b) ** 2 <= 1).astype(np.uint8))
    return np.stack(masks)


@given(st.integers(0, 10**6))
@settings(max_examples=30)
def test_an_image_as_it_is_has_the_rectangle_of_its_mask(seed):
    masks = (np.random.default_rng(seed).random((4, SIDE, SIDE)) < 0.002).astype(np.uint8)
    found = LesionBoxes(split_of(masks))(np.arange(4))
    assert torch.equal(found, mask_to_box(torch.from_numpy(masks).bool()))


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_a_turned_image_has_the_rectangle_of_the_turned_mask(seed):
    masks = blobs(seed)
    turns = random_turns(len(masks), torch.Generator().manual_seed(seed))
    turned = turn(torch.from_numpy(masks).float()[:, None].expand(-1, 3, -1, -1), turns)
    expected = mask_to_box(turned[:, 0] > 0.5)
    found = LesionBoxes(split_of(masks))(np.arange(len(masks)), turns)
    assert (found - expected).abs().max() <= 2, "pixels"


def test_rows_that_were_pooled_and_selected_keep_their_masks():
    first, second = split_of(blobs(1)), split_of(blobs(2))
    both = pool("validation", [first, second]).select(np.array([7, 0, 3]))
    expected = [LesionBoxes(second)(np.array([2])), LesionBoxes(first)(np.array([0, 3]))]
    assert torch.equal(LesionBoxes(both)(np.arange(3)), torch.cat(expected))


def test_an_image_without_a_mask_is_refused_by_their_number():
    masked = np.array([True, False, True, True, False])
    with pytest.raises(InputError, match="2 of 5 train images have none"):
        LesionBoxes(split_of(blobs(3), masked))
