"""How a search starts: another process looks at the networks while Ray starts."""

import contextlib
import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from masll.common.errors import InputError
from masll.common.terminal import Terminal
from tests.support import TINY_BACKBONE
from tuning import session, study_run
from tuning import start as starting
from tuning.options import SearchOptions, resolve
from tuning.slots import Machine
from tuning.start import Session, started


class Played:
    """In the place of Ray: it starts, or says why not, and is told when it is to end."""

    def __init__(self, refusal: BaseException | None = None) -> None:
        self.refusal, self.said = refusal, []

    @contextlib.contextmanager
    def __call__(self, options: SearchOptions, machine: Machine) -> Iterator[Path]:
        del options
        assert machine.cpus >= 1
        self.said.append("started")
        if self.refusal is not None:
            raise self.refusal
        try:
            yield Path("nowhere")
        finally:
            self.said.append("ended")


@pytest.fixture
def ray(monkeypatch):
    """Says what Ray does."""

    def play(refusal: BaseException | None = None) -> Played:
        played = Played(refusal)
        monkeypatch.setattr(session, "ray_session", played)
        return played

    return play


def options(**asked: object) -> SearchOptions:
    plain = {"backbones": (TINY_BACKBONE,), "pretrained": False, "image_size": 32, "num_gpus": 0}
    return resolve(plain | asked)


def start(asked: SearchOptions) -> contextlib.AbstractContextManager:
    return started(asked, (), Terminal(), starts=True)


def end_of_process(*_: object) -> None:
    os._exit(1)


def test_ray_runs_for_as_long_as_the_session_and_no_process_stays(ray):
    played = ray()
    with start(options()) as begun:
        assert played.said == ["started"] and begun.weights == {}
        assert not multiprocessing.active_children()
        begun.end()
        assert played.said == ["started", "ended"]
    assert played.said == ["started", "ended"]


def test_a_network_that_is_refused_ends_ray(ray):
    played = ray()
    asked = options(backbones=("resnet19",))
    with pytest.raises(InputError, match="unknown backbone 'resnet19'"), start(asked):
        raise AssertionError("nothing may begin")
    assert played.said == ["started", "ended"] and not multiprocessing.active_children()


def test_ctrl_c_while_ray_starts_ends_what_looks_at_the_networks(ray):
    ray(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt), start(options()):
        raise AssertionError("nothing may begin")
    assert not multiprocessing.active_children()


def test_a_process_that_dies_as_it_looks_is_told_in_one_line(ray, monkeypatch):
    played = ray()
    monkeypatch.setattr(starting, "look_at_networks", end_of_process)
    with pytest.raises(InputError, match=r"ended without a word.*--in-process"), start(options()):
        raise AssertionError("nothing may begin")
    assert played.said == ["started", "ended"]


def test_nobody_else_may_begin_before_ray_has_ended_whatever_ends_the_run(monkeypatch):
    """Workers write checkpoints until then."""
    held: list[str] = []

    @contextlib.contextmanager
    def lock(_: object) -> Iterator[None]:
        held.append("locked")
        try:
            yield
        finally:
            held.append("free")

    def fails(*_: object) -> None:
        raise MemoryError

    class Nothing:
        folder = None

        def plan(self) -> None:
            return None

    monkeypatch.setattr(study_run, "hold", lock)
    monkeypatch.setattr(study_run, "forget_ended", lambda *_: None)
    monkeypatch.setattr(study_run, "_train", fails)
    with pytest.raises(MemoryError):
        study_run._search(
            Nothing(),
            Session(None, {}, lambda: held.append("ended")),
            Terminal(),
        )
    assert held == ["locked", "ended", "free"]
