"""`python -m ablations.report`: what it writes and prints, and how it ends."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from sklearn.metrics import roc_auc_score

from ablations.documents import write_report
from ablations.report import main
from ablations.rows import read_study
from ablations.summary import write_page
from masll.common.errors import InputError
from masll.common.storage import any_path
from masll.variants import VARIANTS

if TYPE_CHECKING:
    from conftest import StudyBuilder

ROOT = Path(__file__).parents[2]
GATED = ("gated-fusion", "resnet18")
BESIDE = [
    *("effects", "ensembles", "foresight", "operating_points", "reliability"),
    "figure_differences",
    "net_benefit",
]
TABLES = sorted(
    [
        "ablation.md",
        *(f"{name}.{kind}" for name in ("claim", "tripod") for kind in ("csv", "md")),
        *(f"{name}.{kind}" for name in ["ablation", *BESIDE] for kind in ("csv", "tex")),
    ]
)
PAGE = ["summary.html", "summary.ipynb"]
DRAWN = (
    *("boxes", "budget", "calibration", "cost", "decision", "differences", "learning", "roc"),
    "search",
)
PICTURES = (*DRAWN, "verdict")  # which has no place on the page: it says what the page opens with


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ablations.report", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def report_files(study: Path) -> list[str]:
    return sorted(file.name for file in (study / "report").glob("*"))


def test_the_command_writes_the_table_and_says_where(build: "StudyBuilder") -> None:
    build.whole()
    ended = command(build.path, "--prevalence", 0.02)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert report_files(build.path) == sorted(
        TABLES + PAGE + [f"{name}.{kind}" for name in PICTURES for kind in ("png", "svg")]
    )
    printed = " ".join(ended.stdout.split())
    assert f"wrote to {build.path / 'report'}: ablation.md," in printed
    assert all(name in printed for name in report_files(build.path))
    page = (build.path / "report/summary.html").read_text(encoding="utf-8")
    assert "<script" not in page and 'src="http' not in page and "@import" not in page
    assert (
        page.index("Which part of MASLL") < page.index("Not shown to help") < page.index("<table")
    )
    assert page.index("<table") < page.index("Primary question") < page.index("Test set: ")
    assert page.count("data:image/png;base64,") == len(DRAWN)
    assert "a figure of your own" not in page and str(build.path) not in page
    assert "at a prevalence of 0.020" in page
    assert (
        page.index("TRIPOD+AI, item by item") < page.index("12c. Analytical") < page.index("23a.")
    )
    assert "Out[" not in page and "Warning" not in page
    table = pd.read_csv(build.path / "report/ablation.csv").set_index("variant")
    assert list(table.index) == list(VARIANTS)
    rows = pd.read_parquet(build.path / "predictions")
    test = rows[(rows["split"] == "test") & (rows["arm"] == "gated-fusion/resnet18")]
    areas = [roc_auc_score(made["label"], made["score"]) for _, made in test.groupby("seed")]
    assert table.loc["gated-fusion", "auc_mean"] == pytest.approx(sum(areas) / 2, abs=1e-12)


def test_the_markdown_says_what_the_table_is(build: "StudyBuilder") -> None:
    write_report(build.whole().path, ["md"])
    text = (build.path / "report/ablation.md").read_text(encoding="utf-8")
    assert report_files(build.path) == ["ablation.md", "claim.md", "tripod.md"]
    first, arms, words, figures, *sections = text.split("\n\n## ")
    assert [len(section.split("\n\n")) for section in sections] == [3] * len(BESIDE)
    title, headline, questions = first.split("\n\n")
    assert title == "# Ablation" and headline.startswith("**Not shown to help: the whole of MASLL,")
    assert questions.count("\n") == 1 + 1 + 3 + 1, "primary, main effects, global features"
    assert arms.split("\n\n")[1].count("\n") == len(VARIANTS) + 1
    said = words.removeprefix("In words\n\n")
    assert said.startswith("- Primary question, ") and "the whole of MASLL" in said
    assert said.count("\n") == 1 + 3 + 4, "a line a question, and how the intervals are meant"
    table, *told = figures.removeprefix("All figures\n\n").strip().split("\n\n")
    assert table.count("\n") == len(VARIANTS) + 1
    assert told == [
        "Test set: 40 images, 12 melanoma. Mean ± standard deviation over seeds (2), with the 95 % "
        "interval of the mean for other seeds and other images.",
        "ACC, SEN and SPE at a probability of 0.5. SEN@.95 is the highest sensitivity on the test "
        "curve whose specificity is at least 0.95, and so on.",
        "Differences are to gated-fusion of the same backbone, tested in pairs on the same images; "
        "Holm's p holds for all of them together, intervals are each for itself; seen from: the "
        "true difference that such a test finds four times in five, at the level of Holm's first "
        "step.",
        "Intervals and tests are conditional on one search: they take the hyperparameters that it "
        "chose as given, and say nothing of what another search would choose.",
        "Whether training images show a lesion of the test images was not examined: python -m "
        "masll.data audit does.",
        "Made by a version that did not record: predictions with a frozen gate, so that whether "
        "the gate does anything is not shown; parameters, multiply-adds and milliseconds; the "
        "primary question in its spec.",
    ]


def test_a_running_study_is_reported_with_what_it_has(build: "StudyBuilder") -> None:
    build.spec()
    build.search(GATED)
    build.trial(GATED, "confirm", 1, "completed", finished=False)
    ended = command(build.path)
    assert ended.returncode == 0
    assert "gated-fusion/resnet18: no confirmed seed yet." in ended.stdout
    assert len(pd.read_csv(build.path / "report/ablation.csv")) == len(VARIANTS)


def test_a_second_report_replaces_the_first(build: "StudyBuilder") -> None:
    build.whole(arms=(GATED,), seeds=1)
    write_report(read_study(build.path), ["csv", "md", "tex"])
    build.confirm(GATED, 2)
    write_report(read_study(build.path), ["csv", "md", "tex"])
    assert pd.read_csv(build.path / "report/ablation.csv").loc[0, "seeds"] == 2
    compared = ("effects.", "figure_differences.", "foresight.")
    of_one_arm = [name for name in TABLES if not name.startswith(compared)]
    assert report_files(build.path) == of_one_arm


def test_help_has_an_example_and_the_default() -> None:
    ended = command("--help")
    assert ended.returncode == 0
    assert "python -m ablations.report studies/paper" in ended.stdout
    printed = " ".join(ended.stdout.split())
    assert "default: md csv tex figures html" in printed and "--out DIR" in printed
    assert "python -m ablations.report studies/paper studies/longer --out compared/" in printed


def test_bad_input_is_one_line_and_status_2(build: "StudyBuilder") -> None:
    build.whole(arms=(GATED,))
    build.change("trials", "gated-fusion-resnet18-confirm-1", lambda rows: rows.drop(columns="lr"))
    for arguments, message in [
        ((), "STUDY"),
        ((build.path / "nowhere",), "nowhere"),
        ((build.path, "--format", "pdf"), "pdf"),
        ((build.path, "--prevalence", "2"), "--prevalence: must lie between 0 and 1, got '2'"),
        ((build.path, "--formt", "md"), "did you mean '--format'"),
        ((build.path,), "confirm-1.parquet: no column 'lr'"),
    ]:
        ended = command(*arguments)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr.startswith("error: ") and message in ended.stderr
        assert ended.stderr.count("\n") == 1
        assert not (build.path / "report").exists()


def test_an_unknown_format_leaves_nothing_behind(build: "StudyBuilder") -> None:
    with pytest.raises(InputError, match="unknown format 'xml'"):
        write_report(build.whole(arms=(GATED,)).path, ["md", "xml"])
    assert not (build.path / "report").exists()


def test_a_report_that_cannot_be_written_is_bad_input(build: "StudyBuilder") -> None:
    (build.whole(arms=(GATED,)).path / "report").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot write .*ablation\.md"):
        write_report(build.path)
    (build.path / "report").unlink()
    (build.path / "report/ablation.md").mkdir(parents=True)
    with pytest.raises(InputError, match=r"cannot write .*ablation\.md"):
        write_report(build.path)
    assert report_files(build.path) == ["ablation.md"]


def test_brackets_in_a_path_are_printed_as_they_are(
    build: "StudyBuilder", capsys: pytest.CaptureFixture[str]
) -> None:
    build.path = build.path.with_name("study [bold] 2")
    build.whole(arms=(GATED,))
    assert main([str(build.path), "--format", "csv"]) == 0
    assert f"wrote to {build.path / 'report'}: ablation.csv" in capsys.readouterr().out


def assert_contents_lead_to_headings(page: str) -> None:
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(set(ids)) == len(ids)
    links = re.findall(r'<li><a href="#([^"]+)">', page)
    assert links == re.findall(r'<h2 id="([^"]+)">', page) and "<h2>" not in page
    assert {"arms", "how-sure-and-how-large", "tripod-ai-item-by-item"} <= set(links)


def test_the_report_loads_no_training_library() -> None:
    code = "import sys, ablations.documents; print({'torch', 'ray', 'timm'} & set(sys.modules))"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == "set()"


def test_the_page_is_made_by_this_python_and_runs_no_script_of_a_study(
    build: "StudyBuilder", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = tmp_path / "jupyter/kernels/python3"
    kernel.mkdir(parents=True)
    false = {"argv": [shutil.which("false")], "display_name": "Python 3", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(false), encoding="utf-8")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    assert KernelSpecManager().get_kernel_spec("python3").argv == false["argv"]
    foreign = "<img src=x onerror=alert(1)>"
    arms = [("baseline", foreign), ("gated-fusion", foreign)]
    study = build.whole(arms).path.rename(tmp_path / "<script>alert(1)<&")
    write_page(any_path(study), any_path(tmp_path))
    page = (tmp_path / "summary.html").read_text(encoding="utf-8")
    assert "<title>Ablation: &lt;script&gt;alert(1)&lt;&amp;</title>" in page
    assert "<script" not in page and "&lt;img src=x" in page
    assert not re.search(r"<[^>]*onerror", page)
    for path in write_report(any_path(study), ("md",)):
        assert not re.search(r"(?<!\\)<img", path.read_text(encoding="utf-8")), path
    assert page.index('http-equiv="Content-Security-Policy"') < page.index("<title>")
    assert "default-src 'none'; img-src data:;" in page
    assert page.index("</h1>") < page.index("Study <strong>&lt;script&gt;") < page.index("<nav")
    assert_contents_lead_to_headings(page)
