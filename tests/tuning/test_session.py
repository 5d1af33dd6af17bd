"""Ray for one search: how it starts, and who may speak to it."""

import contextlib
import ctypes
import functools
import os
import re
import signal
import subprocess
import sys

import psutil
import pytest
import ray

from masll.common.errors import InputError
from tuning import ray_internals, ray_switches, session
from tuning.options import resolve
from tuning.session import ray_session
from tuning.slots import Machine

HERE = Machine(2, 0)


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
        monkeypatch.setattr(session.ray, "init", init)
        monkeypatch.setattr(session.ray, "shutdown", lambda: None)
        monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
        return init

    return play


def test_a_ray_that_starts_too_slowly_is_started_once_more(starts, tmp_path):
    init = starts(failures=1)
    with ray_session(resolve({}), HERE) as folder:
        assert len(init.settings) == 2 and init.settings[0] == init.settings[1]
        assert folder.is_dir()
    assert not list(tmp_path.iterdir())


def test_a_ray_that_never_starts_is_one_line_with_the_load_and_what_to_do(starts, tmp_path):
    init = starts(failures=2)
    with pytest.raises(InputError) as caught, ray_session(resolve({}), HERE):
        pass
    assert re.fullmatch(
        r"Ray did not start, tried twice: Exception: The current node timed out during startup\. "
        r"\(test_session\.py, line \d+\); the machine's load is \d+ on \d+ cores: try again .*",
        str(caught.value),
    )
    assert len(init.settings) == 2 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("during", ["init", "shutdown"])
def test_a_kill_while_ray_starts_or_ends_leaves_nothing_behind(
    starts, monkeypatch, tmp_path, during
):
    starts(failures=0)

    def killed(**_: object) -> None:
        ray._private.utils.set_sigterm_handler(lambda *_: sys.exit(15))  # as Ray does first of all
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(session.ray, during, killed)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), ray_session(resolve({}), HERE):
        pass
    assert signal.getsignal(signal.SIGTERM) is before and not list(tmp_path.iterdir())


def test_a_kill_after_ray_has_ended_is_ctrl_c_still(starts, monkeypatch, tmp_path):
    @contextlib.contextmanager
    def killed_at_its_end():
        yield
        signal.raise_signal(signal.SIGTERM)

    starts(failures=0)
    to_the_system = functools.partial(ctypes.CDLL(None).signal, signal.SIGTERM, None)
    monkeypatch.setattr(session.ray, "shutdown", to_the_system)  # which Ray does, beside Python
    monkeypatch.setattr(session, "loopback_only", killed_at_its_end)
    with pytest.raises(KeyboardInterrupt), ray_session(resolve({}), HERE):
        pass
    assert not list(tmp_path.iterdir())


def test_a_ray_of_ours_is_on_loopback_with_a_token_in_its_own_folder(starts, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of a cluster")
    init = starts(failures=0)
    with ray_session(resolve({}), HERE) as folder:
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
    with ray_session(resolve({"address": "auto"}), HERE):
        assert init.settings[0].keys() == {"address", "log_to_driver", "logging_level"}
        assert os.environ["RAY_AUTH_TOKEN"] == "of a cluster"
        assert "RAY_AUTH_TOKEN_PATH" not in os.environ


STRANGER = """
import sys
from ray._raylet import GcsClient
print(GcsClient(sys.argv[1]).internal_kv_keys(b"", None))
"""


@pytest.mark.slow
def test_a_real_session_is_nobody_else_s_and_as_nice_as_the_command(monkeypatch, capfd, tmp_path):
    for name, value in ray_switches._SWITCHES.items():
        monkeypatch.setenv(name, value)
    with ray_session(resolve({"num_gpus": 0}), HERE):
        assert ray.get(ray.remote(lambda: os.nice(0)).remote()) == os.nice(0)
        assert set(ray_internals._VITAL) <= ray._private.worker._global_node.all_processes.keys()
        assert not ray_internals.has_died()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        assert capfd.readouterr().err == ""  # not a stack, as Ray's handler in C++ prints
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
