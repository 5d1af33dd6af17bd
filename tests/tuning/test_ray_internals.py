"""What Ray says without a public way to ask: fails when a version of Ray says it otherwise."""

import logging
import subprocess
import types

import pytest
import ray
from ray import ObjectRef
from ray._private import parameter, services, worker
from ray.air.execution._internal import RayActorManager
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    NodeDiedError,
    OutOfMemoryError,
    RayActorError,
    RayTaskError,
)
from ray.tune.experiment import Trial
from ray.tune.trainable.metadata import _TrainingRunMetadata

from tests.tuning.test_crowding import full_memory
from tuning import ray_internals
from tuning.ledger import Cause
from tuning.ray_internals import (
    LostWorkerError,
    cause_of,
    error_of,
    forgetful_tune,
    has_died,
    patient_start,
    pending_trial,
    quiet_messages,
    quiet_tune,
    survive_lost_workers,
)

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
        (LostWorkerError(OutOfMemoryError("Task was killed")), Cause.MEMORY),
        (LostWorkerError(OutOfMemoryError(full_memory(others=9.0))), Cause.CROWDED),
        (LostWorkerError(OutOfMemoryError(full_memory(workers=9.0))), Cause.MEMORY),
        (LostWorkerError(NodeDiedError(NODE_DIED)), Cause.LOST_MACHINE),
        (ValueError(NODE_DIED), Cause.ERROR),
        (None, Cause.ERROR),
    ],
)
def test_a_lost_machine_is_told_from_a_crash(error, cause):
    """As Ray said when the node was ended, all of it was killed at once, or the worker alone."""
    assert cause_of(error) is cause


def test_tune_takes_a_worker_that_the_memory_monitor_has_ended_for_a_lost_actor(
    tmp_path, monkeypatch
):
    trial = Trial("stub", stub=True)
    monkeypatch.setattr(Trial, "local_path", str(tmp_path))
    monkeypatch.setattr(RayActorManager, "_actor_task_failed", RayActorManager._actor_task_failed)
    survive_lost_workers()
    seen: list[Exception] = []
    manager = RayActorManager.__new__(RayActorManager)
    manager._failed_actor_ids = set()
    monkeypatch.setattr(RayActorManager, "_cleanup_actor", lambda *_, **__: None)
    actor = types.SimpleNamespace(actor_id=1, _on_error=None)
    task = types.SimpleNamespace(_tracked_actor=actor, _on_error=lambda _, e: seen.append(e))
    manager._actor_task_failed(task, OutOfMemoryError(full_memory(workers=9.0)))
    trial.handle_error(seen[0])
    cause, text = error_of(trial)
    assert cause is Cause.MEMORY and "10.0 of 23.5 GB are used" in text
    assert text.count("\n") == 0 and "RAY_memory_usage_threshold" not in text
    with pytest.raises(RuntimeError, match="unexpected"):  # what is not Ray's is not hidden
        manager._actor_task_failed(task, ValueError("no error of Ray's"))


def test_a_worker_that_the_memory_monitor_ends_as_it_starts_is_a_lost_actor_too(monkeypatch):
    for kind, name in (
        (RayActorManager, "_actor_start_failed"),
        (RayActorManager, "_actor_task_failed"),
        (Trial, "_get_default_result_or_future"),
    ):
        monkeypatch.setattr(kind, name, getattr(kind, name))
    survive_lost_workers()
    manager = RayActorManager.__new__(RayActorManager)
    manager._failed_actor_ids = set()
    monkeypatch.setattr(RayActorManager, "_cleanup_actor", lambda *_, **__: None)
    seen: list[Exception] = []
    actor = types.SimpleNamespace(actor_id=1, _on_error=lambda _, error: seen.append(error))
    manager._actor_start_failed(actor, OutOfMemoryError(full_memory(others=9.0)))
    assert cause_of(seen[0]) is Cause.CROWDED

    def gone(_: object) -> None:
        raise OutOfMemoryError(full_memory(others=9.0))

    monkeypatch.setattr("ray.get", gone)
    trial = Trial("stub", stub=True)
    trial._default_result_or_future = ObjectRef.nil()
    assert trial._get_default_result_or_future() is None and "trial_id" in trial.last_result


