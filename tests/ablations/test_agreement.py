"""Verdict, tables, figures, tripod.md and README say the same of one study."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ablations import figures
from ablations.documents import write_report
from ablations.effects import effects
from ablations.rows import read_study
from ablations.tables import ablation_table
from ablations.verdict import verdict
from masll.variants import describe

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
NUMBERS = r"([+-]\d\.\d{3}) AUC \[(-?\d\.\d{3}), (-?\d\.\d{3})\]"


def numbers(line: str) -> list[float]:
    """Value, low and high of a line of the verdict."""
    found = re.search(NUMBERS, line)
    assert found, line
    return [float(number) for number in found.groups()]


@pytest.fixture
def study(build):
    build.images, build.positives = 120, 40
    return read_study(build.whole(seeds=3).path)


def test_the_verdict_has_the_figures_of_the_tables(study):
    table = ablation_table(study)
    lines = verdict(study, table)
    for row in effects(study).to_dict("records"):
        (line,) = (each for each in lines if f": {row['question']} " in each)
        assert numbers(line) == pytest.approx([row["value"], row["low"], row["high"]], abs=6e-4)
        adds = row["p_holm"] < 0.05
        assert ("not distinguishable" in line or "makes no difference" in line) != adds
    for row in table[table["delta_auc"].notna()].to_dict("records"):
        lacks = describe(row["variant"]).lacks
        (line,) = (each for each in lines if each.startswith(f"Without {lacks}, on"))
        expected = [-row["delta_auc"], -row["delta_high"], -row["delta_low"]]
        assert numbers(line) == pytest.approx(expected, abs=6e-4)


def test_files_say_what_the_tables_say(study):
    write_report(study, ["md", "csv", "tex"])
    folder = Path(str(study.path)) / "report"
    table = ablation_table(study)
    written = pd.read_csv(folder / "ablation.csv")
    assert written["delta_auc"].tolist() == pytest.approx(table["delta_auc"].tolist(), nan_ok=True)
    texts = [(folder / name).read_text(encoding="utf-8") for name in ("ablation.md", "tripod.md")]
    for line in verdict(study, table):
        assert all(f"- {line}" in text for text in texts)
    for row in table.to_dict("records"):
        auc = f"{row['auc_mean']:.3f}"
        assert all(re.search(rf"\| {row['arm']} \| 3 \| {auc} ", text) for text in texts)
        assert auc in (folder / "ablation.tex").read_text(encoding="utf-8")


def test_figures_draw_what_the_tables_say(study):
    table = ablation_table(study)
    (axes,) = figures.forest(study, table).axes
    drawn = [line.get_xdata() for line in axes.lines if len(line.get_xdata()) == 2][1:]
    compared = table[table["delta_auc"].notna()].iloc[::-1]
    expected = compared[["delta_low", "delta_high"]].to_numpy()
    assert np.array(drawn) == pytest.approx(expected)
    (axes,) = figures.roc_curves(study, table).axes
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == [f"{r.variant}, AUC {r.auc_mean:.3f}" for r in table.itertuples()]


def test_the_verdict_in_the_readme_is_that_of_its_table():
    """The README shows one study: its last screen as it was printed."""
    screen = README.split("```")[3]
    (whole,) = re.findall(r"the whole of MASLL +(?:adds|not shown) +(\S+) \[(\S+), (\S+)\]", screen)
    (line,) = (each for each in screen.splitlines() if each.startswith("baseline "))
    value, low, high = re.findall(r"[+-]?0\.\d{3}", line)[2:5]
    assert [float(each) for each in whole] == [-float(value), -float(high), -float(low)]
