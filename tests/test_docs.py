"""Documents: their links lead somewhere, their commands are taken, and what they say is so."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documented import PAGES, documented, make_place
from tests.options.forks import Answer
from tests.support import ROOT
from tuning.study.rows import EpochRow, PredictionRow, TrialRow, columns_of

_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMANDS = documented()
# Messages that a reader sees, and that are no words of ours.
OF_LIBRARIES = {"operator torchvision::nms does not exist", "No module named 'ablations'"}


def anchors(path: Path) -> set[str]:
    """Headings as GitHub names them."""
    headings = re.findall(r"^#+ (.*)$", _CODE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in _LINK.findall(_CODE.sub("", page.read_text())):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link}"


@pytest.fixture(scope="module")
def answers(isic_master, tmp_path_factory) -> dict[str, Answer]:
    """Of all commands of the pages: they share one process, so that each takes moments."""
    folder, place = tmp_path_factory.mktemp("forks"), tmp_path_factory.mktemp("docs") / "place"
    make_place(place, isic_master)
    process = subprocess.run(
        [sys.executable, "-m", "tests.options.forks", folder, folder / "cache", place],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        input="".join(f"{command.line}\n" for command in COMMANDS),
        capture_output=True,
        text=True,
        check=True,
    )
    told = [Answer(**json.loads(line)) for line in process.stdout.splitlines()]
    return {str(command): each for command, each in zip(COMMANDS, told, strict=True)}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_of_the_pages_is_taken_as_it_stands(answers, command):
    answer = answers[str(command)]
    assert answer.at_work or answer.status == 0, (command.page, answer)
    assert "Traceback" not in answer.errors


def test_most_commands_are_run_and_not_only_parsed():
    run = [command for command in COMMANDS if not command.parsed_only]
    assert {command.module for command in run} == {command.module for command in COMMANDS}
    assert len(run) > len(COMMANDS) / 2


def test_the_targets_of_make_that_the_pages_name_exist():
    text = "\n".join(page.read_text() for page in PAGES)
    named = set(re.findall(r"(?:^|`)make ([a-z][a-z-]+)(?=`|$|  )", text, re.MULTILINE))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test", "notebook"} <= named <= targets


def test_the_front_page_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 150


def test_the_front_page_cites_as_the_citation_file_says():
    citation = (ROOT / "CITATION.cff").read_text()
    readme = (ROOT / "README.md").read_text()
    software, paper = re.findall(r"```bibtex\n(.*?)```", readme, re.DOTALL)[0].split("\n}\n")[:2]
    for field in ("title", "version", "license"):
        (value,) = re.findall(rf"^{field}: (.*)$", citation, re.MULTILINE)
        assert f"{{{value}}}" in software
    (title,) = re.findall(r"^    title: (.*)$", citation, re.MULTILINE)
    authors = re.findall(r"family-names: (\w+), given-names: ([\w.]+)", citation)
    assert f"{{{title}}}" in paper
    assert " and ".join(f"{family}, {given}" for family, given in authors) in paper


@pytest.mark.parametrize("row", [TrialRow, EpochRow, PredictionRow])
def test_the_page_of_the_study_folder_names_every_column(row):
    text = (ROOT / "docs" / "study-folder.md").read_text()
    heading = {TrialRow: "trials", EpochRow: "epochs", PredictionRow: "predictions"}[row]
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    first = " ".join(re.findall(r"^\| (`.*?) \|", section, re.MULTILINE))
    named = re.findall(r"`(\w+)`", first)
    assert sorted(named) == sorted(columns_of(row))


def test_the_messages_of_the_troubleshooting_page_are_those_of_the_code():
    text = (ROOT / "docs" / "troubleshooting.md").read_text()
    source = (
        "".join(
            path.read_text()
            for name in ("masll", "tuning", "ablations")
            for path in (ROOT / name).rglob("*.py")
        )
        + (ROOT / "Makefile").read_text()
    )
    source = re.sub(r'"\s*\n\s*f?"', "", source)  # strings over several lines
    cells = re.findall(r"^\| (.*?) \|", text, re.MULTILINE)
    for said in (said for cell in cells for said in re.findall(r"`(.*?)`", cell)):
        for part in re.split(r"\.\.\.|[A-Z]{4,}|python3|\d+", said):
            words = part.strip(" :;,.")
            assert words in source or words in OF_LIBRARIES, said


def test_the_arms_of_the_guide_can_be_declared(tmp_path):
    from tuning.declarations import declared_arms
    from tuning.options import resolve
    from tuning.space import DEFAULT_SPACE

    text = (ROOT / "docs" / "arms.md").read_text()
    (block,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "arms.toml").write_text(block)
    options = resolve({"arms": str(tmp_path / "arms.toml"), "backbones": ("resnet18",)})
    names = [arm.name for arm in declared_arms(options, DEFAULT_SPACE) if arm.declared]
    assert names == ["shared", "padded", "no-imagenet", "baseline-adamw"]
