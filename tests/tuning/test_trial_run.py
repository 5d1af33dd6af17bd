"""A trial on a GPU, as far as PyTorch's own argument checks go; only the driver is faked."""

import pytest
import torch

from tuning import trial_run
from tuning.trial_run import _hold_to_share


class Card:
    total_memory = 80 * 2**30


@pytest.fixture
def fractions(monkeypatch) -> list[tuple[float, int]]:
    """What reaches CUDA of `set_per_process_memory_fraction`."""
    seen: list[tuple[float, int]] = []
    monkeypatch.setattr(torch.cuda.memory, "_lazy_init", lambda: None)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Card())
    monkeypatch.setattr(
        torch._C,
        "_cuda_setMemoryFraction",
        lambda fraction, device: seen.append((fraction, device)),
        raising=False,
    )
    return seen


def test_a_share_of_a_gpu_is_a_share_of_its_memory_less_cuda_s_own(fractions):
    _hold_to_share(0.25, torch.device("cuda"))
    ((fraction, device),) = fractions
    assert device == 0 and 0.24 < fraction < 0.25


def test_a_whole_gpu_is_not_held_to_anything(fractions):
    _hold_to_share(1.0, torch.device("cuda"))
    assert fractions == []


def test_a_trial_without_a_share_runs_on_the_cpu_even_where_ray_shows_it_a_gpu(monkeypatch):
    asked: list[str] = []

    def find_device(name: str = "auto") -> torch.device:
        asked.append(name)
        raise KeyboardInterrupt  # as far as this goes

    monkeypatch.setattr(trial_run, "find_device", find_device)
    for share, expected in ((0.0, "cpu"), (0.25, "auto"), (1.0, "auto")):
        with pytest.raises(KeyboardInterrupt):
            trial_run.TrialRun(None, None, None, None, None, share)
        assert asked[-1] == expected
