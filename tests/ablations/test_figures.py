"""Figures: drawn from the rows, with units and numbers on the axes; none of what is absent."""

import itertools
import xml.etree.ElementTree
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image
from sklearn.metrics import roc_auc_score

from ablations import figures
from ablations.disagreements import disagreements
from ablations.importance import EVALUATORS, parameter_importance
from ablations.rows import Study, read_study
from ablations.tables import ablation_table
from masll.data.synthetic_source import SyntheticSource
from masll.variants import VARIANTS, describe

if TYPE_CHECKING:
    from conftest import StudyBuilder

PLAIN, GATED = ("baseline", "resnet18"), ("gated-fusion", "resnet18")
# A study of few trials, without a spec of its space and data, cannot have the others.
DRAWN = set(figures.FIGURES) - {"importance", "cases", "subgroups"}


def read(build: "StudyBuilder") -> tuple[Study, pd.DataFrame]:
    study = read_study(build.path)
    return study, ablation_table(study)


def names(build: "StudyBuilder", tmp_path) -> set[str]:
    return {path.stem for path in figures.write_figures(*read(build), tmp_path)}


def test_each_figure_is_a_sharp_png_and_a_sound_svg(build, tmp_path):
    build.whole(seeds=2)
    written = figures.write_figures(*read(build), tmp_path)
    assert {path.stem for path in written} == DRAWN and len(written) == 2 * len(DRAWN)
    for path in written:
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert image.width > 700 and len(image.getcolors(2**20)) > 5
        else:
            xml.etree.ElementTree.parse(path)
    assert not [*tmp_path.glob(".*.png"), *tmp_path.glob(".*.svg")]


def test_each_figure_says_what_it_needs():
    assert set(figures.NEEDS) == set(figures.FIGURES)


def test_axes_name_what_they_show_and_how_much(build):
    study, table = read(build.whole(seeds=2))
    for name in DRAWN:
        figure = figures.draw(name, study, table)
        for axes in figure.axes:
            assert axes.get_xlabel(), name
    roc = figures.roc_curves(study, table)
    assert roc.axes[0].get_title() == "resnet18\n40 test images, 12 melanoma"
    legend = roc.axes[0].get_legend()
    assert legend.get_title().get_text() == "mean and range of 2 seeds"
    assert len(legend.get_texts()) == len(VARIANTS)


def test_a_mean_curve_has_the_mean_area_of_its_seeds(build):
    study, table = read(build.whole(seeds=3))
    (axes,) = figures.roc_curves(study, table).axes
    for line, variant in zip(axes.lines, VARIANTS, strict=False):
        rows = study.test_predictions
        of_arm = rows[rows["arm"] == f"{variant}/resnet18"]
        areas = [roc_auc_score(m["label"], m["score"]) for _, m in of_arm.groupby("seed")]
        drawn = np.trapezoid(line.get_ydata(), line.get_xdata())
        assert drawn == pytest.approx(np.mean(areas), abs=0.005)  # of a grid of 201 points


def test_the_forest_shows_the_differences_of_the_table(build):
    study, table = read(build.whole(seeds=2))
    (axes,) = figures.forest(study, table).axes
    drawn = [line.get_xdata()[0] for line in axes.lines if line.get_marker() not in ("None", None)]
    assert drawn == table["delta_auc"].dropna().tolist()[::-1]


def test_the_forest_has_the_margin_of_equivalence_as_a_band_with_a_name(build):
    study, table = read(build.whole(seeds=2))
    figure = figures.draw("differences", study, table, 0.07)
    (band,) = (each for each in figure.axes[0].patches if each.get_width() > 0)
    assert (band.get_x(), band.get_width()) == pytest.approx((-0.07, 0.14))
    (legend,) = figure.legends
    assert [each.get_text() for each in legend.get_texts()] == ["margin of equivalence, ±0.07"]


def test_no_p_of_the_forest_is_0(build):
    study, table = read(build.whole(arms=[PLAIN, GATED], seeds=2))
    figure = figures.forest(study, table.assign(p_holm=0.0001))
    assert figure.axes[0].texts[0].get_text() == "p Holm < 0.001"


def first_line(title: Text) -> Bbox:
    """Where it is; the name of a backbone leaves a second line to the titles of panels."""
    box = title.get_window_extent()
    return Bbox([[box.x0, box.y0 + box.height / 2], box.max]) if "\n" in title.get_text() else box


def apart(boxes: list[Bbox]) -> bool:
    return not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


@pytest.mark.parametrize(
    "arms",
    [
        [PLAIN, GATED],
        [(v, b) for b in ("mobilenetv3_small_100", "resnet18") for v in VARIANTS],
    ],
    ids=["two arms", "two backbones"],
)
def test_no_text_lies_on_another_and_no_mark_is_cut(build, arms):
    build.whole(arms=arms, seeds=2)
    for variant, backbone in arms:
        for number, rate in enumerate((1.5e-5, 5e-4)):  # under two decades, as in a small search
            name = f"{variant}-{backbone}-search-{number}"
            build.change("trials", name, lambda rows, rate=rate: rows.assign(lr=rate))
    study, table = read(build)
    for name in DRAWN:
        figure = figures.draw(name, study, table.assign(parameters=4e6))
        figure.canvas.draw()
        titles = [each for axes in figure.axes for each in (axes.title, axes._left_title)]
        assert apart([first_line(each) for each in titles if each.get_text()]), name
        for axes in figure.axes:
            for axis in (axes.xaxis, axes.yaxis):
                ticks = [each for each in axis.get_ticklabels() if each.get_text()]
                assert apart([each.get_window_extent() for each in ticks]), (name, axis)
            if name == "cost":
                frame = axes.get_window_extent()
                assert all(frame.containsx(line.get_window_extent().x0) for line in axes.lines)