def test_tune_remembers_of_a_trial_s_results_only_the_last(monkeypatch):
    monkeypatch.setattr(_TrainingRunMetadata, "update_metric", _TrainingRunMetadata.update_metric)
    monkeypatch.setattr(Trial, "get_json_state", Trial.get_json_state)
    result = {"training_iteration": 1, "auc": 0.5}

    def reported() -> Trial:
        trial = Trial("stub", stub=True)
        trial.update_last_result(result)
        return trial

    plain = reported()
    assert plain.metric_analysis["auc"]["last"] == 0.5 and len(plain.get_json_state()[1]) > 500
    forgetful_tune()
    trial = reported()
    assert trial.last_result["auc"] == 0.5 and not trial.metric_analysis
    assert trial.get_json_state() == ("{}", "{}")


@pytest.mark.parametrize("kind", ["gcs_server", "raylet"])
def test_a_ray_is_dead_as_soon_as_one_of_its_processes_is(monkeypatch, kind):
    def started() -> types.SimpleNamespace:
        return types.SimpleNamespace(process=subprocess.Popen(["sleep", "300"]))

    processes = {"gcs_server": [started()], "raylet": [started()], "log_monitor": [started()]}
    monkeypatch.setattr(worker, "_global_node", types.SimpleNamespace(all_processes=processes))
    try:
        processes["log_monitor"][0].process.kill()
        processes["log_monitor"][0].process.wait()
        assert not has_died(), "it works on without its logs"
        processes[kind][0].process.kill()
        processes[kind][0].process.wait()
        assert has_died()
    finally:
        for (each,) in processes.values():
            each.process.kill()
            each.process.wait()
    monkeypatch.setattr(worker, "_global_node", None)
    assert not has_died(), "none was started here"


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
    monkeypatch.setattr(ray_internals, "has_died", lambda: True)
    assert error_of(trial)[0] is Cause.LOST_MACHINE, "no trial is charged for Ray's own end"


def test_a_start_waits_for_a_node_that_comes_late_but_not_for_ever(monkeypatch):
    answers = iter([RuntimeError("no such node"), RuntimeError("no such node"), {"alive": True}])

    def get_node(gcs_address: str, node_id: str) -> dict:
        answer = next(answers, RuntimeError(f"no {node_id} at {gcs_address}"))
        if isinstance(answer, RuntimeError):
            raise answer
        return answer

    monkeypatch.setattr(services, "get_node", get_node)
    with patient_start():
        assert services.get_node("gcs", "node") == {"alive": True}
        monkeypatch.setattr(ray_internals, "_LONGEST_START", 0.1)
        with pytest.raises(RuntimeError, match="no node at gcs"):
            services.get_node("gcs", "node")
    assert services.get_node is get_node


def test_a_start_chooses_the_ports_that_its_raylet_would_not_wait_for():
    settings = parameter.RayParams
    with patient_start():
        params = parameter.RayParams(_system_config={}, metrics_export_port=None)
    assert parameter.RayParams is settings
    ports = [getattr(params, name) for name in ray_internals._AGENTS_PORTS]
    assert all(ports) and len(set(ports)) == 4


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


def test_what_ray_tells_of_lost_workers_stays_off_the_screen(monkeypatch, capsys):
    def tell(text: str) -> None:
        message = {"lines": [text], "pid": "raylet", "is_err": False}
        worker.print_to_stdstream(message, ignore_prefix=False)

    printed: list[dict] = []
    monkeypatch.setattr(worker, "print_worker_logs", lambda data, *_: printed.append(data))
    tell("A worker died or was killed while executing a task")
    assert len(printed) == 1, "all of it comes this way"
    quiet_messages()
    tell("Another worker died or was killed while executing a task")
    assert len(printed) == 1 and capsys.readouterr().out == ""


def test_tune_s_complaints_of_logs_that_nobody_wrote_are_off():
    logger = logging.getLogger("ray.tune")
    before = logger.level
    try:
        quiet_tune()
        assert not logger.isEnabledFor(logging.ERROR)
    finally:
        logger.setLevel(before)
