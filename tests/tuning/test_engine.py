"""Ray's bad days, played: what the screen says of them."""

import contextlib

from tests.tuning.searches import SMALL
from tuning import engine, search, study_run, trainable
from tuning.slots import Slots
from tuning.start import Session


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


def nothing() -> contextlib.nullcontext:
    """In the place of a session of Ray."""
    return contextlib.nullcontext(Session(None, {}, lambda: None))


def test_a_failure_of_tune_is_one_line_that_says_how_to_go_on(
    isic_master, cache, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("MASLL_CACHE", str(cache))
    monkeypatch.setattr(study_run, "started", lambda *_, **__: nothing())
    monkeypatch.setattr(trainable, "ray_node_id", lambda: "")
    monkeypatch.setattr(engine, "choose_slots", lambda *_: Slots(1, 1, 0))
    monkeypatch.setattr(engine, "survive_lost_workers", lambda: None)
    monkeypatch.setattr(engine, "forgetful_tune", lambda: None)
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
