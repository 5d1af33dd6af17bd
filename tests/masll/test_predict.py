"""Prediction on whatever image files people have, as a command."""

import csv
import dataclasses
import io
import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from masll import ModelConfig, build_model, load_model
from masll.common.errors import InputError
from masll.data.listing import image_files
from masll.data.reading import read_rgb
from masll.data.synthetic import synthesize
from masll.data.turns import turned
from masll.ensemble import ask
from masll.metrics import threshold_at
from masll.model import save_model
from masll.pictures import as_input, draw_view
from masll.predict import _formatted, main
from masll.prediction import figure_paths, predict_files
from masll.results import Predictions
from masll.thresholds import save_validation, threshold_of
from tests.support import TINY_BACKBONE, assert_one_line_error, run_masll


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    torch.manual_seed(0)
    model = build_model(ModelConfig(backbone=TINY_BACKBONE, pretrained=False, image_size=32))
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model(model, folder)
    return folder


@pytest.fixture
def lesion() -> Image.Image:
    return Image.fromarray(synthesize(3, 96).image)


def test_an_exif_rotated_image_is_seen_upright(tmp_path, lesion):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise for display
    lesion.save(tmp_path / "turned.png", exif=exif)
    upright = lesion.transpose(Image.Transpose.ROTATE_270)
    assert np.array_equal(np.asarray(read_rgb(tmp_path / "turned.png")), np.asarray(upright))


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P", "1"])
def test_any_mode_becomes_rgb(tmp_path, lesion, mode):
    path = tmp_path / ("image.tif" if mode == "CMYK" else "image.png")
    lesion.convert(mode).save(path)
    read = read_rgb(path)
    assert read.mode == "RGB" and read.size == lesion.size


def test_sixteen_bits_keep_their_relative_brightness(tmp_path, lesion):
    grey = np.asarray(lesion.convert("L"))
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    read = np.asarray(read_rgb(tmp_path / "deep.png"))[..., 0]
    assert np.abs(read.astype(int) - grey).max() <= 1


def test_pixels_reach_the_model_squashed_and_normalised(model_folder, lesion):
    model = load_model(model_folder)
    assert model.inputs.source_size == 64
    wide = lesion.resize((120, 60))
    batch = as_input([wide, lesion], model.inputs)
    assert batch.shape == (2, 3, 64, 64)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (model.inputs.mean, model.inputs.std))
    back = batch[0] * std + mean
    squashed = np.asarray(wide.resize((64, 64), Image.Resampling.BICUBIC)) / 255
    np.testing.assert_allclose(back.permute(1, 2, 0).numpy(), squashed, atol=1e-5)


@pytest.mark.slow
def test_the_command_predicts_what_it_can_and_names_the_rest(tmp_path, model_folder, lesion):
    good = ["plain.jpg", "grey.png", "rgba.png", "cmyk.jpg", "tiny.png", "wide.jpg"]
    lesion.save(tmp_path / "plain.jpg")
    lesion.convert("L").save(tmp_path / "grey.png")
    lesion.convert("RGBA").save(tmp_path / "rgba.png")
    lesion.convert("CMYK").save(tmp_path / "cmyk.jpg")
    lesion.resize((1, 1)).save(tmp_path / "tiny.png")
    lesion.resize((900, 30)).save(tmp_path / "wide.jpg")
    content = (tmp_path / "plain.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.jpg").write_text("not an image")
    (tmp_path / "empty.jpg").write_bytes(b"")
    bad = ["cut.jpg", "text.jpg", "empty.jpg", "absent.jpg"]
    files = [tmp_path / name for name in [*bad[:2], *good, *bad[2:]]]

    result = run_masll(
        "masll.predict",
        "--model",
        model_folder,
        "--format",
        "csv",
        "--figure",
        tmp_path / "figures",
        *files,
        cache=tmp_path,
    )
    assert result.returncode == 1
    errors = result.stderr.splitlines()
    assert len(errors) == len(bad)
    for name in bad:
        assert sum(str(tmp_path / name) in line for line in errors) == 1
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["image"] for row in rows] == [str(tmp_path / name) for name in good]
    for row in rows:
        assert 0 <= float(row["probability"]) <= 1
        assert 0 <= float(row["x0"]) < float(row["x1"]) <= 1
        assert 0 <= float(row["y0"]) < float(row["y1"]) <= 1
    for name in good:
        with Image.open(tmp_path / "figures" / f"{name.split('.')[0]}-view.png") as figure:
            assert figure.width == 4 * 256

    alone = run_masll(
        "masll.predict", "--model", model_folder, "--format", "json", files[2], cache=tmp_path
    )
    assert alone.returncode == 0
    (row,) = json.loads(alone.stdout)
    assert row["probability"] == pytest.approx(float(rows[0]["probability"]), abs=1e-5)


