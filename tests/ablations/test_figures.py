"""Figures: drawn from the rows, with units and numbers on the axes; none of what is absent."""

import xml.etree.ElementTree
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from ablations import figures
from ablations.rows import Study, read_study
from ablations.tables import ablation_table
from masll.variants import VARIANTS

if TYPE_CHECKING:
    from conftest import StudyBuilder

PLAIN, GATED = ("baseline", "resnet18"), ("gated-fusion", "resnet18")


def read(build: "StudyBuilder") -> tuple[Study, pd.DataFrame]:
    study = read_study(build.path)
    return study, ablation_table(study)


def names(build: "StudyBuilder", tmp_path) -> set[str]:
    return {path.stem for path in figures.write_figures(*read(build), tmp_path)}


def test_each_figure_is_a_sharp_png_and_a_sound_svg(build, tmp_path):
    build.whole(seeds=2)
    written = figures.write_figures(*read(build), tmp_path)
    assert len(written) == 2 * len(figures.FIGURES)
    for path in written:
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert image.width > 700 and len(image.getcolors(2**20)) > 5
        else:
            xml.etree.ElementTree.parse(path)
    assert not [*tmp_path.glob(".*.png"), *tmp_path.glob(".*.svg")]


def test_axes_name_what_they_show_and_how_much(build):
    study, table = read(build.whole(seeds=2))
    for name, draw in figures.FIGURES.items():
        figure = draw(study, table)
        for axes in figure.axes:
            assert axes.get_xlabel(), name
        plt.close(figure)
    roc = figures.roc_curves(study, table)
    assert roc.axes[0].get_title() == "resnet18: 40 test images, 12 melanoma"
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


@pytest.mark.parametrize(
    ("arms", "change", "missing"),
    [
        ([PLAIN], None, {"boxes", "differences"}),
        ([PLAIN, GATED], {"score": 0.5}, set()),
        ([PLAIN, GATED], {"label": 1}, {"roc", "differences"}),
        ([GATED], {"score": float("nan")}, {"roc", "calibration", "differences"}),
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
                build.change("epochs", f"{arm[0]}-resnet18-{stage}",
                             lambda rows: rows.assign(box_area=np.nan))  # fmt: skip
    assert names(build, tmp_path) == set(figures.FIGURES) - missing


def test_a_study_that_has_only_begun_has_none_and_a_running_one_has_those_of_the_search(
    build, tmp_path
):
    build.spec()
    assert names(build, tmp_path) == set()
    build.search(GATED)
    assert names(build, tmp_path) == {"search", "budget", "boxes"}
