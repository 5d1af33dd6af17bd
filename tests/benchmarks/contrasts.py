"""What the tests of mean areas hold: size, coverage and power in simulated studies.

Scores are binormal: an effect of each image that all arms share, one of each arm, one of each seed;
seeds also differ in how well they separate the classes. 600 images, 117 of them positive. The share
is that of the variance which seeds make up in the difference of two arms. Beside it the method of
commit 9b36b9d, which drew images and seeds again together.

    python -m tests.benchmarks.contrasts [--studies 1000] [--before 200]
"""

import argparse
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.stats

from ablations.statistics.contrasts import Estimate, contrast
from ablations.statistics.factorial import main_effects, weights_over

POSITIVES, NEGATIVES = 117, 483
SEPARATION = 1.45  # of the classes, in standard deviations: an area of about .85
_IMAGE, _ARM, _SEED = 0.75, 0.35, 0.55  # standard deviations of the effects on a score
SD_OF_SCORES = math.sqrt(_IMAGE**2 + _ARM**2 + _SEED**2)  # within a class
AREA_PER_SEPARATION = 0.173  # slope of the area at SEPARATION
SHARES = (0.05, 0.2, 0.5)
SEEDS = (2, 3, 5, 10)
VARIANTS = ("baseline", "global-only", "concat-fusion", "gated-fusion")

Floats = npt.NDArray[np.float64]


class Rates(NamedTuple):
    """How often a test rejects, and an interval covers."""

    rejected: float
    covered: float


def simulated_study(
    rng: np.random.Generator, effects: Sequence[float | Floats], seeds: int, sd_of_seeds: float
) -> tuple[Floats, list[Floats]]:
    """Labels (n,), and scores (seeds, n) of an arm for each effect.

    Args:
        effects: what each arm adds to the area; (seeds, n) where that depends on seed and image.
        sd_of_seeds: standard deviation of the area over seeds, beside that by images.
    """
    labels = np.repeat([1.0, 0.0], [POSITIVES, NEGATIVES])
    n = len(labels)
    image = rng.normal(0, _IMAGE, n)
    arms = []
    for effect in effects:
        areas = effect + rng.normal(0, sd_of_seeds, (seeds, 1))
        separation = SEPARATION + areas / AREA_PER_SEPARATION
        noise = rng.normal(0, _ARM, n) + rng.normal(0, _SEED, (seeds, n))
        arms.append(separation * labels + image + noise)
    return labels, arms


def sd_for_share(share: float, seeds: int) -> float:
    """The standard deviation over seeds with which they make up a share of the variance."""
    rng = np.random.default_rng(9)
    errors = [contrast(*simulated_study(rng, (0, 0), seeds, 0.0), (1, -1)).error for _ in range(60)]
    by_images = float(np.mean(np.square(errors)))
    return math.sqrt(share / (1 - share) * by_images * seeds / 2)


def rates(
    method: Callable[[Floats, list[Floats]], Estimate],
    studies: int,
    *,
    effects: Sequence[float],
    truth: float,
    seeds: int,
    sd_of_seeds: float,
    alpha: float = 0.05,
) -> Rates:
    """How a method does in simulated studies whose true value is `truth`."""
    rng = np.random.default_rng(17)
    rejected = covered = 0
    for _ in range(studies):
        estimate = method(*simulated_study(rng, effects, seeds, sd_of_seeds))
        rejected += estimate.p_value < alpha
        covered += estimate.low <= truth <= estimate.high
    return Rates(rejected / studies, covered / studies)


def difference(labels: Floats, arms: list[Floats]) -> Estimate:
    """The first arm minus the second."""
    return contrast(labels, arms, (1.0, -1.0))


def effect_of(part: str) -> Callable[[Floats, list[Floats]], Estimate]:
    """The main effect of a part over the 2 x 2 of VARIANTS."""
    question = next(each for each in main_effects() if each.name == part)
    weights = weights_over(question, [(variant, "one") for variant in VARIANTS])
    assert weights is not None
    return lambda labels, arms: contrast(labels, arms, weights)


