"""What a study will be able to see, by its seeds, its test images and its questions."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table

from ablations.differences import ALPHA
from ablations.formats import ABSENT, Cells, seen_from
from ablations.rows import Study
from ablations.statistics import delong_test
from ablations.statistics.areas import auc_confidence_interval, checked, placements
from ablations.statistics.factorial import Question, main_effects, weights_over, whole
from ablations.statistics.planning import (
    Assumptions,
    Design,
    expected_detectable,
    images_for,
    seeds_for,
)
from ablations.subgroups.planning import planned_gaps
from masll.common.terminal import Terminal
from masll.variants import REFERENCE, known_variants
from tuning.study.arm import Arm
from tuning.study.reader import read_rows, row_files
from tuning.study.rows import PredictionRow
from tuning.study.trial import Stage, Status

WANTED = 0.02  # the difference in AUC that a plan is asked to see


def planned(
    arms: Sequence[Arm], positives: int, negatives: int, seeds: int, assumed: Assumptions
) -> pd.DataFrame:
    """What each question to the arms will see.

    Args:
        positives, negatives: test images.

    Returns:
        A row for each question that the arms can answer: question, seen (the true difference in
        AUC that its test finds four times in five, at the level of Holm's first step of its
        family), seeds and images (the fewest with which it would see WANTED, the other being as it
        is; nan where no number does).
    """
    cells = [(arm.name, arm.backbone) for arm in arms]
    lacking = [name for name, each in known_variants().items() if each.lacks]
    single = [
        Question(f"one arm against {REFERENCE}", "", {name: -1.0, REFERENCE: 1.0})
        for name in lacking
    ]
    compared = sum(
        arm.declared is None and arm.design.lacks is not None and reference in arms
        for arm, reference in ((arm, Arm(REFERENCE, arm.backbone)) for arm in arms)
    )
    families = [(1, [whole()]), (3, list(main_effects())), (compared, single)]
    rows = {}
    for tests, questions in families:
        for question in questions:
            weights = _weights(question, cells, one_backbone=questions is single)
            if weights is None or question.name in rows:
                continue
            design = Design(weights, positives, negatives, seeds, 1 - ALPHA / max(tests, 1))
            rows[question.name] = {
                "question": question.name,
                "seen": expected_detectable(design, assumed),
                "seeds": seeds_for(WANTED, design, assumed) or math.nan,
                "images": images_for(WANTED, design, assumed) or math.nan,
            }
    return pd.DataFrame(rows.values(), columns=["question", "seen", "seeds", "images"])


def still_to_confirm(study: Study) -> tuple[pd.DataFrame, str]:
    """What a study whose test set is not opened yet will see, and on what that stands.

    Returns:
        No rows where something is confirmed, or the spec does not say what was planned.
    """
    data, seeds = study.spec.data, study.spec.options.get("seeds")
    if not study.test_predictions.empty or not data.images.get("test") or not seeds:
        return pd.DataFrame(), ""
    found = estimated(study)
    assumed = Assumptions() if found is None else found
    positives = data.melanoma["test"]
    table = planned(study.spec.arms, positives, data.images["test"] - positives, seeds, assumed)
    of_groups = planned_gaps(study, assumed, WANTED)
    if not of_groups.empty:
        table = pd.concat([table, of_groups], ignore_index=True)
    return table, assumptions_note(assumed, measured=found is not None)


def print_planned(
    arms: Sequence[Arm],
    positives: int,
    images: int,
    seeds: int,
    console: Terminal,
    study: Study | None = None,
) -> None:
    """`planned`, on a terminal.

    Args:
        positives, images: melanoma, and all images, of the test set.
        study: one that goes on, whose search may have shown something.
    """
    found = None if study is None else estimated(study)
    assumed = Assumptions() if found is None else found
    rows = planning_cells(planned(arms, positives, images - positives, seeds, assumed))
    if not rows:
        return
    console.print(
        f"\nA true difference in AUC that it finds four times in five, with {seeds} "
        f"seed{'s' * (seeds > 1)} and {images} test images, {positives} melanoma:",
    )
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in rows[0]:
        table.add_column(heading, justify="left" if heading == "question" else "right")
    for row in rows:
        table.add_row(*row.values())
    console.print(table)
    console.print(assumptions_note(assumed, measured=found is not None))


def planning_cells(table: pd.DataFrame) -> list[Cells]:
    """`planned` as a person reads it."""
    return [
        {
            "question": row["question"],
            "seen from": seen_from(row["seen"]),
            f"seeds to see {WANTED:g}": _count(row["seeds"]),
            "or test images": _count(row["images"]),
        }
        for row in table.to_dict("records")
    ]


def assumptions_note(assumed: Assumptions, *, measured: bool) -> str:
    """On what a plan stands."""
    of_search = (
        "As the best search trials have it on validation images, the test set unopened: "
        if measured
        else "Assumed: "
    )
    return (
        f"{of_search}AUC {assumed.auc:.3f}, correlation of two arms over images "
        f"{assumed.correlation:.2f}; {'assumed: ' * measured}standard deviation of an arm's AUC "
        f"over seeds {assumed.sd_of_seeds:g}. Where there is a dash, neither 100 seeds nor 100 "
        "times the images would do alone."
    )


def estimated(study: Study) -> Assumptions | None:
    """What the search has shown: from validation predictions of each arm's best trial.

    Returns:
        None with fewer than two arms that have such a trial.
    """
    scores: list[np.ndarray] = []
    labels: pd.Series | None = None
    for trial_id in _best_trials(study):
        rows = _validation_scores(study, trial_id)
        if rows.empty or rows["score"].isna().any():
            continue
        if labels is None:
            labels = rows["label"]
        if rows.index.equals(labels.index):
            scores.append(rows["score"].to_numpy(dtype=float))
    if labels is None or len(scores) < 2 or labels.nunique() < 2:
        return None
    areas = [auc_confidence_interval(labels, each)[0] for each in scores]
    variances = [_delong_variance(labels, each) for each in scores]
    correlations = []
    for i, j in itertools.combinations(range(len(scores)), 2):
        apart = delong_test(labels, scores[i], scores[j])[1] ** 2
        both = math.sqrt(variances[i] * variances[j])
        if both > 0:
            correlations.append((variances[i] + variances[j] - apart) / (2 * both))
    if not correlations:
        return None
    return Assumptions(float(np.mean(areas)), float(np.clip(np.mean(correlations), 0, 0.99)))


def _weights(
    question: Question, arms: list[tuple[str, str]], *, one_backbone: bool
) -> list[float] | None:
    """Of a question pooled over backbones, or on the first backbone that answers it."""
    if not one_backbone:
        return weights_over(question, arms)
    for backbone in dict.fromkeys(backbone for _, backbone in arms):
        weights = weights_over(question, [arm for arm in arms if arm[1] == backbone])
        if weights is not None:
            return weights
    return None


def _best_trials(study: Study) -> list[str]:
    """The completed search trial of each arm with the highest validation AUC."""
    searched = study.stage(Stage.SEARCH)
    if "val_auc" not in searched:
        return []
    usable = searched[(searched["status"] == Status.COMPLETED) & searched["val_auc"].notna()]
    best = usable.sort_values("val_auc", ascending=False, kind="stable").drop_duplicates("arm")
    return list(best["trial_id"])


def _validation_scores(study: Study, trial_id: str) -> pd.DataFrame:
    """Label and score of each validation image, by its id in order."""
    folder, name = study.folder.predictions, f"{trial_id}.parquet"
    files = {each: file for each, file in row_files(folder).items() if each == name}
    rows = read_rows(folder, files, PredictionRow).to_pandas()
    return rows[rows["split"] == "validation"].set_index("image_id").sort_index()


def _delong_variance(labels: pd.Series, scores: np.ndarray) -> float:
    positive, (values,) = checked(labels, scores)
    _, (on, off) = placements(positive, values)
    return float(on.var(ddof=1) / len(on) + off.var(ddof=1) / len(off))


def _count(value: float) -> str:
    return ABSENT if math.isnan(value) else f"{value:.0f}"
