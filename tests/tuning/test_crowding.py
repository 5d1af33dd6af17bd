"""Memory that others have filled: who they are, and how long trials wait."""

import pytest

from tuning.crowding import Crowding, FullMemory


def full_memory(*, workers: float = 0.5, others: float = 3.4) -> str:
    """What Ray 2.60 says when its monitor ends workers, shortened."""
    return (
        "2 worker(s) were killed due to the node running low on memory. Memory on the node (IP: "
        "127.0.0.1, ID: 308a) was 10.04GB used / 23.54GB limit (0.426662)\n"
        "OOM kill reason: Memory usage 9515855872B exceeded threshold of 9377585152B\n"
        "Top 10 memory users: PID\tMEM(GB)\tCOMMAND\n"
        f"17473\t{others:.2f}\tpython -c import time; x = bytearray(int(7e9)); x[::4096] = ...\n"
        f"17247\t{workers:.2f}\tray::ResourceTrainable.train\n"
        "16843\t0.49\tpython -m tuning.search\n"
        "Refer to the documentation on how to address the out of memory issue: set the environment "
        "variable `RAY_memory_usage_threshold` when starting Ray."
    )


def test_who_holds_the_memory_is_read_from_what_ray_says():
    seen = FullMemory.read(full_memory())
    assert seen is not None and (seen.used, seen.limit, seen.by_workers) == (10.04, 23.54, 0.5)
    assert seen.by_others
    assert str(seen) == (
        "10.0 of 23.5 GB are used; process 17473 holds 3.4 GB: "
        "python -c import time; x = bytearray(int..."
    )
    assert not FullMemory.read(full_memory(workers=9.0)).by_others
    assert FullMemory.read("Task was killed") is None


def test_trials_wait_longer_and_longer_until_one_works():
    now = 0.0
    crowding = Crowding(lambda: now)
    assert not crowding.waits
    waits = []
    for _ in range(6):
        waits.append(crowding.full())
        assert crowding.full() == waits[-1], "another worker, ended with the first"
        assert crowding.waits
        now += waits[-1] + 1
        assert not crowding.waits
    assert waits == [5, 10, 20, 40, 60, 60]
    crowding.works()
    assert crowding.full() == 5


@pytest.mark.parametrize("works", [True, False])
def test_half_an_hour_of_full_memory_without_an_epoch_is_hopeless(works):
    now = 0.0
    crowding = Crowding(lambda: now)
    while now < 1700:
        now += crowding.full() + 10
        assert not crowding.is_hopeless
    if works:
        crowding.works()
    now += 200
    crowding.full()
    assert crowding.is_hopeless is not works
