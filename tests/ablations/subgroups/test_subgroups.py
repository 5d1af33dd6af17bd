"""`report --by`: what it writes and says, of studies on disk."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ablations.figures import draw, write_figures
from ablations.report import main
from ablations.rows import read_study
from ablations.statistics import auc_difference, mean_auc
from ablations.statistics.planning import Assumptions
from ablations.subgroups.figures import subgroups
from ablations.subgroups.gaps import gaps
from ablations.subgroups.planning import planned_gaps
from ablations.subgroups.words import subgroup_lines, subgroup_report
from ablations.tables import ablation_table
from ablations.verdict import verdict
from masll.common.errors import InputError
from masll.common.storage import any_path
from masll.metrics import binary_metrics
from tuning.study.folder import StudyFolder
from tuning.study.metadata import KnownImage, write_metadata

if TYPE_CHECKING:
    from conftest import StudyBuilder

PLAIN, GATED = ("baseline", "resnet18"), ("gated-fusion", "resnet18")
ARM = "baseline/resnet18"
SEEDS = (1, 2, 3)
BY = ("sex", "age:50", "site")
IMAGES, MELANOMA = 240, 80


_OF_ALL = {"type": "float", "variants": ["baseline", "gated-fusion"]}
_OF_ONE = {"type": "float", "variants": ["gated-fusion"]}
SPACE = [
    _OF_ALL | {"name": "lr", "low": 1e-4, "high": 0.1, "log": True},
    _OF_ONE | {"name": "threshold_scale", "low": 0.5, "high": 2.0},
]


def known(number: int) -> dict[str, str]:
    """What is known of an image: every second is of a woman, of every twelfth that is not known."""
    sex = "" if number % 12 == 5 else ("female", "male")[number % 2]
    return {"sex": sex, "age": str(30 + number % 40), "site": "back" if number % 40 else "palm"}


@pytest.fixture
def study(build: "StudyBuilder") -> Path:
    """Two arms on 240 test images; the baseline knows nothing of men."""
    build.images, build.positives = IMAGES, MELANOMA
    build.whole(arms=(PLAIN, GATED), seeds=len(SEEDS))
    counts = {"images": {"test": IMAGES}, "melanoma": {"test": MELANOMA}}
    build.spec((PLAIN, GATED), len(SEEDS), data=counts)
    rng = np.random.default_rng(0)

    def of_men_nothing(rows: pd.DataFrame) -> pd.DataFrame:
        men = rows["image_id"].str[-4:].astype(int) % 2 == 1
        return rows.assign(score=rows["score"].where(~men, rng.uniform(0, 1, len(rows))))

    for seed in SEEDS:
        build.change("predictions", f"baseline-resnet18-confirm-{seed}", of_men_nothing)
    images = [KnownImage(f"test-{i:04d}", "test", known(i)) for i in range(IMAGES)]
    write_metadata(StudyFolder(any_path(build.path)), images)
    return build.path


def figures_of(study: Path, *by: str) -> pd.DataFrame:
    return subgroups(read_study(study, by=by)).set_index(["by", "group", "arm"])


def test_figures_of_a_group_are_those_of_its_images_alone(study):
    table = figures_of(study, *BY)
    rows = pd.concat(pd.read_parquet(file) for file in (study / "predictions").glob("*confirm*"))
    number = rows["image_id"].str[-4:].astype(int)
    women = rows[(rows["split"] == "test") & (number % 2 == 0) & (number % 12 != 5)]
    scores = {
        arm: of_arm.pivot(index="seed", columns="image_id", values="score").to_numpy()
        for arm, of_arm in women.groupby("arm")
    }
    labels = women[women["arm"] == ARM].drop_duplicates("image_id").sort_values("image_id")["label"]
    row = table.loc[("sex", "female", ARM)]
    assert (row["images"], row["melanoma"]) == (len(labels), labels.sum())
    each = [binary_metrics(labels, seed) for seed in scores[ARM]]
    for figure in ("auc", "acc", "sen", "spe", "sen_at_spe_95"):
        values = [of_seed[figure] for of_seed in each]
        assert row[figure] == pytest.approx(np.mean(values))
        assert row[f"{figure}_sd"] == pytest.approx(np.std(values, ddof=1))
        assert row[f"{figure}_low"] <= row[figure] <= row[f"{figure}_high"]
    area = mean_auc(labels, scores[ARM])
    assert (row["auc_low"], row["auc_high"]) == pytest.approx((area.low, area.high))
    minus = auc_difference(labels, scores[ARM], scores["gated-fusion/resnet18"])
    assert row["delta_auc"] == pytest.approx(minus.value)


def test_each_grouping_has_every_image_once_and_what_is_not_known_is_a_group(study):
    table = figures_of(study, *BY).xs(ARM, level="arm")
    assert table.groupby("by")["images"].sum().to_dict() == dict.fromkeys(BY, IMAGES)
    assert list(table.loc["sex"].index) == ["female", "male", "unknown"]
    assert list(table.loc["age:50"].index) == ["under 50", "50 and over"]


def test_a_group_that_is_too_small_has_its_counts_and_no_figures(study):
    palm = figures_of(study, "site").loc[("site", "palm", ARM)]
    assert (palm["images"], palm["melanoma"], palm["judged"]) == (6, 2, False)
    assert palm.drop(["images", "melanoma", "judged", "seeds"]).isna().all()
    (line,) = subgroup_lines(read_study(study, by=["site"]))
    assert line.startswith("By site: nothing is compared, as fewer than two groups")
    said = subgroup_report(read_study(study, by=["site"]))
    assert "palm (6 images, 2 melanoma, too few to judge)" in said


def test_what_an_arm_does_not_know_of_men_is_found_and_nothing_else(study):
    asked = read_study(study, by=["sex", "age:50"])
    table = gaps(asked).set_index("by")
    assert (table.loc["sex", "group"], table.loc["sex", "minus"]) == ("female", "male")
    assert table.loc["sex", "p_holm"] < 0.05 and table.loc["sex", "gap_low"] > 0.1
    assert table.loc["age:50", "p_holm"] > 0.05
    by_sex, by_age = subgroup_lines(asked)
    assert by_sex.startswith(
        "By sex, female against male: baseline/resnet18 minus gated-fusion/resnet18 differs, "
    )
    assert by_age.startswith("By age:50: no difference between arms is told apart between groups")
    said = verdict(asked, ablation_table(asked))
    assert by_sex in said and by_age in said
    alone = read_study(study)
    assert not [each for each in verdict(alone, ablation_table(alone)) if each.startswith("By ")]
    assert subgroup_report(alone) == "Subgroups were not examined."


def test_the_report_writes_tables_a_document_and_tripod_s_text(study, capsys):
    assert main([str(study), "--by", *BY, "--format", "md", "csv", "tex"]) == 0
    report = study / "report"
    written = {path.name for path in report.iterdir()}
    assert {f"subgroups.{kind}" for kind in ("csv", "md", "tex")} <= written
    assert {"gaps.csv", "gaps.tex"} <= written
    document = (report / "subgroups.md").read_text(encoding="utf-8")
    assert "| sex: male |" in document
    assert "| site: palm | 6 | 2 | fewer than 10 of a class |" in document
    assert "## By subgroup" in (report / "ablation.md").read_text(encoding="utf-8")
    said = (report / "tripod.md").read_text(encoding="utf-8")
    assert "Subgroups of the test images: by sex, female (" in said
    assert "By sex, female against male" in " ".join(capsys.readouterr().out.split())


def test_the_figure_has_a_panel_an_arm_and_a_line_a_group_that_is_judged(study):
    asked = read_study(study, by=BY)
    figure = draw("subgroups", asked, ablation_table(asked), 0.07)
    (panel,) = figure.axes
    assert panel.get_title() == "baseline/resnet18\nminus gated-fusion/resnet18"
    names = [label.get_text().partition(" (")[0] for label in panel.get_yticklabels()]
    assert names == [
        *("all test images", "sex: female", "sex: male"),
        *("age:50: under 50", "age:50: 50 and over", "site: back"),
    ]
    (band,) = (each for each in panel.patches if each.get_width() > 0)
    assert (band.get_x(), band.get_width()) == pytest.approx((-0.07, 0.14))
    assert "band: margin of equivalence, ±0.07" in figure.get_supxlabel()
    (found,) = panel.texts
    assert found.get_text().startswith("p 0.0") and found.xy[1] == names.index("sex: female")
    written = write_figures(asked, ablation_table(asked), any_path(study), ["subgroups"])
    assert [path.name for path in written] == ["subgroups.png", "subgroups.svg"]
    alone = read_study(study)
    assert draw("subgroups", alone, ablation_table(alone)) is None


@pytest.mark.parametrize(
    ("by", "message"),
    [
        (["sx"], "unknown column of --by 'sx' (did you mean 'sex'?); one of: sex, age, site"),
        (["sex:50"], "sex of image test-0000 must be a number, got 'female'"),
        (["age"], "40 groups of test images are too many; cut a column of numbers as in age:50"),
        (["image_id"], "unknown column of --by 'image_id'"),
    ],
)
def test_what_cannot_be_divided_is_said_before_anything_is_written(study, by, message):
    with pytest.raises(InputError) as error:
        main([str(study), "--by", *by])
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not (study / "report").exists()


def test_a_study_without_metadata_says_so_in_one_line(study):
    (study / "metadata.parquet").unlink()
    with pytest.raises(InputError, match=r"has no metadata of its images, .* leave --by out"):
        main([str(study), "--by", "sex"])


def test_a_study_of_before_is_divided_by_what_its_images_say_now(study, tmp_path):
    before = figures_of(study, "sex")
    (study / "metadata.parquet").unlink()
    rows = ["image,label,split,sex"]
    for i in range(IMAGES):
        Image.new("L", (1, 1)).save(tmp_path / f"test-{i:04d}", "png")
        rows.append(f"test-{i:04d},{int(i < MELANOMA)},test,{known(i)['sex']}")
    table = tmp_path / "images.csv"
    table.write_text("\n".join(rows))
    spec = json.loads((study / "spec.json").read_text())
    spec["options"] |= {"data": str(table), "space": SPACE}
    (study / "spec.json").write_text(json.dumps(spec))
    pd.testing.assert_frame_equal(figures_of(study, "sex"), before)
    table.write_text("\n".join(rows).replace("test-0000,1", "test-0000,0"))
    with pytest.raises(InputError, match="has no metadata"):  # they are other images
        figures_of(study, "sex")


def test_before_the_test_set_is_opened_the_plan_says_which_gaps_will_be_seen(study):
    for kind in ("trials", "epochs", "predictions"):
        for path in (study / kind).glob("*confirm*"):
            path.unlink()
    asked = read_study(study, by=["sex", "age:50"])
    table = planned_gaps(asked, Assumptions(), 0.02)
    assert list(table["question"]) == [
        "sex: female minus male",
        "age:50: under 50 minus 50 and over",
    ]
    assert table["seen"].between(0.05, 0.3).all()
    assert subgroups(asked).empty and gaps(asked).empty
    assert main([str(study), "--by", "sex", "age:50", "--format", "csv"]) == 0
    planning = pd.read_csv(study / "report/planning.csv").set_index("question")
    assert planning.loc["sex: female minus male", "seen"] > planning["seen"].iloc[0]


def test_several_studies_are_not_divided(study):
    again = shutil.copytree(study, study.with_name("again"))
    with pytest.raises(InputError, match="--by belongs to the report of one study"):
        main([str(study), str(again), "--by", "sex"])
