"""What has no public way in Ray: the one module that knows, checked against Ray 2.60.

tests/tuning/test_ray_internals.py fails when one of these changes.
"""

import contextlib
import logging
import os
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray.cloudpickle
from ray._private import parameter, ray_constants, services, utils, worker
from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]
from ray.air.execution._internal import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError, RayError, RayTaskError
from ray.tune.experiment import Trial
from ray.tune.trainable.metadata import _TrainingRunMetadata

from masll.common.errors import DISK_TAKES_NO_MORE
from tuning.crowding import FullMemory, is_out_of_memory
from tuning.ledger import Cause

LOOPBACK = "127.0.0.1"
_AGENTS_PORTS = (
    "metrics_agent_port",
    "metrics_export_port",
    "dashboard_agent_listen_port",
    "runtime_env_agent_port",
)
_LONGEST_START = 90.0  # seconds
_VITAL = (ray_constants.PROCESS_TYPE_GCS_SERVER, ray_constants.PROCESS_TYPE_RAYLET)
_OF_TOKENS = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
_tune_failed = RayActorManager._actor_task_failed
_tune_start_failed = RayActorManager._actor_start_failed
_tune_first_result = Trial._get_default_result_or_future
# Ray's words where a machine was lost: the usual ones, and those of a worker's connection that has
# closed before Ray knows of the machine's death. The exceptions carry nothing else that says so.
_LOST_MACHINE = (
    "its node has died",
    "The task may or may not have been executed on the actor",
)


class LostWorkerError(RayActorError):
    """A worker that Ray has ended, in the form in which Tune understands it."""

    def __init__(self, lost: RayError) -> None:
        super().__init__(error_msg=str(lost))
        self.lost = lost

    def __reduce__(self) -> tuple[Any, ...]:
        return LostWorkerError, (self.lost,)


