"""What is found before anything starts."""

import pytest
import torch

from masll.common.errors import InputError
from tuning.checks import check_machine
from tuning.options import resolve


@pytest.fixture
def driver_too_old(monkeypatch):
    """NVML counts eight GPUs, and CUDA can use none."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("driver_too_old")
def test_gpus_that_cuda_cannot_use_are_refused_before_a_study_begins_and_not_if_none_is_asked_for():
    for asked in ({}, {"num_gpus": 2}, {"gpus_per_trial": "0.5"}, {"gpus_per_trial": "auto"}):
        with pytest.raises(InputError, match=r"no GPU can be used on .* or say --num-gpus 0"):
            check_machine(resolve(asked))
    check_machine(resolve({"num_gpus": 0}))