@pytest.mark.parametrize(
    ("arms", "change", "missing"),
    [
        ([PLAIN], None, {"boxes", "differences"}),
        ([PLAIN, GATED], {"score": 0.5}, set()),
        ([PLAIN, GATED], {"label": 1}, {"roc", "differences", "decision", "cost"}),
        (
            [GATED],
            {"score": float("nan")},
            {"roc", "calibration", "differences", "decision", "cost"},
        ),
    ],
    ids=["no localizer", "constant scores", "one class", "no scores"],
)
def test_a_degenerate_study_has_the_figures_that_it_can_have(
    build, tmp_path, arms, change, missing
):
    build.whole(arms=arms, seeds=1)
    for arm in arms:
        if change:
            name = f"{arm[0]}-resnet18-confirm-1"
            build.change("predictions", name, lambda rows: rows.assign(**change))
        if arm != GATED:
            for stage in ("search-0", "search-1", "search-2", "confirm-1"):
                build.change(
                    "epochs",
                    f"{arm[0]}-resnet18-{stage}",
                    lambda rows: rows.assign(box_area=np.nan),
                )
    assert names(build, tmp_path) == DRAWN - missing


SPACE = [
    {
        "name": name,
        "type": "float",
        "low": low,
        "high": high,
        "log": log,
        "choices": [],
        "variants": [each for each in VARIANTS if name == "lr" or describe(each).localizes],
    }
    for name, low, high, log in (("lr", 1e-4, 1e-1, True), ("threshold_scale", 0.5, 2.0, False))
]


def test_importance_is_shown_by_two_named_evaluators_and_finds_what_matters(build):
    build.spec((GATED,), options={"seeds": 2, "space": SPACE})
    rng = np.random.default_rng(0)
    for number in range(30):
        rate, scale = 10 ** rng.uniform(-4, -1), rng.uniform(0.5, 2)
        build.trial(
            GATED,
            "search",
            number,
            "completed",
            lr=rate,
            threshold_scale=scale,
            val_auc=0.8 - 0.1 * abs(np.log10(rate) + 2),
        )
    study, _ = read(build)
    measured = parameter_importance(study)
    assert set(measured["evaluator"]) == set(EVALUATORS) and (measured["trials"] == 30).all()
    sums = measured.groupby("evaluator")["importance"].sum()
    assert np.allclose(sums, 1)
    by_fanova = measured[measured["evaluator"].str.startswith("fANOVA")].set_index("parameter")
    assert by_fanova.loc["lr", "importance"] > 0.9
    titles = [axes.get_title() for axes in figures.importance(study).axes]
    assert titles == list(EVALUATORS)


def test_cases_are_those_where_the_two_disagree_and_are_drawn_where_the_images_are(build, tmp_path):
    options = {
        "seeds": 1,
        "space": SPACE,
        "data": "synthetic",
        "image_size": 16,
        "source_size": None,
        "fit": "squash",
    }
    build.spec((PLAIN, GATED), options=options)
    ids = [r.image_id for r in SyntheticSource().records if r.split == "test"][: build.images]
    for arm in (PLAIN, GATED):
        name = build.confirm(arm, 1)
        build.change(
            "predictions",
            name,
            lambda rows: rows.assign(
                image_id=[ids[int(i.split("-")[1])] for i in rows["image_id"]]
            ),
        )
    study, table = read(build)
    found = disagreements(study, "resnet18").set_index("image_id")
    test = study.test_predictions.pivot(index="image_id", columns="arm", values="score")
    label = study.test_predictions.drop_duplicates("image_id").set_index("image_id")["label"]
    right = (test >= 0.5).eq(label == 1, axis=0)
    gated, plain = right["gated-fusion/resnet18"], right["baseline/resnet18"]
    assert set(found.index) == set(label.index[gated != plain]) and len(found)
    assert (found["kind"] == "corrected").equals(gated[found.index])
    figure = figures.draw("cases", study, table)
    assert figure is not None and sum(bool(axes.images) for axes in figure.axes) >= 1
    kinds = found["kind"].nunique()
    assert len(figure.axes) == 4 * kinds, "without a model there is no row for its maps"
    title = next(axes.title for axes in figure.axes if axes.images)
    assert not title.get_parse_math(), "an image may be named a$b$c"
    build.spec((PLAIN, GATED), options=options | {"data": str(tmp_path / "gone")})
    assert figures.draw("cases", *read(build)) is None


def test_a_study_that_has_only_begun_has_none_and_a_running_one_has_those_of_the_search(
    build, tmp_path
):
    build.spec()
    assert names(build, tmp_path) == set()
    build.search(GATED)
    assert names(build, tmp_path) == {"search", "budget", "boxes"}
