"""What every command shares."""

import sys
from pathlib import Path

from masll.cli import python_command


def test_a_command_to_type_next_names_the_interpreter_that_the_shell_would_not_find(monkeypatch):
    here = Path(sys.executable).parent
    monkeypatch.setenv("PATH", str(here))
    assert python_command() == "python"
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.chdir(here.parent.parent)
    assert python_command() == str(Path(sys.executable).relative_to(here.parent.parent))
    monkeypatch.chdir("/")
    assert (Path("/") / python_command()).samefile(sys.executable)
