"""WFI against equations 4 to 6 written out."""

import math

import pytest
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
            assert math.isclose(got[c], expected / 1.5, rel_tol=1e-5, abs_tol=1e-6)


def test_gating_the_pooled_vector_equals_pooling_the_gated_map():
    gate = WeightedFeatureIntegration(4)
    features = torch.randn(2, 4, 5, 5)
    pooled = features.mean(dim=(2, 3))
    weights = torch.sigmoid(gate.weigh(pooled))[..., None, None]
    gated_map = (weights * features + features) * gate.factor
    torch.testing.assert_close(gate(pooled)[0], gated_map.mean(dim=(2, 3)))


@pytest.mark.parametrize("bias", [-3.0, 0.0, 2.0])
def test_a_new_gate_hands_on_features_of_the_size_that_concatenation_does(bias):
    features = torch.rand(200, 64)
    ratio = WeightedFeatureIntegration(64, bias)(features)[0] / features
    assert ratio.mean().item() == pytest.approx(1, abs=0.1)


def test_a_new_gate_has_its_full_slope_and_differs_between_images():
    fusion = WeightedFeatureIntegration(64)
    features = torch.rand(200, 64)
    _, gate = fusion(features)
    slope = torch.autograd.grad(gate.sum(), fusion.weigh.bias)[0] / len(features)
    assert slope.mean().item() == pytest.approx(0.25, abs=0.02)
    assert gate.std(dim=0).mean() > 0.01


def test_a_classifier_of_scaled_weights_takes_the_factor_back():
    fusion, classifier = WeightedFeatureIntegration(8), torch.nn.Linear(8, 2)
    features = torch.randn(5, 8)
    fused, gate = fusion(features)
    as_in_the_paper = gate * features + features
    weight = classifier.weight * fusion.factor
    again = torch.nn.functional.linear(as_in_the_paper, weight, classifier.bias)
    torch.testing.assert_close(classifier(fused), again)


def test_the_gate_of_earlier_versions_starts_almost_shut_and_alike_for_all_images():
    features = torch.randn(2, 8)
    fused, gate = WeightedFeatureIntegration(8, -3.0, scaled=False)(features)
    torch.testing.assert_close(gate, torch.full((2, 8), 1 / (1 + math.exp(3))))
    torch.testing.assert_close(fused, features * (1 + 1 / (1 + math.exp(3))))
