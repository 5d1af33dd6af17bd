"""The device that trains, and the memory of a process that trains on the CPU."""

import contextlib
import ctypes
from contextlib import AbstractContextManager
from typing import Any

import torch

from masll.common.errors import InputError


def find_device(name: str = "auto") -> torch.device:
    """`auto` is the first GPU, or the CPU where there is none.

    Raises:
        InputError: PyTorch has no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError) as error:
        raise InputError(f"no device '{name}' here; use auto or cpu") from error
    return device


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Full precision for what stands inside, whatever mixed precision stands around it."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return contextlib.nullcontext()  # on the meta device, which computes shapes only


def keep_freed_memory() -> None:
    """Let the C library keep what a training step frees for the next one, for the whole process.

    By default glibc hands large tensors back to the system and asks for them again, page by page:
    a quarter of a step's time on the CPU. Elsewhere than on glibc this does nothing. Commands that
    train call it; the library does not.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return
    for parameter, value in (
        (-4, 0),  # M_MMAP_MAX: no mappings of their own for large blocks
        (-1, 2**31 - 1),  # M_TRIM_THRESHOLD: do not shrink the heap
        (-2, 64 * 2**20),  # M_TOP_PAD: grow it in large steps
    ):
        libc.mallopt(parameter, value)
