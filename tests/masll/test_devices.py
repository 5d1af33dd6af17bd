"""Which device works for whom: GPUs that Ray and NVML count, and CUDA cannot use."""

import platform

import pytest
import torch
from torch import nn

from masll import VARIANTS, ModelConfig, build_model
from masll.common.errors import InputError
from masll.devices import check_cuda, find_device, find_devices, find_gpu, lay_out


class Card:
    """Properties of a GPU as CUDA tells them."""

    def __init__(self, major: int, minor: int) -> None:
        self.major, self.minor = major, minor


HOPPER = Card(9, 0)


@pytest.fixture
def counted(monkeypatch):
    """A machine where NVML counts eight GPUs; the driver's entry points answer as a test says."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.setattr(torch.cuda, "_is_compiled", lambda: True)

    def answer(usable: int, problem: str = "", card: Card = HOPPER) -> None:
        def start() -> None:
            if problem:
                raise RuntimeError(problem)

        monkeypatch.setattr(torch._C, "_cuda_getDeviceCount", lambda: usable, raising=False)
        monkeypatch.setattr(torch.cuda, "init", start)
        monkeypatch.setattr(torch.cuda, "_lazy_init", start)
        monkeypatch.setattr(torch.cuda, "_get_device_properties", lambda _: card, raising=False)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _=None: card)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _=None: "Tesla V100")
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_90", "sm_120"])
        monkeypatch.setattr(torch.version, "cuda", "13.0")

    return answer


def test_a_driver_too_old_for_the_wheel_is_one_line_with_node_reason_and_need(counted):
    counted(0, "The NVIDIA driver on your system is too old (found version 12040). Please update")
    with pytest.raises(InputError) as worker:
        find_gpu()
    with pytest.raises(InputError) as driver:
        check_cuda()
    assert "The NVIDIA driver on your system is too old (found version 12040)" in str(worker.value)
    for error in (worker, driver):
        text = str(error.value)
        assert platform.node() in text and "\n" not in text and "Please update" not in text
        assert "needs a driver for CUDA 13.0, 580 or newer, or say --num-gpus 0" in text


def test_a_gpu_older_than_the_wheel_takes_is_one_line_too(counted):
    counted(8, card=Card(7, 0))
    with pytest.raises(InputError, match=r"Tesla V100 has compute capability 7\.0, below 7\.5"):
        find_gpu()


def test_a_gpu_that_works_is_named_with_its_index(counted):
    counted(8)
    check_cuda()
    assert find_gpu() == torch.device("cuda", 0)


def test_a_pytorch_without_cuda_says_so(monkeypatch):
    def start() -> None:
        raise AssertionError("Torch not compiled with CUDA enabled")

    monkeypatch.setattr(torch.cuda, "init", start)
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(InputError, match=r"not compiled with CUDA.* has no CUDA; install a wheel"):
        find_gpu()


def test_a_machine_without_gpus_is_no_error_and_trains_on_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    check_cuda()
    assert find_device() == torch.device("cpu")
    with pytest.raises(InputError, match="device 'all' means every GPU, and there is none; use"):
        find_devices("all")


def test_several_devices_are_named_with_commas():
    assert find_devices("cpu") == [torch.device("cpu")]
    assert find_devices("cpu,cpu") == [torch.device("cpu")] * 2
    with pytest.raises(InputError, match="no device 'tpu' here"):
        find_devices("cpu,tpu")


CPU = torch.device("cpu")


def a_network(variant: str = "baseline") -> nn.Module:
    torch.manual_seed(0)
    return build_model(ModelConfig(variant, "mobilenetv3_small_050", False, image_size=32))


def drawn(count: int) -> torch.Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def kernels_of_pytorch(network: nn.Module) -> set[str]:
    """Those in which a batch of 15 was convolved, but for oneDNN's."""
    with torch.profiler.profile() as profile:
        network(drawn(15)).logits.sum().backward()
    return {event.key for event in profile.key_averages() if "slow_conv" in event.key}


def test_no_convolution_of_a_small_batch_on_one_thread_falls_to_pytorchs_own_kernels():
    laid_out = lay_out(a_network(), CPU)
    if {layer.dilation for layer in pointwise(laid_out)} == {(1, 1)}:
        pytest.skip("PyTorch's own kernels are the fast ones on this machine")
    if not kernels_of_pytorch(a_network()):
        pytest.skip("PyTorch has learned it: lay_out() need say nothing any more")
    assert not kernels_of_pytorch(laid_out)


def passes(network: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and all gradients in one row."""
    logits = network.eval()(drawn(4)).logits  # what a batch norm makes of four images is all noise
    logits.sum().backward()
    gradients = [each.grad for each in network.parameters() if each.grad is not None]
    return logits, torch.cat([each.flatten() for each in gradients])


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_network_that_is_laid_out_computes_the_same_with_weights_of_the_same_names(variant):
    plain, laid_out = a_network(variant), lay_out(a_network(variant), CPU)
    assert [*laid_out.state_dict()] == [*plain.state_dict()]
    for one, other in zip(passes(plain), passes(laid_out), strict=True):
        assert (one - other).norm() < 1e-5 * one.norm()


def pointwise(network: nn.Module, *, are: bool = True) -> list[nn.Conv2d]:
    convolutions = [each for each in network.modules() if isinstance(each, nn.Conv2d)]
    return [each for each in convolutions if (each.kernel_size == (1, 1)) == are]


@pytest.mark.parametrize("cpu", ["AVX512", "AVX2", "DEFAULT", "SVE256"])
def test_convolutions_of_one_tap_are_dilated_on_cpus_with_kernels_for_them_and_nowhere_else(
    cpu, monkeypatch
):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: cpu)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    network = lay_out(a_network(), CPU)
    said = (2, 2) if cpu.startswith("AVX") else (1, 1)
    assert {layer.dilation for layer in pointwise(network)} == {said}
    assert {layer.dilation for layer in pointwise(network, are=False)} == {(1, 1)}
    lay_out(network, torch.device("meta"))  # any other device
    assert {layer.dilation for layer in pointwise(network)} == {(1, 1)}