def planted(local: float, gate: float = 0.0) -> tuple[float, ...]:
    """What each of VARIANTS adds to the area where parts add so much."""
    return tuple(
        local * (variant in ("concat-fusion", "gated-fusion"))
        + gate * (variant in ("global-only", "gated-fusion"))
        for variant in VARIANTS
    )


def drawn_again(labels: Floats, arms: list[Floats], draws: int = 1000) -> Estimate:
    """The method of commit 9b36b9d: images and seeds drawn again together, Student's test."""
    rng = np.random.default_rng(0)
    positive = labels == 1
    counts = [
        rng.multinomial(n, np.full(n, 1 / n), draws).astype(np.float32)
        for n in (int(positive.sum()), int((~positive).sum()))
    ]
    means, values, by_seeds = [], [], []
    for rows in arms:
        areas = np.stack([_drawn_areas(positive, row, *counts) for row in rows], axis=1)
        drawn = max(len(rows) - 1, 1)
        weights = rng.multinomial(drawn, np.full(len(rows), 1 / len(rows)), draws) / drawn
        means.append((areas * weights).sum(axis=1))
        own = [_area(positive, row) for row in rows]
        values.append(np.mean(own))
        by_seeds.append((np.var(own, ddof=1) / len(rows), len(rows) - 1))
    value, error = values[0] - values[1], float((means[0] - means[1]).std(ddof=1))
    by_images = max(error**2 - sum(part for part, _ in by_seeds), 0.0)
    parts = [*by_seeds, (by_images, int(positive.sum()) - 1)]
    df = sum(part for part, _ in parts) ** 2 / sum(part**2 / df for part, df in parts)
    half = scipy.stats.t.ppf(0.975, df) * error
    p_value = 2 * scipy.stats.t.sf(abs(value) / error, df)
    return Estimate(value, error, value - half, value + half, float(p_value), df)


def _drawn_areas(
    positive: npt.NDArray[np.bool_], row: Floats, on: npt.NDArray, off: npt.NDArray
) -> Floats:
    beats = (row[positive][:, None] > row[~positive][None]).astype(np.float32)
    return np.einsum("dn,dn->d", on @ beats, off, dtype=float) / (on[0].sum() * off[0].sum())


def _area(positive: npt.NDArray[np.bool_], row: Floats) -> float:
    return float((row[positive][:, None] > row[~positive][None]).mean())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--before", type=int, default=200, help="studies of the earlier method")
    options = parser.parse_args()
    print("difference of two arms, nothing between them; then power at a true .03")
    print("seeds share  sd of seeds    size  coverage  power | before: size  coverage  power")
    for seeds in SEEDS:
        for share in SHARES:
            sd = sd_for_share(share, seeds)
            common = {"seeds": seeds, "sd_of_seeds": sd}
            line = f"{seeds:5} {share:5.2f} {sd:12.4f}"
            for method, studies, bar in (
                (difference, options.studies, ""),
                (drawn_again, options.before, " |       "),
            ):
                null = rates(method, studies, effects=(0, 0), truth=0.0, **common)
                true = rates(method, studies, effects=(0.03, 0), truth=0.03, **common)
                line += f"{bar} {null.rejected:7.3f} {null.covered:9.3f} {true.rejected:6.3f}"
            print(line, flush=True)
    print("\nfive seeds, a planted local branch of .03, no gate")
    for sd in (0.010, 0.015, 0.020):
        common = {"effects": planted(0.03), "seeds": 5, "sd_of_seeds": sd}
        local = rates(effect_of("the local branch"), options.studies, truth=0.03, **common)
        gate = rates(effect_of("the gate"), options.studies, truth=0.0, **common)
        print(
            f"sd of seeds {sd:.3f}: local branch found in {local.rejected:.3f} (covered "
            f"{local.covered:.3f}), gate in {gate.rejected:.3f}"
        )


if __name__ == "__main__":
    main()
