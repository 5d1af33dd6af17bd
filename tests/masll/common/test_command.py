"""What every command shares."""

import shlex
import sys
from pathlib import Path

import pytest

from masll import InputError
from masll.common.command import command_line, need_extra, python_command, run


def test_a_command_without_its_extra_ends_with_one_line_that_names_it(monkeypatch, capsys):
    need_extra("search", "json", "no_such_module")  # an import, not a command: it goes on
    monkeypatch.setattr(sys, "argv", ["-m", "--trials", "3"])
    need_extra("search", "json", "csv")
    with pytest.raises(SystemExit) as ended:
        need_extra("search", "json", "no_such_module")
    assert ended.value.code == 2
    error = "error: no_such_module not installed; pip install 'masll-lab[search]' brings it\n"
    assert capsys.readouterr().err == error


def test_a_command_to_type_next_names_the_interpreter_that_the_shell_would_not_find(monkeypatch):
    here = Path(sys.executable).parent
    monkeypatch.setenv("PATH", str(here))
    assert python_command() == "python"
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.chdir(here.parent.parent)
    assert python_command() == str(Path(sys.executable).relative_to(here.parent.parent))
    monkeypatch.chdir("/")
    assert (Path("/") / python_command()).samefile(sys.executable)


def test_a_command_to_type_next_is_quoted_for_a_shell():
    words = ["tuning.status", "my studies/$(date)"]
    assert shlex.split(command_line(*words))[-3:] == ["-m", *words]


def test_an_error_is_one_line_in_which_nothing_moves_the_cursor(capsys):
    def refuse(_: object) -> int:
        raise InputError("no file \x1b[31mred\n.jpg")

    with pytest.raises(SystemExit):
        run(refuse)
    assert capsys.readouterr().err == "error: no file \\x1b[31mred\\n.jpg\n"
