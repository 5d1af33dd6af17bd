"""Boxes that do not come from SLL."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from masll import ModelConfig, build_model
from masll.boxes import dark_mask, otsu_threshold, replace_boxes, shuffled
from masll.config import BOXES
from masll.localization import BoxRule, Localization, mask_to_box
from tests.support import TINY_BACKBONE

levels = st.lists(st.integers(0, 63), min_size=2, max_size=40)


@given(levels)
def test_otsu_s_threshold_leaves_least_variance_within_the_two_classes(values):
    """Otsu's other definition: least weighted variance within classes, class by class."""

    def within(threshold: int) -> float:
        parts = [[v for v in values if v <= threshold], [v for v in values if v > threshold]]
        total = 0.0
        for part in parts:
            mean = sum(part) / len(part)
            total += sum((v - mean) ** 2 for v in part)
        return total

    found = int(otsu_threshold(torch.tensor([[values]])))
    thresholds = [t for t in range(63) if min(values) <= t < max(values)]
    if thresholds:
        best = min(map(within, thresholds))
        assert within(found) == pytest.approx(best, rel=1e-9, abs=1e-9)
    else:
        assert found == 0, "one level only"


def test_darkness_boxes_the_lesion_whatever_the_device_s_batch_holds_beside():
    images = torch.ones(3, 3, 128, 128)
    images[0, :, 40:90, 30:70] = -1.0  # a lesion
    images[1] = 0.3  # nothing at all
    images[2, :, 100:128, 0:128] = -2.0
    images[2, :, 4:8, 4:8] = -2.0  # a speck beside the largest region
    together = mask_to_box(dark_mask(images), largest_component=True) * 2
    assert together.tolist() == [[30, 40, 70, 90], [0, 0, 128, 128], [0, 100, 128, 128]]
    for image, box in zip(images, together, strict=True):
        assert torch.equal(mask_to_box(dark_mask(image[None]), largest_component=True)[0] * 2, box)


@given(st.integers(2, 30))
def test_shuffled_boxes_are_all_of_another_image(count):
    boxes = torch.arange(4 * count).view(count, 4)
    moved = shuffled(Localization(boxes, torch.zeros(count, 1, 1), torch.zeros(count).bool()))
    assert sorted(moved.boxes.tolist()) == boxes.tolist()
    assert not (moved.boxes == boxes).all(dim=1).any()


def test_each_box_is_where_it_says_and_the_map_stays():
    images = torch.ones(4, 3, 64, 64)
    images[:, :, 16:48, 8:24] = -1.0
    boxes = torch.tensor([[0, 0, 8, 8], [8, 8, 16, 16], [16, 16, 24, 24], [24, 24, 32, 32]])
    found = Localization(boxes, torch.rand(4, 2, 2), torch.tensor([True, False, False, False]))
    lesions = torch.tensor([[1, 2, 30, 40]]).expand(4, 4)
    expected = {
        "sll": boxes.tolist(),
        "whole": [[0, 0, 64, 64]] * 4,
        "centre": [[16, 16, 48, 48]] * 4,
        "shuffled": boxes.roll(2, 0).tolist(),
        "darkness": [[8, 16, 24, 48]] * 4,
        "mask": lesions.tolist(),
    }
    assert set(expected) == set(BOXES)
    for box, where in expected.items():
        location = replace_boxes(found, box, images, BoxRule(), lesions)
        assert location.boxes.tolist() == where, box
        assert location.activation_map is found.activation_map
    wider = replace_boxes(found, "mask", images, BoxRule(padding=0.5), lesions)
    assert (wider.boxes[0] == torch.tensor([0, 0, 58, 78]).clamp(max=64)).tolist()[0:2] == [1, 1]
    with pytest.raises(ValueError, match="needs the lesions"):
        replace_boxes(found, "mask", images, BoxRule(), None)


@pytest.mark.parametrize("box", BOXES)
def test_a_network_with_any_box_learns_and_says_where_it_looked(box):
    torch.manual_seed(0)
    config = ModelConfig("gated-fusion", TINY_BACKBONE, False, image_size=64, box=box)
    model = build_model(config)
    images, lesions = torch.randn(4, 3, 96, 96), torch.tensor([[10, 20, 50, 60]] * 4)
    out = model(images, lesions) if box == "mask" else model(images)
    out.logits.sum().backward()
    assert out.boxes.shape == (4, 4) and out.activation_map.shape[0] == 4
    if box == "mask":
        assert out.boxes.tolist() == lesions.tolist()
    assert all(p.grad is not None for p in model.local_branch.parameters() if p.requires_grad)
