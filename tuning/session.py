"""Ray for one search: started on this machine for it alone, or joined.

Imports no PyTorch, so that Ray starts while another process looks at the networks.
"""

import contextlib
import functools
import logging
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray

from masll.common.errors import InputError
from tuning import mps
from tuning.options import SearchOptions
from tuning.ray_folder import end_processes, ray_folder
from tuning.ray_internals import (
    LOOPBACK,
    loopback_only,
    no_handler_of_ray,
    own_token,
    patient_start,
    quiet_messages,
)
from tuning.slots import Machine, find_slots

_OBJECT_STORE_BYTES = 100 * 2**20  # images go through files, so Ray has next to nothing to store
_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}


@contextlib.contextmanager
def ray_session(options: SearchOptions, machine: Machine) -> Iterator[Path]:
    """Ray, started on this machine for this process alone, or joined at `--address`.

    Gives a folder for files of this session, which is removed at its end.

    Args:
        machine: this one.

    Raises:
        InputError: Ray does not start, there is no such cluster, or no trial fits.
    """
    quiet_messages()
    with _kill_is_ctrl_c() as listen, ray_folder() as folder, contextlib.ExitStack() as stack:
        if not options.address:
            find_slots(options, [machine])  # or refuse
            stack.enter_context(own_token(folder / "token"))
            stack.enter_context(loopback_only())
            if options.shares_gpus:
                stack.enter_context(mps.own_mps(folder))
        stack.callback(
            listen
        )  # Ray's end leaves SIGTERM to the system, its start to a handler in C++
        stack.callback(ray.shutdown)
        if options.address:
            _join(options.address)
        else:
            gpus = machine.gpus if options.num_gpus is None else options.num_gpus
            _start(Machine(machine.cpus, gpus), folder)
        listen()
        yield folder


@contextlib.contextmanager
def _kill_is_ctrl_c() -> Iterator[Callable[[], object]]:
    """`kill`, `timeout` and Slurm end a search in order; gives what listens to them again."""

    def stop(*_: object) -> None:
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a background job of a script
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)  # which Tune listens to while it runs

    before = signal.signal(signal.SIGTERM, stop)
    try:
        with no_handler_of_ray():
            yield functools.partial(signal.signal, signal.SIGTERM, stop)
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _join(address: str) -> None:
    try:
        ray.init(address=address, **_QUIET)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"no Ray cluster at --address {address}: {reason}") from error


def _start(machine: Machine, folder: Path) -> None:
    settings: dict[str, Any] = {
        "address": "local",  # whatever other Ray there may be on this machine
        "num_cpus": machine.cpus,
        "num_gpus": machine.gpus,
        "include_dashboard": False,
        "object_store_memory": _OBJECT_STORE_BYTES,
        "_node_ip_address": LOOPBACK,
        "_temp_dir": str(folder),
        **_QUIET,
    }
    try:
        with patient_start():
            ray.init(**settings)
    except Exception:  # of no kind of its own where Ray has waited too long
        ray.shutdown()
        end_processes(folder)
        _start_again(settings, machine.cpus)


def _start_again(settings: dict[str, Any], cores: int) -> None:
    try:
        with patient_start():
            ray.init(**settings)
    except Exception as error:
        raise InputError(
            f"Ray did not start, tried twice: {in_one_line(error)}; the machine's load is "
            f"{os.getloadavg()[0]:.0f} on {cores} cores: try again when other work has ended"
        ) from error


def in_one_line(error: Exception) -> str:
    """What an exception says, and where it comes from."""
    text = str(error).strip().partition("\n")[0]
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(last.filename).name}, line {last.lineno}"
    return f"{type(error).__name__}{text and ': '}{text} ({where})"