def test_each_image_has_a_figure_of_its_own_and_none_is_drawn_over_an_image(
    tmp_path, model_folder, lesion
):
    files = [tmp_path / "a.png", tmp_path / "a.jpg", tmp_path / "other" / "a.png"]
    files[2].parent.mkdir()
    for number, path in enumerate(files):
        lesion.rotate(90 * number).save(path)
    before = [path.read_bytes() for path in files]
    figures = figure_paths([*files, files[0]], tmp_path)
    rows = predict_files(load_model(model_folder), files, figures)
    assert [row["image"] for row in rows] == [str(path) for path in files]
    assert [path.read_bytes() for path in files] == before
    assert len({figures[path].read_bytes() for path in files}) == 3


def test_no_figure_takes_the_name_of_an_image_or_of_another_figure(tmp_path):
    (tmp_path / "sub").mkdir()
    names = ["lesion.png", "lesion-view.png", "sub/../lesion-view-2.png", "sub/lesion.png"]
    images = [tmp_path / name for name in names]
    (tmp_path / "linked").symlink_to(tmp_path)
    placed = figure_paths(images, tmp_path / "linked")
    assert list(placed) == images
    figures = [figure.resolve() for figure in placed.values()]
    assert len({*figures, *(image.resolve() for image in images)}) == 2 * len(images)
    again = figure_paths([tmp_path / "a.png", tmp_path / "sub" / "a.png"], tmp_path)
    assert [figure.name for figure in again.values()] == ["a-view.png", "a-view-2.png"]


@pytest.mark.slow
def test_a_folder_without_a_model_is_one_line(tmp_path):
    result = run_masll("masll.predict", "--model", tmp_path, "x.jpg", cache=tmp_path)
    assert_one_line_error(result, str(tmp_path), "holds no readable model")


@pytest.fixture(scope="module")
def second_folder(model_folder):
    """A model that wants other images: padded, and of another size."""
    torch.manual_seed(1)
    config = ModelConfig("baseline", TINY_BACKBONE, pretrained=False, image_size=48)
    model = build_model(config)
    model.inputs = dataclasses.replace(model.inputs, source_size=80, fit="pad")
    folder = model_folder.parent / "second"
    save_model(model.eval(), folder)
    return folder


@given(st.integers(0, 7), st.integers(0, 20))
@settings(max_examples=10)
def test_eight_ways_of_looking_give_the_same_whichever_way_the_image_lies(model, turn, index):
    pixels = torch.from_numpy(synthesize(index, 64).image.transpose(2, 0, 1).copy())
    laid = turned(pixels, turn).numpy().transpose(1, 2, 0)
    images = [Image.fromarray(each) for each in (pixels.numpy().transpose(1, 2, 0), laid)]
    first, second = ask([model], images, tta=True)
    assert first.probability == pytest.approx(second.probability, abs=1e-5)


@pytest.fixture(scope="module")
def model(model_folder):
    return load_model(model_folder)


def test_eight_ways_of_looking_are_the_mean_over_them_with_the_box_of_the_first(model, lesion):
    pixels = np.asarray(lesion)
    views = [np.rot90(each, k) for each in (pixels, pixels[:, ::-1]) for k in range(4)]
    alone = ask([model], [Image.fromarray(np.ascontiguousarray(view)) for view in views])
    (together,) = ask([model], [lesion], tta=True)
    mean = np.mean([answer.probability for answer in alone])
    assert together.probability == pytest.approx(mean, abs=1e-5)
    assert together.box == pytest.approx(alone[0].box)


def test_several_models_give_the_mean_of_their_probabilities_and_no_box(
    model, second_folder, lesion
):
    models = [model, load_model(second_folder)]
    images = [lesion, lesion.resize((120, 60))]
    alone = np.array([[answer.probability for answer in ask([m], images)] for m in models])
    together = ask(models, images)
    np.testing.assert_allclose([a.probability for a in together], alone.mean(axis=0), atol=1e-12)
    assert all(answer.box is None for answer in together)


def test_folders_and_tables_stand_for_their_images(tmp_path, lesion):
    folder = tmp_path / "clinic"
    folder.mkdir()
    for name in ("b.png", "a.JPG", "notes.txt"):
        lesion.save(folder / name, "PNG")
    (tmp_path / "more.csv").write_text("image,age\nclinic/b.png,40\nabsent.png,50\n")
    named = [tmp_path / "more.csv", folder, folder / "notes.txt"]
    relative = [str(path.relative_to(tmp_path)) for path in image_files(named)]
    in_order = ["clinic/b.png", "absent.png", "clinic/a.JPG", "clinic/b.png", "clinic/notes.txt"]
    assert relative == in_order
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty holds no image files"):
        image_files([tmp_path / "empty"])


