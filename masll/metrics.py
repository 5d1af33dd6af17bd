"""Figures of a binary classifier: area under the ROC curve, accuracy, sensitivity, specificity.

NumPy only, and defined for every input: a figure that the data does not determine is nan.
"""

import numpy as np
import numpy.typing as npt

_NAN = float("nan")


def binary_metrics(
    labels: npt.ArrayLike, scores: npt.ArrayLike, threshold: float = 0.5
) -> dict[str, float]:
    """The figures of Tables I and II of the paper.

    >>> figures = binary_metrics([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9])
    >>> figures["auc"], figures["acc"], figures["sen_at_spe_95"]
    (0.75, 0.5, 0.5)

    Args:
        labels: (n,) of 0 and 1; 1 is melanoma.
        scores: (n,) probabilities or any score that grows with the suspicion of melanoma.
        threshold: an image counts as positive where its score >= threshold.

    Returns:
        `auc`, `acc`, `sen`, `spe` as fractions, and `sen_at_spe_95`, `_90`, `_85`: the highest
        sensitivity on the ROC curve whose specificity is at least the target. What is undefined
        (a class is missing, no images, a score is nan) is nan.

    Raises:
        ValueError: lengths differ, or a label is neither 0 nor 1.
    """
    labels = np.asarray(labels).ravel()
    scores = np.asarray(scores, dtype=np.float64).ravel()
    if labels.shape != scores.shape:
        raise ValueError(f"{labels.size} labels but {scores.size} scores; give one score per label")
    if not np.isin(labels, (0, 1)).all():
        strange = labels[~np.isin(labels, (0, 1))][0]
        raise ValueError(f"labels must be 0 or 1, got {strange}")
    positive = labels == 1
    if np.isnan(scores).any():
        positive = positive[:0]
        scores = scores[:0]
    called = scores >= threshold
    true_positives = int(np.count_nonzero(called & positive))
    true_negatives = int(np.count_nonzero(~called & ~positive))
    n_positive = int(np.count_nonzero(positive))
    n_negative = positive.size - n_positive
    sensitivities, specificities = roc_points(positive, scores)

    both_classes = bool(n_positive and n_negative)

    def sensitivity_at(specificity: float) -> float:
        reached = sensitivities[specificities >= specificity]
        return float(reached.max()) if both_classes else _NAN

    return {
        # Area under the ROC curve by trapezia, so that a tie counts one half (Mann-Whitney).
        "auc": float(np.trapezoid(sensitivities, 1 - specificities)) if both_classes else _NAN,
        "acc": _ratio(true_positives + true_negatives, positive.size),
        "sen": _ratio(true_positives, n_positive),
        "spe": _ratio(true_negatives, n_negative),
        "sen_at_spe_95": sensitivity_at(0.95),
        "sen_at_spe_90": sensitivity_at(0.90),
        "sen_at_spe_85": sensitivity_at(0.85),
    }


def threshold_at(labels: npt.ArrayLike, scores: npt.ArrayLike, specificity: float) -> float:
    """The lowest threshold that keeps a specificity, of those that lie on a score.

    Args:
        labels: (n,) of 0 and 1.
        scores: (n,); an image is called positive where its score >= the threshold.
        specificity: to reach at least, from 0 to 1.

    Returns:
        infinity where only calling nothing reaches it; nan without a negative image.
    """
    labels, scores = np.asarray(labels), np.asarray(scores, dtype=float)
    negatives = np.sort(scores[labels == 0])
    if not negatives.size:
        return _NAN
    candidates = np.append(np.unique(scores), np.inf)
    kept = np.searchsorted(negatives, candidates, side="left")  # negatives below
    # Counts, not shares: 19 of 20 must equal a target of 0.95.
    reached = kept / negatives.size >= specificity
    return float(candidates[reached][0])


def roc_points(
    positive: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Sensitivity and specificity at every distinct threshold, strictest first.

    The first point calls nothing positive, the last one everything. nan for a missing class.
    """
    order = np.argsort(-scores, kind="stable")
    positive = positive[order]
    ends_tie = ends_of_ties(scores[order])
    hits = np.concatenate([[0], np.cumsum(positive)[ends_tie]])
    alarms = np.concatenate([[0], np.cumsum(~positive)[ends_tie]])
    n_positive, n_negative = hits[-1], alarms[-1]
    with np.errstate(invalid="ignore"):
        # Counts, not 1 - rate: 19 of 20 must compare equal to a target of 0.95.
        return hits / n_positive, (n_negative - alarms) / n_negative


def ends_of_ties(ordered: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which of so many scores in order, infinite ones too, are the last of their value: (n,)."""
    return np.append(ordered[1:] != ordered[:-1], True)[: ordered.size]


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else _NAN
