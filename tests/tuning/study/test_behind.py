"""Files written behind the search's back: the newest stays, and nothing after it was settled."""

import errno
import threading
import time
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning.study.behind import WriteBehind


@dataclass(frozen=True)
class Slow:
    """A file on a slow place, which remembers all that was written."""

    name: str
    written: list[str] = field(default_factory=list, compare=False, hash=False)
    seconds: float = field(default=0.0, compare=False)
    fails: bool = field(default=False, compare=False)

    def write_whole(self, content: str) -> None:
        time.sleep(self.seconds)
        if self.fails:
            raise OSError(errno.EACCES, "access denied", self.name)
        self.written.append(content)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers())))
def test_each_file_ends_with_what_was_asked_last_and_in_the_order_asked(asked):
    behind = WriteBehind()
    files = [Slow(str(number)) for number in range(4)]
    for number, content in asked:
        behind.write(files[number], str(content))
    behind._threads.shutdown()
    for number, file in enumerate(files):
        wanted = [str(content) for which, content in asked if which == number]
        assert file.written[-1:] == wanted[-1:]
        left = iter(wanted)
        assert all(content in left for content in file.written), "none twice, none out of turn"


@pytest.mark.parametrize("seconds", [0.0, 0.002])
def test_nothing_is_written_after_a_file_was_settled(seconds):
    behind, file = WriteBehind(), Slow("file", seconds=seconds)
    for number in range(20):
        behind.write(file, str(number))
    behind.settle(file)
    before = list(file.written)
    time.sleep(0.02)
    assert file.written == before
    behind.write(file, "again")
    behind._threads.shutdown()
    assert file.written == [*before, "again"]


def test_who_asks_does_not_wait_and_files_do_not_wait_for_each_other():
    gate = threading.Event()

    class Held(Slow):
        def write_whole(self, content: str) -> None:
            assert gate.wait(60)
            super().write_whole(content)

    behind, held, other = WriteBehind(), Held("held"), Slow("other")
    for number in range(1000):
        behind.write(held, str(number))
    behind.write(other, "there")
    while not other.written:
        time.sleep(0.001)
    assert not held.written
    gate.set()
    behind._threads.shutdown()
    assert held.written[-1] == "999" and len(held.written) <= 2


def test_a_file_that_could_not_be_written_is_told_at_the_next_one():
    behind = WriteBehind()
    behind.write(Slow("lost", fails=True), "x")
    with pytest.raises(OSError, match="access denied") as told:
        for _ in range(1000):
            behind.write(Slow("other"), "y")
            time.sleep(0.01)
    assert told.value.filename == "lost"
    behind.write(Slow("other"), "z")
