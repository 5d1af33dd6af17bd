"""The device that trains, how a network lies on it, and the memory of a process on the CPU."""

import contextlib
import ctypes
import platform
import re
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import torch
from torch import nn

from masll.common.errors import InputError

# The oldest drivers on Linux by CUDA's major version (NVIDIA, CUDA compatibility).
_DRIVERS = {"12": "525", "13": "580"}
_Network = TypeVar("_Network", bound=nn.Module)
_DEVICE = "cpu|mps|cuda(:[0-9]{1,3})?"


def find_device(name: str = "auto") -> torch.device:
    """`auto` is the first GPU, or the CPU where there is none.

    Raises:
        InputError: PyTorch has no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    refusal = InputError(f"no device '{name}' here; use auto or cpu")
    if not re.fullmatch(_DEVICE, name):
        raise refusal
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError) as error:
        raise refusal from error
    return device


def find_devices(names: str = "auto") -> list[torch.device]:
    """Several devices, as `cuda:0,cuda:1` or `all` GPUs; or the one that `find_device` means.

    Raises:
        InputError: PyTorch has one of them not here, or `all` are none.
    """
    if names == "all":
        names = ",".join(f"cuda:{number}" for number in range(torch.cuda.device_count()))
        if not names:
            raise InputError("device 'all' means every GPU, and there is none; use auto or cpu")
    return [find_device(name) for name in names.split(",")]


def find_gpu() -> torch.device:
    """The first GPU that this process may use, for work that was promised one.

    Ray and NVML count GPUs by what the machine has; whether CUDA can use one is another question,
    and a driver that is too old would let everything run on the CPU in silence.

    Raises:
        InputError: CUDA cannot use it; names the machine, the driver's fault and what is needed.
    """
    try:
        torch.cuda.init()
        capability = torch.cuda.get_device_capability()
    except (AssertionError, RuntimeError) as error:  # the first: PyTorch without CUDA
        raise InputError(_no_cuda(str(error).partition(". ")[0].strip("."))) from error
    oldest = min((_capability(arch) for arch in torch.cuda.get_arch_list()), default=(0, 0))
    if capability < oldest:
        mine, needed = ("{}.{}".format(*each) for each in (capability, oldest))
        name = torch.cuda.get_device_name()
        raise InputError(_no_cuda(f"{name} has compute capability {mine}, below {needed}"))
    return torch.device("cuda", torch.cuda.current_device())


def gpu_number(device: torch.device) -> int:
    """Which of this process's GPUs a device is, from 0; `cuda` is the current one."""
    return torch.cuda.current_device() if device.index is None else device.index


def check_cuda() -> None:
    """Raise `InputError` where NVML counts GPUs that CUDA cannot use. Opens none of them."""
    if torch.cuda.device_count() and not torch.cuda.is_available():
        raise InputError(_no_cuda("CUDA finds none that its driver can use"))


def _no_cuda(reason: str) -> str:
    version = torch.version.cuda
    needs = "PyTorch here has no CUDA; install a wheel that has"
    if version is not None:
        driver = _DRIVERS.get(version.partition(".")[0])
        newer = f", {driver} or newer" if driver else ""
        needs = f"PyTorch here needs a driver for CUDA {version}{newer}"
    return f"no GPU can be used on {platform.node()}: {reason}; {needs}, or say --num-gpus 0"


def _capability(arch: str) -> tuple[int, int]:
    """
    >>> _capability("sm_75"), _capability("sm_120")
    ((7, 5), (12, 0))
    """
    digits = re.sub(r"\D", "", arch)
    return int(digits[:-1]), int(digits[-1])


def lay_out(network: _Network, device: torch.device) -> _Network:
    """The network itself, moved to a device and in the form that computes fastest there.

    Channels last; and on a CPU 1 x 1 convolutions are said to be dilated, which means nothing where
    there is one tap. PyTorch hands batches of 2 to 15, on one thread, to oneDNN only if a
    convolution is strided or dilated or wider (`ConvParams::use_mkldnn` in ATen's Convolution.cpp),
    and its own code takes longer wherever oneDNN has kernels for 1 x 1: from AVX2 on.
    """
    by_onednn = (
        device.type == "cpu"
        and torch.backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
    )
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1):
            layer.dilation = (2, 2) if by_onednn else (1, 1)
    return network.to(device).to(memory_format=torch.channels_last)


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Full precision for what stands inside, whatever mixed precision stands around it."""
    if device.type == "meta":  # which computes shapes only, and knows no autocast
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)


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
