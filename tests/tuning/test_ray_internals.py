"""What Ray says without a public way to ask: fails when a version of Ray says it otherwise."""

import logging

import pytest
import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayActorError, RayTaskError
from ray.tune.experiment import Trial

from tuning.ledger import Cause
from tuning.ray_internals import cause_of, error_of, pending_trial, quiet_tune

NODE_DIED = (
    "The actor died because its node has died. Node Id: 92d8\n\tthe actor's node was "
    "terminated expectedly: received SIGTERM"
)
SOCKET_CLOSED = (
    "The actor 45e1 is unavailable: The actor is temporarily unavailable: RpcError: RPC error: "
    "Socket closed rpc_code: 14. The task may or may not have been executed on the actor."
)
WORKER_DIED = (
    "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR "
    "Worker exit detail: Worker exits with an exit code 1."
)


def test_this_is_the_ray_that_the_internals_were_checked_against():
    assert ray.__version__.startswith("2.60.")
    assert issubclass(ActorDiedError, RayActorError)
    assert issubclass(ActorUnavailableError, RayActorError)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (RayActorError(error_msg=NODE_DIED), Cause.LOST_MACHINE),
        (RayActorError(error_msg=SOCKET_CLOSED), Cause.LOST_MACHINE),
        (RayActorError(preempted=True), Cause.LOST_MACHINE),
        (RayActorError(error_msg=WORKER_DIED), Cause.ERROR),
        (ValueError(NODE_DIED), Cause.ERROR),
        (None, Cause.ERROR),
    ],
)
def test_a_lost_machine_is_told_from_a_crash(error, cause):
    """As Ray said when the node was ended, all of it was killed at once, or the worker alone."""
    assert cause_of(error) is cause


def task_error(error: Exception) -> RayTaskError:
    return RayTaskError("step", f"Traceback ...\n{type(error).__name__}: {error}", error)


def test_too_little_gpu_memory_is_told_from_other_errors_of_a_trial():
    assert cause_of(task_error(RuntimeError("CUDA out of memory. Tried"))) is Cause.MEMORY
    assert cause_of(task_error(RuntimeError("CUDA error: device-side assert"))) is Cause.ERROR


def test_tune_leaves_the_exception_and_its_text_in_files_that_a_trial_names(tmp_path, monkeypatch):
    trial = Trial("stub", stub=True)
    monkeypatch.setattr(Trial, "local_path", str(tmp_path))
    assert error_of(trial) == (Cause.ERROR, "the worker process ended without a word")
    trial.handle_error(RayActorError(error_msg=NODE_DIED))
    cause, text = error_of(trial)
    assert cause is Cause.LOST_MACHINE and NODE_DIED in text
    trial.handle_error(task_error(ValueError("its labels")))
    cause, text = error_of(trial)
    assert cause is Cause.ERROR and text.endswith("ValueError: its labels")


def test_the_trial_that_waits_is_found_among_the_live_ones():
    class Waiting:
        PENDING = status = Trial.PENDING

    class Running:
        PENDING, status = Trial.PENDING, Trial.RUNNING

    class Controller:
        def get_live_trials(self):
            return {Running(), waiting}

    waiting = Waiting()
    assert pending_trial(Controller()) is waiting


def test_tune_s_complaints_of_logs_that_nobody_wrote_are_off():
    logger = logging.getLogger("ray.tune")
    before = logger.level
    try:
        quiet_tune()
        assert not logger.isEnabledFor(logging.ERROR)
    finally:
        logger.setLevel(before)
