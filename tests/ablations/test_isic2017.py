"""The study of ISIC 2017: what docs/ says of it is what the report makes of its rows."""

import json
import re
from collections import Counter

import pandas as pd
import pytest

from ablations.brief import brief
from ablations.documents import write_report
from ablations.rows import read_study
from ablations.tables import ablation_table
from masll.common.storage import any_path
from tests.ablations.test_verdict_figure import words
from tests.support import ROOT

FOLDER = ROOT / "docs" / "isic2017"


@pytest.fixture(scope="module")
def study():
    return read_study(FOLDER / "rows", search_predictions=False)


@pytest.mark.slow
def test_the_tables_in_docs_are_what_the_report_makes_of_the_rows(study, tmp_path):
    written = write_report(study, ("md", "csv"), folder=any_path(tmp_path))
    names = {path.name for path in written}
    assert names == {path.name for path in (FOLDER / "report").iterdir()}
    for name in sorted(names):
        if name.endswith(".csv"):
            now, then = (pd.read_csv(folder / name) for folder in (tmp_path, FOLDER / "report"))
            pd.testing.assert_frame_equal(now, then, rtol=1e-6, obj=name)
        else:
            assert (tmp_path / name).read_text() == (FOLDER / "report" / name).read_text(), name


def test_the_picture_of_the_front_page_and_its_words_are_of_this_study(study):
    said = brief(study, ablation_table(study))
    shown = words((ROOT / "docs" / "verdict.svg").read_text(encoding="utf-8"))
    assert said.headline[0] in " ".join(shown)  # on two lines, where it is long
    for row in said.questions:
        assert all(cell in shown for cell in row.values()), row
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    for row in said.questions[:3]:  # the whole, the local branch, the gate
        value, interval = re.fullmatch(r"(\S+) \[(.*)\]", row["AUC"]).groups()
        assert value in page and interval.replace(", ", " to ") in page, row


def test_each_confirmed_model_saw_the_test_images_once_but_for_killed_ones(study):
    opened = [json.loads(line) for line in (FOLDER / "rows" / "test-set.jsonl").open()]
    trials = study.trials[study.trials["stage"] == "confirm"]
    times = Counter(each["trial_id"] for each in opened)
    assert set(times) == set(trials["trial_id"]) and len(trials) == 90
    assert sorted(times.values()) == [1] * 86 + [2] * 4
    ended = trials.set_index("trial_id")["ended_at"]
    for trial, count in times.items():
        moments = [pd.Timestamp(each["time"]) for each in opened if each["trial_id"] == trial]
        assert len(moments) == count and max(moments) <= ended[trial], "no opening after its row"


def test_pictures_of_the_study_are_small():
    pictures = [ROOT / "docs" / "verdict.svg", *(FOLDER / "figures").iterdir()]
    assert len(pictures) == 5 and all(path.stat().st_size < 200_000 for path in pictures)
