"""Ray's bad days, played: what the screen says of them."""

import contextlib
import os
import re
import subprocess
import sys

import psutil
import pytest

from masll.common.errors import InputError
from tests.tuning.searches import SMALL
from tuning import engine, ray_switches, search, study_run, trainable
from tuning.options import resolve
from tuning.slots import Slots


class NoWatch(engine.tune.Callback):
    def __init__(self, ledger) -> None:
        del ledger

    def slot_seconds(self) -> float:
        return 0.0


class FailingTuner:
    def __init__(self, *_, **__) -> None:
        pass

    def fit(self) -> None:
        raise engine.tune.TuneError("a trial has no actor\nwith a dump of 200 lines")


def test_a_failure_of_tune_is_one_line_that_says_how_to_go_on(
    isic_master, cache, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("MASLL_CACHE", str(cache))
    monkeypatch.setattr(study_run, "set_switches", lambda: None)
    monkeypatch.setattr(trainable, "ray_node_id", lambda: "")
    monkeypatch.setattr(engine, "ray_session", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(engine, "choose_slots", lambda *_: Slots(1, 1, 0))
    monkeypatch.setattr(engine, "survive_lost_workers", lambda: None)
    monkeypatch.setattr(engine, "_Watch", NoWatch)
    monkeypatch.setattr(engine.tune, "Tuner", FailingTuner)
    study = tmp_path / "study"
    status = search.main(["--data", str(isic_master), "--study", str(study), *SMALL])
    errors = capsys.readouterr().err
    (line,) = (line for line in errors.splitlines() if "a trial has no actor" in line)
    assert status == 1 and line.startswith("error: Ray Tune ended the run: TuneError: ")
    assert "test_engine.py, line" in line and f"--study {study} --resume" in line
    assert "Traceback" not in errors and "200 lines" not in errors
    assert (study / "spec.json").exists()


class Starts:
    """In the place of `ray.init`: it fails so many times."""

    def __init__(self, failures: int) -> None:
        self.failures, self.settings = failures, []

    def __call__(self, **settings) -> None:
        self.settings.append(settings)
        if len(self.settings) <= self.failures:
            raise Exception("The current node timed out during startup.\nand more")


@pytest.fixture
def starts(monkeypatch, tmp_path):
    """Says how often Ray fails to start; no Ray is started."""

    def play(failures: int) -> Starts:
        init = Starts(failures)
        monkeypatch.setattr(engine.ray, "init", init)
        monkeypatch.setattr(engine.ray, "shutdown", lambda: None)
        monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
        return init

    return play


def test_a_ray_that_starts_too_slowly_is_started_once_more(starts, tmp_path):
    init = starts(failures=1)
    with engine.ray_session(resolve({})) as folder:
        assert len(init.settings) == 2 and init.settings[0] == init.settings[1]
        assert folder.is_dir()
    assert not list(tmp_path.iterdir())


def test_a_ray_that_never_starts_is_one_line_with_the_load_and_what_to_do(starts, tmp_path):
    init = starts(failures=2)
    with pytest.raises(InputError) as caught, engine.ray_session(resolve({})):
        pass
    assert re.fullmatch(
        r"Ray did not start, tried twice: Exception: The current node timed out during startup\. "
        r"\(test_engine\.py, line \d+\); the machine's load is \d+ on \d+ cores: try again .*",
        str(caught.value),
    )
    assert len(init.settings) == 2 and not list(tmp_path.iterdir())


def test_a_ray_of_ours_is_on_loopback_with_a_token_in_its_own_folder(starts, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of a cluster")
    init = starts(failures=0)
    with engine.ray_session(resolve({})) as folder:
        assert init.settings[0]["_node_ip_address"] == "127.0.0.1"
        assert init.settings[0]["_temp_dir"] == str(folder)
        assert os.environ["RAY_AUTH_MODE"] == "token" and "RAY_AUTH_TOKEN" not in os.environ
        token = folder / "token"
        assert os.environ["RAY_AUTH_TOKEN_PATH"] == str(token)
        assert token.stat().st_mode & 0o777 == 0o600 and len(token.read_text()) == 64
    assert os.environ["RAY_AUTH_TOKEN"] == "of a cluster"
    assert not {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys()


def test_a_cluster_keeps_its_own_addresses_and_token(starts, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of a cluster")
    init = starts(failures=0)
    with engine.ray_session(resolve({"address": "auto"})):
        assert init.settings[0].keys() == {"address", "log_to_driver", "logging_level"}
        assert os.environ["RAY_AUTH_TOKEN"] == "of a cluster"
        assert "RAY_AUTH_TOKEN_PATH" not in os.environ


STRANGER = """
import sys
from ray._raylet import GcsClient
print(GcsClient(sys.argv[1]).internal_kv_keys(b"", None))
"""


@pytest.mark.slow
def test_a_real_session_is_nobody_else_s_and_as_nice_as_the_command(monkeypatch, tmp_path):
    import ray

    for name, value in ray_switches._SWITCHES.items():
        monkeypatch.setenv(name, value)
    with engine.ray_session(resolve({"num_gpus": 0})):
        assert ray.get(ray.remote(lambda: os.nice(0)).remote()) == os.nice(0)
        processes = [here := psutil.Process(), *here.children(recursive=True)]
        listening = {
            (process.name(), connection.laddr.ip.removeprefix("::ffff:"))
            for process in processes
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }
        assert len(listening) >= 4 and {ip for _, ip in listening} == {"127.0.0.1"}, listening
        address = ray.get_runtime_context().gcs_address
        stranger = {name: value for name, value in os.environ.items() if "AUTH" not in name}
        result = subprocess.run(
            [sys.executable, "-c", STRANGER, address],
            env={**stranger, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
        )
        assert result.returncode and "nauthenticated" in result.stderr, result
