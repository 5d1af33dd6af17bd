"""The verdict as a picture says what the report in brief says, and does so each time alike."""

import xml.etree.ElementTree
from typing import TYPE_CHECKING

import pytest

from ablations.brief import brief
from ablations.figures import write_figure
from ablations.rows import read_study
from ablations.tables import ablation_table
from ablations.verdict_figure import verdict_figure
from masll.common.storage import any_path

if TYPE_CHECKING:
    from conftest import StudyBuilder

BASELINE, GATED = ("baseline", "resnet18"), ("gated-fusion", "resnet18")


def words(svg: str) -> list[str]:
    """The text of a picture, piece by piece."""
    return [
        "".join(node.itertext()).strip()
        for node in xml.etree.ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    ]


def drawn(build: "StudyBuilder", folder, margin: float = 0.01) -> str:
    study = read_study(build.path)
    figure = verdict_figure(study, ablation_table(study, margin), margin)
    written = write_figure(figure, any_path(folder), "verdict")
    return next(path for path in written if path.name == "verdict.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize("margin", [0.01, 0.9])
def test_the_picture_has_each_line_of_the_report_in_brief(build, tmp_path, margin):
    study = read_study(build.whole(seeds=3).path)
    said = brief(study, ablation_table(study, margin), margin)
    shown = words(drawn(build, tmp_path, margin))
    for line in said.headline:
        assert line in " ".join(shown)
    for row in said.questions:
        assert all(cell in shown for cell in row.values()), row
    for row in said.arms:
        assert row["arm"].partition("/")[0] in shown and row["AUC"] in shown


def test_the_same_rows_give_the_same_picture_byte_by_byte(build, tmp_path):
    build.whole(arms=(BASELINE, GATED), seeds=2)
    assert drawn(build, tmp_path) == drawn(build, tmp_path)


def test_a_study_with_nothing_to_compare_has_no_picture(build):
    study = read_study(build.whole(arms=(GATED,), seeds=1).path)
    assert verdict_figure(study, ablation_table(study)) is None
