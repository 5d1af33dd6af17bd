"""The last screen: which part helped, a line a question, on terminals of 80 and 120 columns."""

import math
import re
from typing import TYPE_CHECKING

import pytest

from ablations.brief import Brief, brief
from ablations.effects import Finding, Outcome, decide, effects
from ablations.rows import Study, read_study
from ablations.tables import ablation_table
from masll.variants import VARIANTS
from tests.support import ROOT
from tests.terminals import screen

if TYPE_CHECKING:
    from conftest import StudyBuilder

GOLDEN = ROOT / "tests/golden/finished"
WORD = re.compile(r"[A-Za-z][\w@-]+")


def of(study: Study) -> Brief:
    return brief(study, ablation_table(study))


@pytest.fixture(scope="module")
def golden() -> Study:
    return read_study(GOLDEN, search_predictions=False)


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("backbones", [["efficientnet_lite0"], ["resnet101", "densenet121"]])
def test_no_name_is_folded_at_80_and_120_columns(
    build: "StudyBuilder", columns: int, backbones: list[str]
) -> None:
    arms = [(variant, backbone) for backbone in backbones for variant in VARIANTS]
    shown = of(read_study(build.whole(arms=arms).path))
    lines = screen(shown.show, columns)
    assert max(map(len, lines)) <= columns
    text = "\n".join(lines)
    assert "…" not in text and "Traceback" not in text
    known = set(WORD.findall(shown.as_markdown())) | {"Controls"}
    assert set(WORD.findall(text)) <= known, "a word that was folded is another word"
    for variant in VARIANTS:
        named = [line for line in lines if line.strip().startswith(f"{variant} ")]
        assert len(named) == len(backbones), "one line an arm"
    if len(backbones) == 1:
        assert text.count(backbones[0]) == 1, "one backbone is named once, in the legend"


def test_what_helped_stands_first_then_questions_then_arms(golden: Study) -> None:
    lines = screen(of(golden).show, 80)
    first = lines[0]
    assert re.match(r"(Helps|Harms|Makes no difference|Not shown to help): ", first)
    question = next(i for i, line in enumerate(lines) if line.startswith("the whole of MASLL "))
    arm = next(i for i, line in enumerate(lines) if line.startswith("arm "))
    assert 0 < question < arm


def test_a_line_says_what_the_sentence_says(build: "StudyBuilder") -> None:
    study = read_study(build.whole().path)
    shown = of(study)
    line = next(row for row in shown.questions if row["question"] == "the local branch")
    found = effects(study).set_index("question").loc["the local branch"]
    assert line["AUC"] == f"{found['value']:+.3f} [{found['low']:.3f}, {found['high']:.3f}]"
    judged = Finding(*found[["value", "low", "high", "p_holm", "equivalence_p", "detectable"]])
    assert line["outcome"] == decide(judged)


@pytest.mark.parametrize(
    ("value", "low", "high", "p", "p_equivalence", "outcome"),
    [
        (0.1, 0.05, 0.15, 0.01, 1.0, Outcome.ADDS),
        (-0.1, -0.15, -0.05, 0.01, 1.0, Outcome.COSTS),
        (0.0, -0.005, 0.005, 0.9, 0.001, Outcome.NO_DIFFERENCE),
        (0.1, -0.05, 0.25, 0.2, 0.6, Outcome.NOT_SHOWN),
        (0.0, 0.0, 0.0, math.nan, math.nan, Outcome.THE_SAME),
        (0.1, math.nan, math.nan, math.nan, math.nan, Outcome.NO_TEST),
        # A small difference that the test sees is still one.
        (0.002, 0.001, 0.003, 0.01, 0.001, Outcome.ADDS),
    ],
)
def test_the_outcome_is_that_of_the_test(value, low, high, p, p_equivalence, outcome) -> None:
    assert decide(Finding(value, low, high, p, p_equivalence, 0.1)) == outcome


def test_a_study_without_confirmed_models_says_so(build: "StudyBuilder") -> None:
    build.spec()
    build.search(("gated-fusion", "resnet18"))
    lines = screen(of(read_study(build.path)).show, 80)
    assert lines[0].startswith("Nothing to compare yet")
    assert any("test set has not been opened" in line for line in lines)


def test_an_arm_that_is_missing_is_named_on_the_screen(build: "StudyBuilder") -> None:
    build.whole(arms=(("gated-fusion", "resnet18"), ("baseline", "resnet18")))
    build.confirm(("gated-fusion", "resnet18"), 4, status="failed")
    text = " ".join(" ".join(screen(of(read_study(build.path)).show, 80)).split())
    assert "gated-fusion/resnet18, seed 4: its confirm trial failed." in text


def test_the_readme_shows_which_part_helped_in_80_columns() -> None:
    shown = (ROOT / "README.md").read_text(encoding="utf-8").split("```")[3].splitlines()
    assert max(map(len, shown)) <= 80
    assert shown[1].startswith("Helps: ") and shown[2].startswith("Not shown to help: ")


def test_an_arms_line_has_the_figures_of_the_table(build: "StudyBuilder") -> None:
    study = read_study(build.whole().path)
    table = ablation_table(study).set_index("arm")
    for row in of(study).arms:
        assert row["AUC"].startswith(f"{table.loc[row['arm'], 'auc_mean']:.3f} ± ")
