"""Studies that lack something: each is reported with what it has, and says what is missing."""

import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd
import pytest
from IPython.display import Image, Markdown

from ablations.documents import write_report
from ablations.figures import FIGURES, NEEDS
from ablations.summary import NOTEBOOK

if TYPE_CHECKING:
    from conftest import StudyBuilder

PLAIN, GATED = ("baseline", "resnet18"), ("gated-fusion", "resnet18")


class Case(NamedTuple):
    """A way to lack something, what the report says of it, and the figures that are left."""

    make: Callable[["StudyBuilder"], object]
    said: str
    absent: set[str]  # figures; importance and cases besides, which need more than any of these


def scored(build: "StudyBuilder", score: Callable[[pd.DataFrame], object]) -> None:
    """Two arms whose confirmed models give other scores."""
    build.whole(arms=(PLAIN, GATED))
    for variant, _ in (PLAIN, GATED):
        for seed in (1, 2):
            build.change(
                "predictions",
                f"{variant}-resnet18-confirm-{seed}",
                lambda rows: rows.assign(score=score),
            )


def one_class(build: "StudyBuilder") -> None:
    build.positives = 0
    build.whole(arms=(PLAIN, GATED))


def never_finished(build: "StudyBuilder") -> None:
    build.whole(arms=(PLAIN, GATED))
    build.spec((PLAIN, ("concat-fusion", "resnet18"), GATED))
    build.trial(("concat-fusion", "resnet18"), "confirm", 1, "completed", finished=False)


def without_localizer(build: "StudyBuilder") -> None:
    arms = (PLAIN, ("global-only", "resnet18"))
    build.whole(arms=arms)
    for path in (build.path / "epochs").glob("*.parquet"):
        build.change("epochs", path.stem, lambda rows: rows.assign(box_area=math.nan))


def running(build: "StudyBuilder") -> None:
    build.spec((PLAIN, GATED), options={"seeds": 2, "trials": 3})
    build.search(GATED)
    build.trial(PLAIN, "search", 0, "completed", finished=False)


CASES = {
    "one arm": Case(lambda b: b.whole(arms=(GATED,)), "Nothing to compare yet", {"differences"}),
    "one seed": Case(lambda b: b.whole(arms=(PLAIN, GATED), seeds=1), "One seed each", set()),
    "an arm that never finished": Case(
        never_finished, "concat-fusion/resnet18: no confirmed seed yet.", set()
    ),
    "one class": Case(one_class, "One class only", {"roc", "differences", "decision", "cost"}),
    "constant scores": Case(
        lambda b: scored(b, 0.5), "baseline/resnet18, seed 1: the same score for every image", set()
    ),
    "ties everywhere": Case(
        lambda b: scored(b, lambda rows: rows["score"].round()),
        "gated-fusion/resnet18, seed 2: fewer than 10 different scores",
        set(),
    ),
    "no SLL arm": Case(without_localizer, "Nothing to compare yet", {"boxes", "differences"}),
    "still running": Case(
        running,
        "gated-fusion/resnet18: 1 of 3 search trials finished.",
        {"roc", "differences", "calibration", "decision", "cost", "learning"},
    ),
}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


@each_case
def test_tables_and_every_cell_of_the_notebook_do_with_what_there_is(build, case, monkeypatch):
    case.make(build)
    write_report(build.path, ["md", "csv", "tex"])
    told = (build.path / "report/ablation.md").read_text(encoding="utf-8")
    assert case.said in told
    assert "nan" not in told.replace("scores are nan", "")
    for checklist in ("claim.md", "tripod.md"):
        assert "nan" not in (build.path / "report" / checklist).read_text(encoding="utf-8")
    shown: list[object] = []
    monkeypatch.setattr("IPython.display.display", lambda *what: shown.extend(what))
    # The cells as they stand, but in this process: a kernel takes seconds to start.
    known: dict[str, object] = {}
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            known |= {"STUDY": str(build.path), "PREVALENCE": None, "MARGIN": 0.01, "BY": ()}
        elif cell["cell_type"] == "code":
            *lines, last = "".join(cell["source"]).splitlines()
            exec("\n".join(lines), known)
            shown.append(eval(last, known))
    pictures = {picture.alt for picture in shown if isinstance(picture, Image)}
    assert pictures == set(FIGURES) - case.absent - {"importance", "cases", "subgroups"}
    text = "\n".join(part.data for part in shown if isinstance(part, Markdown))
    assert case.said in text
    for name in case.absent:
        assert f"No figure *{name}*: it needs {NEEDS[name]}." in text


@pytest.mark.soak
@each_case
def test_the_whole_report_is_written_and_the_page_says_what_is_missing(build, case):
    case.make(build)
    written = {path.name for path in write_report(build.path)}
    drawn = set(FIGURES) - case.absent - {"importance", "cases", "subgroups"}
    assert {f"{name}.{kind}" for name in drawn for kind in ("png", "svg")} <= written
    assert {"ablation.csv", "ablation.tex", "tripod.md", "summary.ipynb"} <= written
    page = (build.path / "report/summary.html").read_text(encoding="utf-8")
    assert case.said in page and page.count("data:image/png;base64,") == len(drawn)
    assert "Traceback" not in page
