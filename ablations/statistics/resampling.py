"""Figures of classifiers on images drawn again: intervals for what has no formula of its own.

Images are drawn with replacement within each class (a stratified bootstrap), the same for every
model, so that differences are paired. Where images belong together (of one lesion or patient),
whole groups are drawn, within those of positives, of negatives, and of both. The first draw is the
sample itself, with the figures as they are. How they vary over draws is the images' part of the
variance; the seeds' part is added as for areas (see `variance`).
"""

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.special

from ablations.statistics.areas import Floats, checked
from ablations.statistics.calibration import (
    calibration,
    equal_bins,
    logistic_fit,
    score_logits,
)
from ablations.statistics.contrasts import Estimate, estimate
from ablations.statistics.decisions import worth_of_referring
from ablations.statistics.grouped import fewest_units, members, numbered
from ablations.statistics.variance import SeedPart, t_quantile, total_variance
from masll.metrics import ends_of_ties

DRAWS = 1000
LEAST_SENSITIVITY = 0.8  # of the partial area
NET_BENEFIT_AT = (0.05, 0.1, 0.2, 0.3, 0.5)  # probabilities at which somebody would be referred


class DrawnImages:
    """The images of a test set, drawn again.

    Args:
        labels: (n,) of 0 and 1.
        draws: beside the sample itself.
        groups: (n,), equal for images of one lesion or patient; None where all are independent.
    """

    def __init__(
        self,
        labels: npt.ArrayLike,
        draws: int = DRAWS,
        seed: int = 0,
        groups: npt.ArrayLike | None = None,
    ) -> None:
        self.positive, _ = checked(labels)
        self._members = members(self.positive, groups)
        units = numbered(groups, len(self.positive))  # (n,)
        ill, well = self.positive, ~self.positive  # of units
        if units is not None:
            ill, well = (np.bincount(units, each) > 0 for each in (ill, well))
        rng = np.random.default_rng(seed)
        counts = np.ones((draws + 1, len(ill)), dtype=np.float32)
        for kind in (ill, ~ill):  # a unit with both kinds of images varies with the ill
            rows = np.flatnonzero(kind)
            if rows.size:
                drawn = rng.multinomial(rows.size, np.full(rows.size, 1 / rows.size), draws)
                counts[1:, rows] = drawn
        # How often each image was drawn: (draws + 1, n)
        self.counts = counts if units is None else counts[:, units]

    @property
    def both_classes(self) -> bool:
        return bool(self.positive.any() and not self.positive.all())

    @cached_property
    def image_df(self) -> int:
        """Degrees of freedom of the images: those of the rarer class, or of its groups."""
        return fewest_units(self.positive, self._members) - 1

    @cached_property
    def totals(self) -> Floats:
        """Images in each draw, as many as there are unless groups are drawn: (draws + 1,)."""
        return np.asarray(self.counts.sum(axis=1, dtype=np.float64))

    def share(self, of: npt.NDArray[np.bool_], among: npt.NDArray[np.bool_]) -> Floats:
        """Share of some images among others, in each draw: (draws + 1,)."""
        whole = self.counts[:, among].sum(axis=1)
        with np.errstate(invalid="ignore"):
            return np.asarray(self.counts[:, of & among].sum(axis=1) / whole, dtype=float)

    def decided(self, scores: Floats, threshold: float) -> dict[str, Floats]:
        """Sensitivity and specificity where a score >= threshold is called positive."""
        called = scores >= threshold
        return {
            "sen": self.share(called, self.positive),
            "spe": self.share(~called, ~self.positive),
        }


