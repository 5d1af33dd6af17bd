"""Machines and GPUs whose memory is full: who holds it, and how long trials wait for it.

Ray's memory monitor ends workers when a machine's memory is nearly used up, whoever uses it.
"""

import math
import re
import time
from collections.abc import Callable
from typing import NamedTuple

_MEMORY = re.compile(r"was ([\d.]+)GB used / ([\d.]+)GB limit")
_USER = re.compile(r"^(\d+)\t([\d.]+)\t(.+)$", re.MULTILINE)  # process, GB, command
_WORKER = "ray::"
_SHOWN = 40  # characters of a command
_FIRST_WAIT, _LONGEST_WAIT = 5.0, 60.0  # seconds
_PATIENCE = 1800.0  # seconds without an epoch
# PyTorch's words for a GPU's memory that has run out, CUDA's where there is no room for the process
# itself, and those of libraries that cannot make their handles or workspaces.
_OUT_OF_MEMORY = (
    *("torch.OutOfMemoryError", "CUDA out of memory", "CUDA error: out of memory"),
    *("CUDA driver error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED"),
    *("CUBLAS_STATUS_NOT_INITIALIZED", "CUDNN_STATUS_NOT_INITIALIZED"),
    *("CUDNN_STATUS_INTERNAL_ERROR", "CUDNN_STATUS_ALLOC_FAILED"),
)


def is_out_of_memory(error: str) -> bool:
    """Whether an error's text says that a GPU's memory has run out."""
    return any(text in error for text in _OUT_OF_MEMORY)


class FullMemory(NamedTuple):
    """What the monitor saw of a machine when it ended workers; sizes in GB."""

    used: float
    limit: float
    by_workers: float  # of that, by Ray's workers among its largest users
    holder: str  # the largest of all others, in words; "" if the monitor names none

    @classmethod
    def read(cls, text: str) -> "FullMemory | None":
        """From the message of Ray's OutOfMemoryError; None if it has another form."""
        memory = _MEMORY.search(text)
        if memory is None:
            return None
        users = [(int(pid), float(size), name) for pid, size, name in _USER.findall(text)]
        by_workers = math.fsum(size for _, size, name in users if name.startswith(_WORKER))
        others = [user for user in users if not user[2].startswith(_WORKER)]
        holder = ""
        if others:
            pid, size, name = max(others, key=lambda user: user[1])
            command = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}..."
            holder = f"; process {pid} holds {size:.1f} GB: {command}"
        return cls(float(memory[1]), float(memory[2]), by_workers, holder)

    @property
    def by_others(self) -> bool:
        """Whether the trials hold less than half of it."""
        return self.by_workers < self.used / 2

    def __str__(self) -> str:
        return f"{self.used:.1f} of {self.limit:.1f} GB are used{self.holder}"


class Crowding:
    """How long trials wait where others have filled the memory, and when that is hopeless.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wait = 0.0
        self._since: float | None = None
        self._until = -math.inf

    def full(self) -> float:
        """Memory was full once more: the seconds to wait, longer and longer."""
        now = self._clock()
        self._since = now if self._since is None else self._since
        if now > self._until:  # and not another worker that was ended with the first
            self._wait = min(_LONGEST_WAIT, max(_FIRST_WAIT, 2 * self._wait))
            self._until = now + self._wait
        return self._wait

    def works(self) -> None:
        """A trial has reported an epoch."""
        self._wait, self._since = 0.0, None

    @property
    def waits(self) -> bool:
        """Whether no trial is to be handed out now."""
        return self._clock() < self._until

    @property
    def is_hopeless(self) -> bool:
        """Whether it has been so for half an hour, with no epoch in between."""
        return self._since is not None and self._clock() > self._since + _PATIENCE
