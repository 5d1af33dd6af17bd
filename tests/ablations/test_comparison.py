"""Several studies side by side: of the same data, and of no other."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from ablations.checklists.tripod import tripod
from ablations.comparison import between_studies, compare, comparison_cells, note
from ablations.differences import test_scores
from ablations.documents import write_comparison
from ablations.report import main
from ablations.rows import read_study
from ablations.statistics import auc_difference
from ablations.tables import ablation_table
from masll.common.errors import InputError

test_scores.__test__ = False  # not a test, whatever its name
PLAIN, GATED = ("baseline", "resnet18"), ("gated-fusion", "resnet18")


@pytest.fixture
def two(build):
    """Studies `study` and `other` of the same data; the other lacks the baseline."""
    other = replace(build, path=build.path.with_name("other"))
    build.whole(arms=(PLAIN, GATED))
    other.whole(arms=(GATED,), seeds=3)
    for each, arms, seeds in ((build, (PLAIN, GATED), 2), (other, (GATED,), 3)):
        each.spec(arms, seeds, data={"fingerprint": "a" * 64})
    return build, other


def test_arms_stand_below_each_other_with_the_figures_of_their_own_report(two):
    studies = [read_study(each.path) for each in two]
    table = compare(studies)
    for study, name in zip(studies, ("study", "other"), strict=True):
        of_it = table[table["study"] == name].drop(columns="study").reset_index(drop=True)
        pd.testing.assert_frame_equal(of_it, ablation_table(study))
    cells = comparison_cells(table)
    assert [(row["arm"], row["study"]) for row in cells] == [
        ("baseline/resnet18", "study"),
        ("gated-fusion/resnet18", "study"),
        ("gated-fusion/resnet18", "other"),
    ]


def test_the_command_prints_them_and_writes_where_it_is_told(two, tmp_path, capsys):
    paths = [str(each.path) for each in two]
    assert main(paths) == 0
    printed = capsys.readouterr().out
    assert printed.count("other") >= 2 and "All studies saw the same images" in printed
    assert "wrote" not in printed and not (two[0].path / "report").exists()
    out = tmp_path / "deep/compared"
    assert main([*paths, "--out", str(out), "--margin", "0.3"]) == 0
    assert f"wrote to {out}: comparison.md, comparison.csv" in capsys.readouterr().out
    written = pd.read_csv(out / "comparison.csv")
    assert list(written["seeds"]) == [2, 2, 3]
    own = ablation_table(read_study(paths[0]), margin=0.3)["equivalence_p"].dropna()
    assert written["equivalence_p"].dropna().tolist() == pytest.approx(own.tolist())
    text = (out / "comparison.md").read_text(encoding="utf-8")
    assert all(f"- {path}" in text for path in paths) and text.count("| gated-fusion/") == 3
    assert (out / "comparison.tex").read_text(encoding="utf-8").count(r"\\") == 4


def test_an_arm_of_both_is_tested_on_the_same_images_for_other_seeds(two):
    studies = [read_study(each.path) for each in two]
    table = between_studies(studies)
    assert table["arm"].tolist() == ["gated-fusion/resnet18"]
    row = table.iloc[0]
    assert (row["study"], row["minus"], row["seeds"], row["minus_seeds"]) == (
        *("other", "study"),
        *(3, 2),
    )
    (labels, first), (_, second) = (test_scores(study) for study in studies)
    arm = "gated-fusion/resnet18"
    expected = auc_difference(labels, second[arm], first[arm])
    assert (row["delta_auc"], row["p_value"]) == pytest.approx((expected.value, expected.p_value))
    assert row["p_holm"] == row["p_value"]


def test_studies_in_folders_of_one_name_are_told_apart_by_their_paths(two):
    moved = two[1].path.with_name("elsewhere") / "study"
    moved.parent.mkdir()
    two[1].path.rename(moved)
    table = compare([read_study(two[0].path), read_study(moved)])
    assert set(table["study"]) == {str(two[0].path), str(moved)}


def test_images_that_one_study_left_out_are_told(two):
    build, other = two
    left_out = {"train-0001": ["test-0001"], "train-0002": ["test-0001"]}
    other.spec((GATED,), 3, data={"fingerprint": "a" * 64, "left_out": left_out})
    studies = [read_study(build.path), read_study(other.path)]
    assert note(studies).startswith(
        "All studies saw the same images in the same splits, but "
        f"{other.path} without 2 that show a lesion of a later split."
    )
    told = [tripod(study, ablation_table(study)).as_document() for study in studies]
    assert ["not trained on" in text for text in told] == [False, True]


def test_other_data_is_refused_in_one_line(two, tmp_path):
    build, other = two
    other.spec((GATED,), 3, data={"fingerprint": "b" * 64})
    studies = [read_study(build.path), read_study(other.path)]
    with pytest.raises(InputError, match=r"other has other data than .*bbbbbbbbbbbb, not aaaaaaa"):
        compare(studies)
    with pytest.raises(InputError, match="side by side") as caught:
        write_comparison(studies, tmp_path / "out")
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()
    spec = json.loads((other.path / "spec.json").read_text())
    del spec["data"]
    (other.path / "spec.json").write_text(json.dumps(spec))
    with pytest.raises(InputError, match=r"other/spec.json names no fingerprint"):
        compare([studies[0], read_study(other.path)])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--prevalence", "0.1"], "--prevalence belongs to the report of one study"),
        (["--format", "csv"], "--format needs --out DIR"),
        (["--format", "html", "--out", "x"], "unknown format of a comparison 'html'"),
    ],
)
def test_what_a_comparison_has_not_got_is_refused(two, more, message):
    with pytest.raises(InputError, match=message):
        main([str(each.path) for each in two] + more)
