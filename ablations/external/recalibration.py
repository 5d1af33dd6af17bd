"""Calibration on an external set, as it is and after a recalibration.

A model that ranks well elsewhere may still speak of the wrong risk there. A recalibration changes
no ranking: it moves the logit of every probability by an intercept, or maps it linearly (Cox 1958;
Platt 1999). What is learned on the external images is judged on others of them: the images are
dealt out in folds, all of one lesion or patient in the same, and each fold is recalibrated by the
others.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.special

from ablations.differences import Floats
from ablations.formats import Cells
from ablations.reliability import figure_cells, reliability
from ablations.rows import Study
from ablations.statistics import calibration
from ablations.statistics.calibration import logistic_fit, score_logits

FOLDS = 10
_FIGURES = ("brier", "intercept", "slope", "ece")
_COLUMNS = [f"{figure}{end}" for figure in _FIGURES for end in ("", "_low", "_high")]

# Probabilities learned from labels and scores: slope and intercept on the logit.
_Fit = Callable[[npt.NDArray[np.int64], Floats], tuple[float, float]]
# Scores of test rows, of one model, by their group and by the model's validation rows.
_Method = Callable[[pd.DataFrame, npt.NDArray[np.int64], pd.DataFrame], Floats]


def recalibration(external: Study) -> pd.DataFrame:
    """Calibration of each arm on the external set, before and after.

    Returns:
        A row for each arm and method, of `as it is`, `by validation` (slope and intercept learned
        on the study's own validation images), `intercept here` and `intercept and slope here`
        (learned on other external images): arm, method, seeds, and of intercept, slope, ece and
        brier what `reliability` gives. A method that cannot be learned has no rows: without
        validation rows, or where a model separates the classes without an error.
    """
    tables = []
    for method, scores in _METHODS.items():
        table = reliability(external if scores is None else _with_scores(external, scores))
        if not table.empty:
            tables.append(table[["arm", "seeds", *_COLUMNS]].assign(method=method))
    if not tables:
        return pd.DataFrame()
    order = {arm: place for place, arm in enumerate(external.arms)}
    together = pd.concat(tables, ignore_index=True)
    together.insert(1, "method", together.pop("method"))
    return together.sort_values("arm", key=lambda arms: arms.map(order), kind="stable")


def recalibration_cells(table: pd.DataFrame) -> list[Cells]:
    """`recalibration` as a person reads it."""
    return [
        {"arm": row["arm"], "method": row["method"], **figure_cells(row, _FIGURES)}
        for row in table.to_dict("records")
    ]


def _with_scores(external: Study, method: _Method) -> Study:
    """An external study in which each model's scores are recalibrated."""
    models = []
    for _, rows in external.predictions.groupby("trial_id", sort=False):
        test, validation = (rows[rows["split"] == split] for split in ("test", "validation"))
        groups = external.groups_of(test["image_id"])
        units = np.arange(len(test)) if groups is None else groups
        models += [validation, test.assign(score=method(test, units, validation))]
    return replace(external, predictions=pd.concat(models, ignore_index=True))


def folds(test: pd.DataFrame, units: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The fold of each image, below FOLDS, alike for all models: no unit is divided.

    Units without a melanoma are dealt out first, then those with one, by the ids of their images.

    Args:
        test: image_id and label of each image.
        units: (n,), equal for images that stay together.
    """
    rows = test[["label", "image_id"]].assign(unit=units)
    of_units = rows.groupby("unit").agg({"label": "max", "image_id": "min"})
    ordered = of_units.sort_values(["label", "image_id"]).index
    dealt = pd.Series(np.arange(len(ordered)) % FOLDS, ordered)
    return np.asarray(dealt.loc[units])


def _by_validation(
    test: pd.DataFrame, units: npt.NDArray[np.int64], validation: pd.DataFrame
) -> Floats:
    del units
    labels, scores = validation["label"].to_numpy(np.int64), validation["score"].to_numpy(float)
    return _moved(test["score"].to_numpy(float), _line(labels, scores))


def _here(fit: _Fit) -> _Method:
    def recalibrated(
        test: pd.DataFrame, units: npt.NDArray[np.int64], validation: pd.DataFrame
    ) -> Floats:
        del validation
        fold = folds(test, units)
        labels, scores = test["label"].to_numpy(np.int64), test["score"].to_numpy(float)
        moved = np.full(len(test), math.nan)
        for each in np.unique(fold):
            held = fold == each
            moved[held] = _moved(scores[held], fit(labels[~held], scores[~held]))
        return moved

    return recalibrated


def _line(labels: npt.NDArray[np.int64], scores: Floats) -> tuple[float, float]:
    """Slope and intercept by logistic regression; nan where none fits best."""
    if len(np.unique(labels)) < 2 or np.isnan(scores).any():
        return math.nan, math.nan
    return logistic_fit(score_logits(scores), labels == 1)


def _shift(labels: npt.NDArray[np.int64], scores: Floats) -> tuple[float, float]:
    """Slope 1, and the intercept that makes the mean risk right."""
    if np.isnan(scores).any():
        return math.nan, math.nan
    return 1.0, calibration(labels, scores).intercept


def _moved(scores: Floats, line: tuple[float, float]) -> Floats:
    slope, intercept = line
    return np.asarray(scipy.special.expit(slope * score_logits(scores) + intercept))


_METHODS: Mapping[str, _Method | None] = MappingProxyType(
    {
        "as it is": None,
        "by validation": _by_validation,
        "intercept here": _here(_shift),
        "intercept and slope here": _here(_line),
    }
)
