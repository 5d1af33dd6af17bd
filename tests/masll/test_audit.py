"""The localization audit against loops over pixels."""

import csv
import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from masll import InputError, ModelConfig, build_model
from masll.audit import SCALES, AuditOptions
from masll.data import find_source, open_store
from masll.localization import activation_map, mask_to_box, resize, scale_boxes
from masll.localizer_audit import audit, best_constant_box, box_iou, on_grid
from tests.support import TINY_BACKBONE, assert_one_line_error, run_masll


@pytest.fixture(scope="module")
def split(isic_master, cache):
    return open_store(find_source(str(isic_master)), 64, cache=cache).split("validation")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_model(ModelConfig(backbone=TINY_BACKBONE, pretrained=False, image_size=64)).eval()


def reference(mask: np.ndarray, box: list[int]) -> tuple[float, float, float, float]:
    """IoU with the mask's rectangle, lesion inside, lesion share, area: counted pixel by pixel."""
    ys, xs = np.nonzero(mask)
    rectangle, inside = np.zeros_like(mask, bool), np.zeros_like(mask, bool)
    rectangle[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1] = True
    inside[box[1] : box[3], box[0] : box[2]] = True
    iou = (rectangle & inside).sum() / (rectangle | inside).sum()
    lesion = mask.astype(bool)
    held = (lesion & inside).sum()
    return iou, held / lesion.sum(), held / inside.sum(), inside.mean()


def test_every_row_is_what_counting_pixels_gives(model, split):
    rows = {row.box: row for row in audit(model, split, scales=[0.8, 1.3])}
    mean, std = (
        torch.tensor(values).view(3, 1, 1) for values in (model.inputs.mean, model.inputs.std)
    )
    boxes = {"whole frame": [], "centred half": [], "scale 0.8": [], "scale 1.3": []}
    for pixels in split.images.transpose(0, 2, 3, 1):
        image = (torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 255 - mean) / std
        with torch.inference_mode():
            grid = activation_map(model.global_branch(resize(image, 64)))[0].numpy()
        boxes["whole frame"].append([0, 0, 64, 64])
        boxes["centred half"].append([16, 16, 48, 48])
        for scale in (0.8, 1.3):
            ys, xs = np.nonzero(grid >= scale * grid.mean())
            cell = 64 // len(grid)
            boxes[f"scale {scale}"].append(
                [xs.min() * cell, ys.min() * cell, (xs.max() + 1) * cell, (ys.max() + 1) * cell]
                if len(xs)
                else [0, 0, 64, 64]
            )
    for name, placed in boxes.items():
        expected = np.mean([reference(m, b) for m, b in zip(split.masks, placed, strict=True)], 0)
        row = rows[name]
        got = (row.iou, row.lesion_inside, row.lesion_share, row.area)
        assert got == pytest.approx(expected, abs=1e-6), name


def test_no_constant_box_of_the_grid_beats_the_best_one():
    lesions = torch.tensor([[8, 8, 40, 40], [12, 8, 44, 36], [0, 20, 30, 60]])
    best = best_constant_box(lesions, 64)
    score = float(box_iou(best.expand(3, 4), lesions).mean())
    rng = np.random.default_rng(0)
    for _ in range(2000):
        x, y = np.sort(rng.choice(17, 2, replace=False)), np.sort(rng.choice(17, 2, replace=False))
        box = torch.tensor([x[0], y[0], x[1], y[1]]) * 4
        assert float(box_iou(box.expand(3, 4), lesions).mean()) <= score + 1e-12


def test_images_without_masks_are_refused(model, split):
    import dataclasses

    with pytest.raises(InputError, match="no lesion masks"):
        audit(model, dataclasses.replace(split, masks=None), SCALES)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_a_scale_that_means_nothing_is_refused(scale):
    with pytest.raises(InputError, match="--scales must be above 0"):
        AuditOptions(scales=(1.0, scale))


@pytest.mark.slow
def test_the_command_leaves_out_what_is_not_there_on_demand(isic_folder, cache, tmp_path):
    (isic_folder / "ISIC-2017_Validation_Data" / "ISIC_0000030.jpg").unlink()
    arguments = (
        "--data",
        isic_folder,
        "--backbone",
        TINY_BACKBONE,
        "--no-pretrained",
        "--image-size",
        32,
        "--scales",
        1,
    )
    refused = run_masll("masll.audit", *arguments, cache=cache)
    assert_one_line_error(refused, "ISIC_0000030", "--partial")
    taken = run_masll("masll.audit", *arguments, "--partial", cache=cache)
    assert taken.returncode == 0 and "11 validation images" in taken.stdout, taken.stderr
    (tmp_path / "file").write_text("")
    out = run_masll("masll.audit", *arguments, "--out", tmp_path / "file", cache=cache)
    assert_one_line_error(out, "--out", "is a file")


@pytest.mark.slow
def test_the_command_prints_and_writes_rows_and_a_figure(isic_master, cache, tmp_path):
    result = run_masll(
        "masll.audit",
        "--data",
        isic_master,
        "--backbone",
        TINY_BACKBONE,
        "--no-pretrained",
        "--image-size",
        64,
        "--scales",
        0.5,
        1,
        "--out",
        tmp_path / "audit",
        cache=cache,
    )
    assert result.returncode == 0, result.stderr
    rows = list(csv.DictReader((tmp_path / "audit" / "audit.csv").read_text().splitlines()))
    assert [row["box"] for row in rows] == [
        "whole frame",
        "centred half",
        "best constant",
        "darkness",
        "perfect map",
        "scale 0.5",
        "scale 1",
    ]
    assert (tmp_path / "audit" / "audit.png").read_bytes()[:4] == b"\x89PNG"


@given(st.integers(0, 10**6), st.integers(1, 9))
def test_the_ceiling_of_a_map_is_the_least_box_of_whole_cells_around_the_lesion(seed, cells):
    side = 63
    rng = np.random.default_rng(seed)
    x0, y0 = rng.integers(0, side - 1, 2)
    x1, y1 = (int(rng.integers(low + 1, side + 1)) for low in (x0, y0))
    lesion = torch.tensor([[x0, y0, x1, y1]])
    mask = torch.zeros(1, cells, cells, dtype=torch.bool)
    for row in range(cells):  # a perfect map: every cell that the lesion touches
        for column in range(cells):
            left, top = column * side / cells, row * side / cells
            right, bottom = (column + 1) * side / cells, (row + 1) * side / cells
            mask[0, row, column] = bool(left < x1 and right > x0 and top < y1 and bottom > y0)
    expected = scale_boxes(mask_to_box(mask), (cells, cells), side)
    assert torch.equal(on_grid(lesion, (cells, cells), side), expected)


def test_images_whose_mask_is_empty_are_left_out(isic_master, cache):
    split = open_store(find_source(str(isic_master)), 128, cache=cache).split("train")
    masks = np.array(split.masks)
    masks[3] = 0
    model = build_model(ModelConfig("gated-fusion", TINY_BACKBONE, False, image_size=64))
    rows = audit(model, dataclasses.replace(split, masks=masks), scales=[1.0])
    assert {row.images for row in rows} == {len(split) - 1}
    by_name = {row.box: row for row in rows}
    assert by_name["perfect map"].iou >= by_name["whole frame"].iou
    assert by_name["darkness"].iou > by_name["whole frame"].iou, "drawn lesions are dark"
