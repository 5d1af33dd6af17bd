"""The best of so many search trials: its expectation, and its quantiles."""

import numpy as np
import numpy.typing as npt

from ablations.statistics.areas import Floats


def expected_best(values: npt.ArrayLike, budget: int) -> Floats:
    """Expected highest validation figure after 1, 2, ... trials drawn from those that were run.

    Dodge et al., "Show Your Work" (2019), equation 2: of the empirical distribution, with
    replacement.

    Args:
        values: (n,) of the trials.
        budget: most trials.
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    shares = np.arange(len(ordered) + 1) / len(ordered)
    powers = shares[None, :] ** np.arange(1, budget + 1)[:, None]
    return np.diff(powers, axis=1) @ ordered


def best_quantile(values: npt.ArrayLike, budget: int, quantile: float) -> Floats:
    """The quantile of the highest validation figure after 1, 2, ... drawn trials.

    Args:
        values: (n,) of the trials, drawn with replacement as for `expected_best`.
        budget: most trials.
        quantile: above 0, to 1.
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    # All of k draws lie at or below the i-th smallest with probability (i / n)^k.
    shares = quantile ** (1 / np.arange(1, budget + 1))
    return ordered[np.ceil(shares * len(ordered) - 1e-9).astype(int) - 1]
