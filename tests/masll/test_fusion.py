"""WFI against equations 4 to 6 written out."""

import math

import torch

from masll.fusion import WeightedFeatureIntegration


def test_the_gate_is_equations_4_to_6():
    gate = WeightedFeatureIntegration(3)
    torch.nn.init.normal_(gate.weigh.weight)
    features = torch.randn(2, 3)
    weight, bias = gate.weigh.weight.tolist(), gate.weigh.bias.tolist()
    for given, got in zip(features.tolist(), gate(features)[0].tolist(), strict=True):
        for c in range(3):
            mu = sum(weight[c][k] * given[k] for k in range(3)) + bias[c]
            expected = given[c] / (1 + math.exp(-mu)) + given[c]
            assert math.isclose(got[c], expected, rel_tol=1e-5, abs_tol=1e-6)


def test_gating_the_pooled_vector_equals_pooling_the_gated_map():
    gate = WeightedFeatureIntegration(4)
    features = torch.randn(2, 4, 5, 5)
    pooled = features.mean(dim=(2, 3))
    weights = torch.sigmoid(gate.weigh(pooled))[..., None, None]
    gated_map = weights * features + features
    torch.testing.assert_close(gate(pooled)[0], gated_map.mean(dim=(2, 3)))


def test_a_new_gate_leaves_features_nearly_as_they_are():
    features = torch.randn(2, 8)
    ratio = WeightedFeatureIntegration(8)(features)[0] / features
    assert (ratio > 1).all() and (ratio < 1.2).all()