def test_a_threshold_is_the_one_that_kept_a_specificity_on_the_models_own_validation_images(
    tmp_path, model_folder, lesion, capsys
):
    folders = [shutil.copytree(model_folder, tmp_path / name) for name in ("one", "two")]
    lesion.save(tmp_path / "lesion.png")
    images = [str(tmp_path / "lesion.png")]
    labels = np.array([0] * 10 + [1] * 10)
    rng = np.random.default_rng(0)
    scores = rng.uniform(0, 1, (2, 20))
    ids = tuple(map(str, range(20)))
    for folder, row in zip(folders, scores, strict=True):
        save_validation(Predictions("validation", ids, labels, row, None), folder)
    one, two = map(str, folders)
    assert threshold_of([one], 0.8) == threshold_at(labels, scores[0], 0.8)
    assert threshold_of([one, two], 0.8) == threshold_at(labels, scores.mean(axis=0), 0.8)

    asked = ["--model", one, "--model", two, "--format", "csv"]
    assert main([*asked, "--threshold", "spe-80", *images]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    reached = float(row["probability"]) >= threshold_of([one, two], 0.8)
    assert row["called"] == str(int(reached)) and row["x0"] == ""
    for threshold, called in (("0", "1"), ("1", "0")):
        assert main([*asked, "--threshold", threshold, *images]) == 0
        (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
        assert row["called"] == called


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--threshold", "spe-90"], "has no validation.csv, as models of earlier versions"),
        (["--threshold", "spe-90", "--tta"], "is of predictions without --tta"),
        (["--threshold", "1.5"], "must be a probability from 0 to 1, or spe-1 to spe-99, got"),
        (["--batch-size", "0"], "--batch-size must be from 1 to"),
        (["--model", "MODEL"], "names a folder twice"),
        (["--model", "SECOND", "--figure", "drawn"], "--figure shows what one model looked at"),
    ],
)
def test_what_cannot_be_predicted_is_one_line(model_folder, second_folder, words, message):
    places = {"MODEL": str(model_folder), "SECOND": str(second_folder)}
    words = [places.get(word, word) for word in words]
    with pytest.raises(InputError, match=message):
        main(["--model", str(model_folder), *words, "x.jpg"])


def test_the_columns_of_a_table_have_headings():
    row = {"image": "a b.jpg", "probability": 0.25, "x0": 0.1, "y0": 0.2, "x1": 0.9, "y1": 1.0}
    assert _formatted([row], "table", decided=False).splitlines() == [
        "melanoma     x0     y0     x1     y1  image",
        "   0.250  0.100  0.200  0.900  1.000  a b.jpg",
    ]
    plain = row | dict.fromkeys(("x0", "y0", "x1", "y1"))
    assert _formatted([plain], "table", decided=False) == "melanoma  image\n   0.250  a b.jpg\n"
    assert _formatted([], "table", decided=False) == ""


def test_the_lesion_is_seen_through_map_and_mask(lesion):
    """No pixel of it is painted over: light and dark ones can still be told apart."""
    activation = np.zeros((8, 8), dtype=np.float32)
    activation[2:6, 2:6] = 1.0
    view = draw_view(lesion, 0.5, (0.25, 0.25, 0.75, 0.75), activation, 1.0)
    panels = [
        np.asarray(view.crop((256 * k, view.height - 256, 256 * (k + 1), view.height)).convert("L"))
        for k in range(3)
    ]
    inside = slice(70, 186)
    seen, tinted, spotlit = (panel[inside, inside].astype(float) for panel in panels)
    assert np.corrcoef(seen.ravel(), tinted.ravel())[0, 1] > 0.9
    assert np.array_equal(seen, spotlit), "the mask leaves what lies in it as it is"
    assert panels[2][:60].mean() < 0.5 * panels[0][:60].mean(), "and darkens all else"


@pytest.mark.parametrize(("box", "panels"), [("sll", 4), ("centre", 3), ("darkness", 3)])
def test_a_figure_shows_no_mask_where_the_box_is_not_of_it(tmp_path, lesion, box, panels):
    lesion.save(tmp_path / "lesion.png")
    config = ModelConfig(backbone=TINY_BACKBONE, pretrained=False, image_size=32, box=box)
    figure = tmp_path / "view.png"
    model = build_model(config).eval()
    predict_files(model, [tmp_path / "lesion.png"], {tmp_path / "lesion.png": figure})
    with Image.open(figure) as view:
        assert view.width == panels * 256
