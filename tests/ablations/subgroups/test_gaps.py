"""Gaps between subgroups: found as often as planned, and seldom where there are none."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from ablations.statistics import contrast
from ablations.statistics.planning import (
    Assumptions,
    Design,
    PlannedGroup,
    auc_variance,
    expected_detectable,
    images_for,
    seeds_for,
)
from ablations.subgroups.gaps import comparisons, gaps_of
from ablations.subgroups.grouping import UNKNOWN, Grouping
from ablations.subgroups.images import LEAST, Division, Group
from tests.benchmarks.contrasts import (
    AREA_PER_SEPARATION,
    NEGATIVES,
    POSITIVES,
    SD_OF_SCORES,
    SEPARATION,
    simulated_study,
)

SEEDS, SD = 5, 0.015
LABELS = np.repeat([1, 0], [POSITIVES, NEGATIVES])
WOMEN = np.arange(len(LABELS)) % 2 == 0
AREA = float(scipy.stats.norm.cdf(SEPARATION / SD_OF_SCORES / math.sqrt(2)))
REFERENCES = {f"arm {number}": "whole" for number in range(2)}
LEVEL = 1 - 0.05 / len(REFERENCES)  # Holm's first step
STUDIES = 200


def group(name: str, rows: np.ndarray) -> Group:
    return Group(name, rows, int(LABELS[rows].sum()))


BY_SEX = Division(Grouping("sex"), [group("female", WOMEN), group("male", ~WOMEN)])


def planned() -> tuple[Design, Assumptions]:
    """Of one gap, with what the variance of the simulated studies depends on."""
    rng = np.random.default_rng(1)
    pairs = [simulated_study(rng, (0, 0), SEEDS, 0.0) for _ in range(60)]
    apart = float(np.mean([contrast(*pair, (1, -1)).error ** 2 for pair in pairs]))
    correlation = 1 - apart / (2 * auc_variance(AREA, POSITIVES, NEGATIVES))
    groups = tuple(
        PlannedGroup(weight, each.melanomas, each.images - each.melanomas)
        for weight, each in zip((1.0, -1.0), BY_SEX.groups, strict=True)
    )
    design = Design((1.0, -1.0), POSITIVES, NEGATIVES, SEEDS, LEVEL, groups)
    return design, Assumptions(AREA, correlation, SD)


def effect(change: float) -> float:
    """What `simulated_study` has to add for exactly such a change of the area."""
    separation = scipy.stats.norm.ppf(AREA + change) * SD_OF_SCORES * math.sqrt(2)
    return float(separation - SEPARATION) * AREA_PER_SEPARATION


def simulated_gaps(gap: float, assumed: Assumptions) -> Iterator[pd.DataFrame]:
    """Studies in which the first arm is worse in women, and each seed is a bit so, too, or better.

    Args:
        gap: of the first arm; the others have none.
    """
    rng = np.random.default_rng(2)
    planted = np.where(WOMEN, effect(-gap / 2), effect(gap / 2))
    by_group = SD * math.sqrt(assumed.seeds_by_group)
    common = SD * math.sqrt(1 - assumed.seeds_by_group)
    for _ in range(STUDIES):
        own = rng.normal(
            0, by_group, (len(REFERENCES) + 1, 2, SEEDS, 1)
        )  # of each arm in either group
        effects = [np.where(WOMEN, of_women, of_men) for of_women, of_men in own]
        effects[0] = effects[0] + planted
        _, arms = simulated_study(rng, effects, SEEDS, common)
        scores = dict(zip([*REFERENCES, "whole"], arms, strict=True))
        yield gaps_of(LABELS, scores, REFERENCES, [BY_SEX])


@pytest.mark.slow
def test_a_planted_gap_of_the_planned_size_is_found_four_times_in_five():
    design, assumed = planned()
    seen = expected_detectable(design, assumed)
    tables = list(simulated_gaps(seen, assumed))
    found = [table["p_holm"][0] < 0.05 for table in tables]
    assert 0.74 < np.mean(found) < 0.87  # two standard errors of 200 simulations
    assert np.mean([table["detectable"][0] for table in tables]) == pytest.approx(seen, rel=0.1)
    covered = [table["gap_low"][0] <= -seen <= table["gap_high"][0] for table in tables]
    assert np.mean(covered) > 0.91


@pytest.mark.slow
def test_an_absent_gap_is_found_in_at_most_seven_per_cent():
    tables = simulated_gaps(0.0, Assumptions())
    assert np.mean([(table["p_holm"] < 0.05).any() for table in tables]) <= 0.07


def test_more_seeds_or_images_see_smaller_gaps():
    design, assumed = planned()
    seen = expected_detectable(design, assumed)
    whole = expected_detectable(design._replace(groups=()), assumed)
    assert seen > 1.5 * whole, "half the images on either side"
    seeds = seeds_for(0.97 * seen, design, assumed)
    assert expected_detectable(design._replace(seeds=seeds), assumed) <= 0.97 * seen
    images = images_for(0.8 * seen, design, assumed)
    times = images / len(LABELS)
    groups = tuple(PlannedGroup(u, round(times * p), round(times * n)) for u, p, n in design.groups)
    larger = design._replace(groups=groups)
    assert expected_detectable(larger, assumed) == pytest.approx(0.8 * seen, rel=0.02)


def test_two_groups_are_compared_once_and_of_three_each_with_the_others():
    rows = [np.arange(len(LABELS)) % 3 == rest for rest in range(3)]
    three = Division(
        Grouping("site"), [group(name, r) for name, r in zip("abc", rows, strict=True)]
    )
    assert [(one.name, [g.name for g in others]) for one, others in comparisons(three)] == [
        ("a", ["b", "c"]),
        ("b", ["a", "c"]),
        ("c", ["a", "b"]),
    ]
    assert [one.name for one, _ in comparisons(BY_SEX)] == ["female"]
    scores = dict(
        zip(
            ["arm 0", "whole"],
            simulated_study(np.random.default_rng(0), (0, 0), 2, 0)[1],
            strict=True,
        )
    )
    table = gaps_of(LABELS, scores, {"arm 0": "whole"}, [three, BY_SEX])
    assert list(table["minus"]) == [*["the others"] * 3, "male"]
    in_groups = [
        contrast(LABELS[r], [scores["arm 0"][:, r], scores["whole"][:, r]], (1, -1)).value
        for r in rows
    ]
    others = np.average(in_groups[1:], weights=[rows[1].sum(), rows[2].sum()])
    assert table["delta_auc"][0] == pytest.approx(in_groups[0])
    assert table["minus_delta_auc"][0] == pytest.approx(others)
    assert table["gap"][0] == pytest.approx(in_groups[0] - others)
    assert (table["p_holm"] >= table["p_value"]).all()
    assert table["p_holm"].min() == pytest.approx(min(1, 4 * table["p_value"].min()))


def test_what_is_small_or_not_known_is_compared_with_nothing():
    few = np.zeros(len(LABELS), dtype=bool)
    few[: LEAST - 1] = few[-100:] = True  # one melanoma too few
    enough = few.copy()
    enough[LEAST - 1] = True
    assert not group("few", few).large_enough and group("enough", enough).large_enough
    small = Division(Grouping("site"), [group("few", few), group("rest", ~few)])
    unknown = Division(Grouping("site"), [group(UNKNOWN, enough), group("rest", ~enough)])
    assert comparisons(small) == comparisons(unknown) == []
    assert gaps_of(LABELS, {}, {}, [small, unknown]).empty