def survive_lost_workers() -> None:
    """Let Tune take the end of a worker by Ray's memory monitor for what it is: a lost actor.

    Tune knows RayActorError and RayTaskError, and ends everything on any other error of Ray's.
    """

    def failed(self: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
        _tune_failed(self, tracked_actor_task, _as_lost(exception))

    def start_failed(self: RayActorManager, tracked_actor: Any, exception: Exception) -> None:
        _tune_start_failed(self, tracked_actor, _as_lost(exception))

    def first_result(self: Trial) -> Any:
        try:
            return _tune_first_result(self)
        except RayError:  # Tune lets a worker die as it starts, but not by the monitor
            self._default_result_or_future = None
            return None

    RayActorManager._actor_task_failed = failed
    RayActorManager._actor_start_failed = start_failed
    Trial._get_default_result_or_future = first_result


def _as_lost(exception: Exception) -> Exception:
    known = isinstance(exception, RayActorError | RayTaskError)
    return (
        LostWorkerError(exception) if isinstance(exception, RayError) and not known else exception
    )


@contextlib.contextmanager
def patient_start() -> Iterator[None]:
    """Let a start of Ray take longer than the seconds that are fixed in it.

    Its raylet ends itself when an agent does not say within 15 s on which port it listens, so the
    ports are chosen here; and `ray.init` waits for 30 s for the raylet.
    """
    look_once, settings = services.get_node, parameter.RayParams
    ports = dict(zip(_AGENTS_PORTS, _free_ports(len(_AGENTS_PORTS)), strict=True))

    def look(*arguments: Any) -> Any:
        ends = time.monotonic() + _LONGEST_START
        while True:
            try:
                return look_once(*arguments)
            except RuntimeError:  # it is not there yet
                if time.monotonic() > ends:
                    raise
            time.sleep(0.5)

    services.get_node = look
    parameter.RayParams = lambda **given: settings(**{**given, **ports})
    try:
        yield
    finally:
        services.get_node, parameter.RayParams = look_once, settings


@contextlib.contextmanager
def no_handler_of_ray() -> Iterator[None]:
    """Keep Ray from setting handlers in Python that end this process on SIGTERM, status 15 or 1.

    The one in C++, which prints a stack, is set by `ray.init` all the same.
    """
    before = utils.set_sigterm_handler
    utils.set_sigterm_handler = lambda _: None
    try:
        yield
    finally:
        utils.set_sigterm_handler = before


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def loopback_only() -> Iterator[None]:
    """Let a Ray that is started here at LOOPBACK stay there.

    Ray takes an address that others reach in the place of a loopback one, so that they can join,
    unless it is on a system where it has no clusters; only then do its processes bind to LOOPBACK.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextlib.contextmanager
def own_token(file: Path) -> Iterator[None]:
    """Let a Ray that is started here answer only to those who can read a file, 0600.

    Without it Ray makes one token in the home for everything. Ray has read its environment when it
    was imported, so it is told to do so again.
    """
    file.touch(0o600, exist_ok=False)
    file.write_text(secrets.token_hex(32))
    before = {name: value for name in _OF_TOKENS if (value := os.environ.pop(name, None))}
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(file)}
    _read_environment_again()
    try:
        yield
    finally:
        for name in _OF_TOKENS:
            os.environ.pop(name, None)
        os.environ |= before
        _read_environment_again()


def _read_environment_again() -> None:
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def has_died() -> bool:
    """Whether one of the processes has ended without which a Ray that was started here is none.

    Whatever asks Ray's GCS for something waits for it, and after a minute Ray ends this process
    from within, so that nothing is cleared up. A cluster's processes are none of this one's.
    """
    node = worker._global_node
    return node is not None and any(
        each.process.poll() is not None
        for kind in _VITAL
        for each in node.all_processes.get(kind, [])
    )


def quiet_tune() -> None:
    """Keep Tune from complaining of result files that no logger of its own has written."""
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)


def forgetful_tune() -> None:
    """Keep Tune from remembering what the rows hold, half of what a trial takes of the memory.

    It would keep averages of every number that a trial reports, and write all that it knows of each
    as JSON when the last one has ended.
    """

    def forget(self: _TrainingRunMetadata, metric: str, value: Any, step: int | None = 1) -> None:
        del self, metric, value, step

    _TrainingRunMetadata.update_metric = forget
    Trial.get_json_state = lambda _: ("{}", "{}")


def quiet_messages() -> None:
    """Keep off the screen what Ray's processes tell this one: of each lost worker, ten lines.

    There is no switch for it. Rows and the search's own lines say what has become of a trial.
    """
    worker.print_worker_logs = lambda *_: None


def pending_trial(tune_controller: Any) -> Any:
    """The trial that waits for a slot, if any; Tune's own scheduler looks among all there were."""
    live = tune_controller.get_live_trials()
    return next((trial for trial in live if trial.status == trial.PENDING), None)


def error_of(trial: Any) -> tuple[Cause, str]:
    """Why Tune ended a trial, and the error's text.

    Tune's own `get_error` looks in the storage, to which the files come later, if ever.
    """
    error, text = _exception(trial), ""
    if (seen := _full_memory(error)) is not None:
        text = f"out of memory: {seen}"
    elif trial.error_file and Path(trial.error_file).exists():
        text = Path(trial.error_file).read_text().strip()
    # A worker ends with Ray's processes, and sometimes that is heard of before their end is seen.
    cause = Cause.LOST_MACHINE if has_died() else cause_of(error)
    return cause, text or "the worker process ended without a word"


def _full_memory(error: BaseException | None) -> FullMemory | None:
    """What the monitor saw, where it has ended a worker."""
    if isinstance(error, LostWorkerError) and isinstance(error.lost, OutOfMemoryError):
        return FullMemory.read(str(error.lost))
    return None


def _exception(trial: Any) -> BaseException | None:
    path = trial.pickled_error_file
    if not path or not Path(path).exists():
        return None
    try:
        error: BaseException = ray.cloudpickle.loads(Path(path).read_bytes())
    except Exception:  # an exception of the trial's that cannot be made here
        return None
    return error


def cause_of(error: BaseException | None) -> Cause:
    """Whose fault an error is."""
    if isinstance(error, RayActorError) and (
        error.preempted or any(words in str(error) for words in _LOST_MACHINE)
    ):
        return Cause.LOST_MACHINE
    if isinstance(error, LostWorkerError):
        if not isinstance(error.lost, OutOfMemoryError):
            return Cause.LOST_MACHINE
        seen = _full_memory(error)
        return Cause.CROWDED if seen is not None and seen.by_others else Cause.MEMORY
    if isinstance(error, RayError) and is_out_of_memory(str(error)):
        return Cause.MEMORY
    origin = getattr(error, "cause", None)
    if isinstance(origin, OSError) and origin.errno in DISK_TAKES_NO_MORE:
        return Cause.DISK
    return Cause.ERROR
