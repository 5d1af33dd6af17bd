"""Documents: their links lead somewhere, and the options that they name exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")]
    if ".venv" not in path.parts
)
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_COMMAND = re.compile(r"python -m ((?:masll|tuning|ablations)[\w.]*)([^\n`#|]*)")


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


def commands() -> dict[str, set[str]]:
    """Options by the module that the documents give them to."""
    named: dict[str, set[str]] = {}
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        for module, rest in _COMMAND.findall(text):
            options = set(re.findall(r"(?<!\S)--[a-z][a-z-]*", rest))
            named.setdefault(module.rstrip("."), set()).update(options)
    return named


@pytest.mark.slow
@pytest.mark.parametrize("module", sorted(commands()))
def test_commands_in_the_documents_have_the_options_that_they_are_given(module):
    def help_of(*words: str) -> str:
        command = [sys.executable, "-m", module, *words, "--help"]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stdout

    text = help_of()
    for word in re.findall(r"^    (\w+) ", text, re.MULTILINE):  # subcommands
        text += help_of(word)
    missing = {option for option in commands()[module] if option not in text}
    assert not missing, f"python -m {module} has no {missing}"


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
