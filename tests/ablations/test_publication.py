"""ablation.tex: two tables that LaTeX takes, whatever arms are called, with the figures of all."""

import re
from typing import TYPE_CHECKING

import pytest

from ablations.effects import effects
from ablations.formats import latex_table
from ablations.publication import as_latex
from ablations.rows import Study, read_study
from ablations.tables import ablation_table

if TYPE_CHECKING:
    from conftest import StudyBuilder

ARMS = [
    (variant, backbone)
    for backbone in ("resnet18", "test_resnet")
    for variant in ("baseline", "global-only", "concat-fusion", "gated-fusion")
]


def written(study: Study) -> str:
    return as_latex(study, ablation_table(study))


def rows(text: str) -> list[list[str]]:
    """The cells of the lines of all tables; what spans several columns counts as so many."""
    lines = [line.removesuffix(r" \\") for line in text.splitlines() if line.endswith(r"\\")]
    spread = [
        re.sub(r"\\multicolumn\{(\d+)\}", lambda m: " & " * (int(m[1]) - 1), line) for line in lines
    ]
    return [line.split(" & ") for line in spread]


def assert_sound(text: str, tables: int) -> None:
    """Environments close in order, braces and dollars pair, all rows have the columns of theirs."""
    opened: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{([a-z]+\*?)\}", text):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert not opened
    plain = re.sub(r"\\[{}$&%#_]", "", text.replace(r"% needs \usepackage{booktabs}", ""))
    depths = [plain[:end].count("{") - plain[:end].count("}") for end in range(len(plain))]
    assert min(depths) == 0 and plain.count("{") == plain.count("}")
    assert plain.count("$") % 2 == 0
    assert not set("%#") & set(plain) and "_" not in plain
    columns = re.findall(r"\\begin\{tabular\}\{([lr]+)\}", text)
    assert len(columns) == tables
    for part, spec in zip(text.split(r"\end{tabular}"), columns, strict=False):
        assert {len(row) for row in rows(part)} == {len(spec)}
    for rule in ("toprule", "bottomrule", "caption", "label"):
        assert text.count(f"\\{rule}") == tables


@pytest.fixture
def study(build: "StudyBuilder") -> Study:
    return read_study(build.whole(arms=ARMS, seeds=2).path)


def test_arms_and_evidence_are_two_tables_of_six_columns_that_latex_takes(study):
    text = written(study)
    assert_sound(text, 2)
    assert {len(row) for row in rows(text)} == {6}
    assert r"\label{tab:ablation}" in text and r"\label{tab:evidence}" in text


def test_arms_stand_below_their_backbone(study):
    table, _ = written(study).split(r"\label{tab:evidence}")
    names = [row[-1] if len(set(row[:-1])) == 1 else row[0] for row in rows(table)]
    variants = [variant for variant, backbone in ARMS if backbone == "resnet18"]
    headings = [rf"{{l}}{{\textit{{{name}}}}}" for name in ("resnet18", r"test\_resnet")]
    assert names[1:] == [headings[0], *variants, headings[1], *variants]
    assert table.count(r"\midrule") == 2
    assert "40 test images, 12 melanoma: mean of 2 seeds" in table


def test_the_tables_have_the_figures_of_the_others_with_true_minus_signs(study):
    text, table = written(study), ablation_table(study)
    assert not re.search(r"(?<![\w.$])-\d", text)
    for row in table.to_dict("records"):
        shown = f"{row['auc_mean']:.3f} [{row['auc_low']:.3f}, {row['auc_high']:.3f}]"
        assert shown.replace("[-", "[$-$") in text
        assert row["variant"] == "gated-fusion" or f"{row['delta_auc']:+.3f} ["[1:] in text
    for row in effects(study).to_dict("records"):
        (line,) = (each for each in text.splitlines() if each.startswith(f"{row['question']} &"))
        assert f"{abs(row['value']):.3f} [" in line and f"{row['detectable']:.3f}" in line


def test_a_control_names_what_it_is_compared_with(build):
    declared = {"whole": {"variant": "gated-fusion", "fixed": {}, "compare": "global-only"}}
    whole = ("whole", "resnet18")
    build.whole(arms=ARMS[:4], seeds=2)
    for seed in (1, 2):
        name = build.confirm(("gated-fusion", "resnet18"), 10 + seed)
        for kind in ("trials", "predictions"):
            build.change(kind, name, lambda rows: rows.assign(arm="/".join(whole)))
        build.change("trials", name, lambda rows: rows.assign(fixed="{}"))
    build.spec([*ARMS[:4], whole], declared=declared)
    text = written(read_study(build.path))
    assert_sound(text, 2)
    assert "whole (to global-only) & " in text and "whole against global-only & " in text
    assert "or to the arm that is named" in text


def test_without_anything_to_compare_there_is_one_table(build):
    text = written(read_study(build.whole(arms=[("gated-fusion", "resnet18")], seeds=1).path))
    assert_sound(text, 1)
    assert "mean of 1 seed, in brackets the 95 \\% interval for other images." in text


def test_a_study_that_has_only_begun_has_a_table_that_says_so(build):
    build.spec(ARMS)
    text = written(read_study(build.path))
    assert_sound(text, 1)
    assert "No model is confirmed yet" in text and "nan" not in text


def test_names_cannot_leave_their_table():
    name = r"a_b & \end{table*} % $x$"
    text = latex_table({name: [{name: name, "AUC": "-0.5"}]}, name, "tab:x")
    assert_sound(text.replace(r"\&", "and"), 1)
    assert text.count(r"\end{table*}") == 1 and "& $-$0.5 \\\\" in text