class DrawnModel:
    """Figures of one model, each over the draws: (draws + 1,), its own value first.

    Args:
        images: what it was tested on.
        scores: (n,) probabilities.
    """

    def __init__(self, images: DrawnImages, scores: npt.ArrayLike) -> None:
        self.images = images
        self.scores = np.asarray(scores, dtype=float).ravel()
        order = np.argsort(-self.scores, kind="stable")
        ends_tie = ends_of_ties(self.scores[order])
        counts, positive = images.counts[:, order], images.positive[order]
        # Exact: counts in float32 are whole numbers below 2**24.
        self._hits = np.cumsum(counts * positive, axis=1)[:, ends_tie]
        self._alarms = np.cumsum(counts * ~positive, axis=1)[:, ends_tie]
        self._n_positive, self._n_negative = self._hits[:, -1:], self._alarms[:, -1:]

    def figures(self) -> dict[str, Floats]:
        """Every figure of the report that needs no threshold from elsewhere, by its name.

        A draw without a negative image, as there may be where groups hold both kinds, has none.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            found = self._figures()
        if not self.images.both_classes:
            return found
        one_class = self._n_negative[:, 0] == 0
        return {name: np.where(one_class, math.nan, values) for name, values in found.items()}

    def _figures(self) -> dict[str, Floats]:
        right = (self.scores >= 0.5) == self.images.positive
        everything = np.ones_like(self.images.positive)
        return {
            "acc": self.images.share(right, everything),
            **self.images.decided(self.scores, 0.5),
            **{f"sen_at_spe_{round(100 * s)}": self.sensitivity_at(s) for s in (0.95, 0.90, 0.85)},
            "average_precision": self.average_precision(),
            "partial_auc": self.partial_area(LEAST_SENSITIVITY),
            "brier": self.brier(),
            **self.calibrated(),
            **{f"net_benefit_{round(100 * t)}": self.net_benefit(t) for t in NET_BENEFIT_AT},
        }

    def sensitivity_at(self, specificity: float) -> Floats:
        """The highest sensitivity on the curve whose specificity is at least that."""
        if not self.images.both_classes:
            return np.full(len(self._hits), math.nan)
        reached = (self._n_negative - self._alarms) / self._n_negative >= specificity
        last = reached.sum(axis=1)  # the curve falls: these are the first points
        hits = np.concatenate([np.zeros_like(self._n_positive), self._hits], axis=1)
        return np.asarray(hits[np.arange(len(hits)), last] / self._n_positive[:, 0], dtype=float)

    def average_precision(self) -> Floats:
        """Mean precision over the melanomas: sum of precision x gain in sensitivity."""
        if not self.images.both_classes:
            return np.full(len(self._hits), math.nan)
        called = self._hits + self._alarms
        precision = self._hits / np.maximum(called, 1)
        gains = np.diff(self._hits, axis=1, prepend=0)
        return np.asarray((precision * gains).sum(axis=1) / self._n_positive[:, 0], dtype=float)

    def partial_area(self, least_sensitivity: float) -> Floats:
        """Area under the part of the curve whose sensitivity is high; see `areas.partial_auc`."""
        if not self.images.both_classes:
            return np.full(len(self._hits), math.nan)
        start = np.zeros_like(self._n_positive)
        x = np.concatenate([start, self._hits / self._n_positive], axis=1)
        y = np.concatenate([start + 1, 1 - self._alarms / self._n_negative], axis=1)
        # Each segment's part to the right of the least sensitivity, as a trapezium.
        left, right = x[:, :-1], x[:, 1:]
        width = right - left
        with np.errstate(divide="ignore", invalid="ignore"):
            cut = np.where(width > 0, ((least_sensitivity - left) / width).clip(0, 1), 1.0)
        begin = y[:, :-1] + cut * np.diff(y, axis=1)
        area = (width * (1 - cut) * (begin + y[:, 1:]) / 2).sum(axis=1, dtype=float)
        return np.asarray(area / (1 - least_sensitivity))

    def brier(self) -> Floats:
        """Mean squared difference of probability and outcome (Brier 1950)."""
        squares = (self.scores - self.images.positive) ** 2
        return np.asarray(self.images.counts @ squares / self.images.totals, dtype=float)

    def net_benefit(self, threshold: float) -> Floats:
        """Melanomas found less false alarms at the threshold's odds, per image (Vickers 2006)."""
        worth = worth_of_referring(self.images.positive, self.scores, threshold)
        return np.asarray(self.images.counts @ worth / self.images.totals, dtype=float)

    def calibrated(self) -> dict[str, Floats]:
        """Intercept and slope by their influence functions, the expected error by its bins."""
        outcome = self.images.positive.astype(float)
        own = calibration(outcome, self.scores)
        counts, n = self.images.counts, len(outcome)
        logits = score_logits(self.scores)
        names = ("intercept", "slope", "ece")
        drawn = {name: np.full(len(counts), value) for name, value in zip(names, own, strict=True)}
        if not self.images.both_classes:
            return drawn
        shifted = logits + own.intercept
        drawn["intercept"] += (counts - 1) @ _influence(np.ones((n, 1)), shifted, outcome)
        if not math.isnan(own.slope):
            slope, offset = logistic_fit(logits, self.images.positive)
            both = np.stack([logits, np.ones(n)], axis=1)
            drawn["slope"] += (counts - 1) @ _influence(both, slope * logits + offset, outcome)
        bin_of = equal_bins(self.scores)
        gaps = [
            np.abs(counts[:, rows] @ (self.scores - outcome)[rows])
            for rows in (np.flatnonzero(bin_of == each) for each in np.unique(bin_of))
        ]
        drawn["ece"] = np.sum(gaps, axis=0) / self.images.totals
        return drawn


