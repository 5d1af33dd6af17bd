"""The examples in docstrings do what they say."""

import doctest
import importlib

import grimp
import pytest

PACKAGES = ("masll", "tuning", "ablations")
MODULES = sorted(
    name
    for name in grimp.build_graph(*PACKAGES, cache_dir=None).modules
    if not name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_the_public_functions_have_examples():
    from ablations import statistics
    from masll import localization, metrics

    for function in (
        metrics.binary_metrics,
        localization.threshold_mask,
        localization.mask_to_box,
        localization.crop_and_resize,
        statistics.auc_confidence_interval,
        statistics.delong_test,
        statistics.holm,
    ):
        assert ">>>" in function.__doc__, function.__name__
