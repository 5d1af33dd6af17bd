"""The lease of a study on S3: one holder, found out when it is dead, and never two for long."""

import json
import os
import platform
import signal
import subprocess
import sys
import time

import pytest

from masll import InputError
from masll.common.storage import any_path
from tuning.study import lease
from tuning.study.lease import hold_lease, lease_holder


@pytest.fixture
def study(s3, monkeypatch, request):
    monkeypatch.setattr(lease, "_SETTLES", 0.0)
    s3.make_bucket("leases")
    return any_path(f"s3://leases/{request.node.name}") / ".lock"


def write_lease(study, **changed) -> None:
    held = {
        "id": "other",
        "process": 1,
        "host": "elsewhere",
        "since": "2026-01-02 03:04:05",
        "renewed": time.time(),
    }
    study.write_whole(json.dumps(held | changed))


def test_a_lease_keeps_others_out_and_goes_at_the_end(study):
    with hold_lease(study):
        assert lease_holder(study).startswith(f"process {os.getpid()} on {platform.node()}")
        with (
            pytest.raises(InputError, match=f"held by process {os.getpid()} on"),
            hold_lease(study),
        ):
            raise AssertionError("held twice")
    assert lease_holder(study) is None and not study.exists()


def test_a_lease_of_another_machine_counts_until_it_is_stale(study):
    write_lease(study)
    with pytest.raises(InputError, match="held by process 1 on elsewhere"), hold_lease(study):
        raise AssertionError("held twice")
    write_lease(study, renewed=time.time() - 200)
    with hold_lease(study):
        assert lease_holder(study).startswith(f"process {os.getpid()}")


def test_a_lease_of_a_dead_process_of_this_machine_is_taken_over(study):
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        check=True,
        text=True,
    )
    write_lease(study, host=platform.node(), process=int(dead.stdout))
    with hold_lease(study):
        assert lease_holder(study).startswith(f"process {os.getpid()}")


def test_of_two_that_see_no_lease_the_last_to_write_has_it(study, monkeypatch):
    monkeypatch.setattr(lease.time, "sleep", lambda _: write_lease(study))  # the other one
    with pytest.raises(InputError, match="held by process 1 on elsewhere"), hold_lease(study):
        raise AssertionError("held twice")


def test_a_holder_renews_and_stops_when_another_has_taken_over(study, monkeypatch, capsys):
    monkeypatch.setattr(lease, "_RENEWED_EVERY", 0.05)
    # As a command begins: Tune, run by another test of this process, may have left its handler.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt), hold_lease(study):
        first = json.loads(study.read_bytes())["renewed"]
        for _ in range(100):
            time.sleep(0.1)
            if json.loads(study.read_bytes())["renewed"] > first:
                break
        else:
            raise AssertionError("not renewed within 10 s")
        write_lease(study)
        # The holder may be about to renew: it has to find the other one at some time.
        for _ in range(100):
            time.sleep(0.1)
            write_lease(study)
    assert f"another search has taken {study.parent}" in capsys.readouterr().err
    assert lease_holder(study).startswith("process 1 on elsewhere"), "not the loser's to remove"


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"id": "x"}'])
def test_a_spoilt_lease_counts_as_none(study, content):
    study.write_whole(content)
    assert lease_holder(study) is None
