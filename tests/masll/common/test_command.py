"""What every command shares."""

import shlex
import sys
from pathlib import Path

import pytest

from masll import InputError
from masll.common.command import (
    Parser,
    command_line,
    commands,
    need_extra,
    python_command,
    run,
)


def test_a_command_without_its_extra_ends_with_one_line_that_names_it(monkeypatch, capsys):
    need_extra("search", "json", "no_such_module")  # an import, not a command: it goes on
    monkeypatch.setattr(sys, "argv", ["-m", "--trials", "3"])
    need_extra("search", "json", "csv")
    for begun_as in ("-m", "/usr/local/bin/masll-search"):
        monkeypatch.setattr(sys, "argv", [begun_as, "--trials", "3"])
        with pytest.raises(SystemExit) as ended:
            need_extra("search", "json", "no_such_module")
        assert ended.value.code == 2
    error = "error: no_such_module not installed; pip install 'masll-lab[search]' brings it\n"
    assert capsys.readouterr().err == 2 * error


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


def test_a_package_says_what_there_is_and_runs_it(capsys):
    main = commands("masll", "One network", {"train": "train one", "data": "look at images"})
    assert main([]) == main(["--help"]) == 0
    assert "  python -m masll.train  train one" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"unknown command 'trian' \(did you mean 'train'\?\)"):
        main(["trian"])
    with pytest.raises(SystemExit) as ended:
        main(["data", "verfy"])
    assert ended.value.code == 2
    assert "COMMAND 'verfy' (did you mean 'verify'?); one of: " in capsys.readouterr().err


def test_a_required_option_says_so(capsys):
    parser = Parser(prog="x")
    parser.add_argument("--model", required=True, help="folder of a model")
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    assert "folder of a model (required)" in capsys.readouterr().out


def test_a_value_that_is_no_choice_names_the_nearest(capsys):
    parser = Parser(prog="x")
    parser.add_argument("--sampler", choices=["tpe", "random"])
    with pytest.raises(SystemExit):
        parser.parse_args(["--sampler", "randm"])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --sampler 'randm' (did you mean 'random'?); one of: ")