def _influence(x: Floats, logits: Floats, outcome: Floats) -> Floats:
    """What each image adds to the first coefficient of a logistic fit: (n, k) -> (n,)."""
    fitted = scipy.special.expit(logits)
    information = (x * (fitted * (1 - fitted))[:, None]).T @ x
    return np.asarray(((outcome - fitted)[:, None] * x) @ np.linalg.pinv(information)[:, 0])


def drawn_estimate(
    images: DrawnImages,
    arms: Sequence[Floats],
    weights: Sequence[float],
    *,
    share: bool = False,
    level: float = 0.95,
) -> Estimate:
    """A weighted sum of arms' means over seeds of a figure, with interval and two-sided test.

    Args:
        arms: (seeds, draws + 1) of each, as `DrawnModel` has them.
        weights: a number for each arm.
        share: whether it lies between 0 and 1, and its interval is to.

    Returns:
        All nan where one is not defined; where it is in the sample, but not in some draw, those
        draws are left out.
    """
    value = math.fsum(w * float(arm[:, 0].mean()) for w, arm in zip(weights, arms, strict=True))
    defined = np.logical_and.reduce([np.isfinite(arm).all(axis=0) for arm in arms])
    if math.isnan(value) or images.image_df < 1 or defined.sum() < 3:
        return Estimate(value, *[math.nan] * 4)
    again = [arm[:, 1:][:, defined[1:]] for arm in arms]
    together = sum(w * arm.mean(axis=0) for w, arm in zip(weights, again, strict=True))
    parts = [
        SeedPart(
            weight,
            len(arm),
            float(arm[:, 0].var(ddof=1)),
            float((drawn - drawn.mean(axis=0)).var(axis=1, ddof=1).sum() / (len(arm) - 1)),
        )
        for weight, arm, drawn in zip(weights, arms, again, strict=True)
        if len(arm) > 1
    ]
    variance = total_variance(float(np.var(together, ddof=1)), images.image_df, parts)
    found = estimate(value, variance, level)
    return _within_shares(found, images.image_df + 1, level) if share else found


def _within_shares(found: Estimate, images: int, level: float) -> Estimate:
    """The interval between 0 and 1, on the logit scale; no test.

    At 0 and 1 that scale breaks down: there it is the exact binomial one (Clopper and Pearson 1934)
    of so many images, of the rarer class.
    """
    low, high = found.low, found.high
    if not 0 < found.value < 1:
        most = ((1 - level) / 2) ** (1 / images)
        low, high = (0.0, 1 - most) if found.value <= 0 else (most, 1.0)
    elif found.error > 0:
        half = t_quantile((1 + level) / 2, found.df) * found.error
        middle, half = scipy.special.logit(found.value), half / (found.value * (1 - found.value))
        low, high = map(float, scipy.special.expit([middle - half, middle + half]))
    return found._replace(low=low, high=high, p_value=math.nan)


def drawn_arm(images: DrawnImages, scores: npt.ArrayLike) -> dict[str, Floats]:
    """Every figure of an arm's models: name to (seeds, draws + 1).

    Args:
        scores: (seeds, n).
    """
    each = [DrawnModel(images, row).figures() for row in np.atleast_2d(np.asarray(scores))]
    return {name: np.stack([figures[name] for figures in each]) for name in each[0]}
