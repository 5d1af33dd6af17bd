"""A trial on a GPU, as far as PyTorch's own argument checks go; only the driver is faked."""

import pytest
import torch

from masll.common.errors import InputError
from masll.data.options import DataOptions
from tuning import trial_run
from tuning.job import Job
from tuning.recipe import Recipe
from tuning.study.arm import Arm
from tuning.study.trial import Stage, Trial
from tuning.trial_report import Node
from tuning.trial_run import TrialRun, _hold_to_share

TRIAL = Trial(Arm("baseline", "test_resnet"), Stage.SEARCH, 0, 0, {})


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


@pytest.fixture
def job(tmp_path) -> Job:
    recipe = Recipe(epochs=1, batch_size=4, image_size=32, source_size=32, pretrained=False)
    return Job("", None, DataOptions(), "", str(tmp_path), recipe, 1)


def test_a_share_of_a_gpu_is_a_share_of_its_memory_less_cuda_s_own(fractions):
    _hold_to_share(0.25, torch.device("cuda", 0))
    ((fraction, device),) = fractions
    assert device == 0 and 0.24 < fraction < 0.25


def test_a_whole_gpu_is_not_held_to_anything(fractions):
    _hold_to_share(1.0, torch.device("cuda", 0))
    assert fractions == []


class StopHereError(Exception):
    """As far as a test goes."""


def test_a_trial_without_a_share_runs_on_the_cpu_even_where_ray_shows_it_a_gpu(
    job, monkeypatch, fractions
):
    def build(_: TrialRun, device: torch.device) -> None:
        asked.append(device)
        raise StopHereError

    asked: list[torch.device] = []
    gpu = torch.device("cuda", 0)
    monkeypatch.setattr(trial_run, "find_gpu", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: None)
    monkeypatch.setattr(TrialRun, "_training_run", build)
    for share, expected in ((0.0, torch.device("cpu")), (0.25, gpu), (1.0, gpu)):
        with pytest.raises(StopHereError):
            TrialRun(job, TRIAL, None, None, Node("here"), share)
        assert asked[-1] == expected
    assert len(fractions) == 1


def test_a_share_of_a_gpu_that_cuda_cannot_use_fails_the_trial_instead_of_training_on_the_cpu(job):
    assert not torch.cuda.is_available()
    with pytest.raises(InputError, match=r"no GPU can be used on .* or say --num-gpus 0"):
        TrialRun(job, TRIAL, None, None, Node("here"), 0.5)
