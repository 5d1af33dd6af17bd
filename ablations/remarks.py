"""What a reader has to know beside the tables: what they show, on what terms, what is missing."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from ablations.gates import gates
from ablations.published import LEAKS_OF_ISIC_2017, is_official
from ablations.rows import Study
from ablations.tables import seed_scores
from masll.variants import REFERENCE
from tuning.study.arm import DEFAULT
from tuning.study.spec import TPE_BEGINS
from tuning.study.trial import Stage, Status

_FEW_VALUES = 10  # of a model's scores; with fewer, ties decide its figures


def remarks(study: Study) -> list[str]:
    """What a reader has to know beside the table: what it shows, and what is missing or wrong."""
    return [
        *_legend(study),
        *declared(study),
        *_weights(study),
        *_conditions(study),
        *reopened(study),
        *_missing(study),
        *_lacking(study),
        *_flawed(study),
        *mismatches(study),
    ]


def cautions(study: Study) -> list[str]:
    """Of the remarks, those without which a table would be read wrongly."""
    return [
        *_no_test(study),
        *([] if study.test_predictions.empty else leaks(study)),
        *reopened(study),
        *_missing(study),
        *_flawed(study),
        *mismatches(study),
    ]


def mismatches(study: Study) -> list[str]:
    """Confirmed trials whose test_auc is not the area that their prediction rows give."""
    both = study.confirmed.merge(seed_scores(study)[["trial_id", "auc"]], on="trial_id")
    both["test_auc"] = both["test_auc"].astype(float)  # a column of nulls has no type
    return [
        f"{row.arm}, seed {row.seed}: trials says test AUC {row.test_auc}, its prediction rows "
        f"give {row.auc}."
        for row in both.itertuples()
        if not math.isclose(row.test_auc, row.auc, rel_tol=0, abs_tol=1e-9)
        and not (math.isnan(row.test_auc) and math.isnan(row.auc))
    ]


def _no_test(study: Study) -> list[str]:
    """Why tests are missing, or say less than they seem to."""
    test = study.test_predictions
    if test.empty:
        return ["No confirmed model yet, so the test set has not been opened."]
    lines = []
    if seed_scores(study).groupby("arm").size().max() == 1:
        lines.append(
            "One seed each: intervals and tests are over images, and say nothing of what "
            "another seed would give."
        )
    if test["label"].nunique() == 1:
        lines.append("One class only: AUC, SEN at SPE, and SEN or SPE of the other are undefined.")
    return lines


def _legend(study: Study) -> list[str]:
    test = study.test_predictions
    if test.empty:
        return _no_test(study)
    images = test.drop_duplicates("image_id")
    seeds = seed_scores(study).groupby("arm").size()
    fewest, most = seeds.min(), seeds.max()
    number_of_seeds = f"{fewest} to {most}" if fewest < most else f"{fewest}"
    together = (
        "each family (variants, declared arms, default settings)"
        if _has_families(study)
        else "all of them together"
    )
    legend = [
        f"Test set: {len(images)} images, {int((images['label'] == 1).sum())} melanoma. "
        f"Mean ± standard deviation over seeds ({number_of_seeds}), with the 95 % interval of the "
        "mean for other seeds and other images.",
        "ACC, SEN and SPE at a probability of 0.5. SEN@.95 is the highest sensitivity on the test "
        "curve whose specificity is at least 0.95, and so on.",
        f"Differences are to {references(study)}, tested in pairs on the "
        f"same images; Holm's p holds for {together}, intervals are each for itself; seen "
        "from: the true difference that such a test finds four times in five, at the level of "
        "Holm's first step.",
    ]
    return [*legend, *_no_test(study)]


def references(study: Study) -> str:
    """What arms are compared with, in words."""
    or_as_named = ", or to the arm that is named" if _has_families(study) else ""
    return f"{REFERENCE} of the same backbone{or_as_named}"


def _has_families(study: Study) -> bool:
    """Whether there are declared arms or default settings beside the variants."""
    return sum(map(bool, study.families)) > 1


def _conditions(study: Study) -> list[str]:
    """Under which conditions the figures hold, and how the search was run."""
    lines = recipe(study)
    if not study.test_predictions.empty:
        lines.append(
            "Intervals and tests are conditional on one search: they take the hyperparameters that "
            "it chose as given, and say nothing of what another search would choose."
        )
        lines += leaks(study)
    drawn = drawn_by_tpe(study)
    if drawn is not None:
        lines.append(
            f"TPE drew {drawn} of {len(study.stage(Stage.SEARCH))} search trials; the others were "
            f"each arm's default setting and random ones, as it begins after {TPE_BEGINS} trials "
            "of an arm have ended."
        )
    if study.spec.runs:
        lines.append(f"Slots: {'; then '.join(dict.fromkeys(r.slots for r in study.spec.runs))}.")
    return lines


def recipe(study: Study) -> list[str]:
    """What a study fixed for all its arms, and that the paper did otherwise."""
    fixed = study.spec.options.get("set") or ()
    if not fixed:
        return []
    paper = " The paper trains with SGD." if "optimizer=adamw" in fixed else ""
    return [f"Fixed for all arms: {', '.join(fixed)}.{paper}"]


def leaks(study: Study) -> list[str]:
    """Whether training images show a lesion of a later split, as far as it is known."""
    if study.left_out or str(study.spec.data.source).startswith(
        "synthetic"
    ):  # every lesion is drawn once
        return []
    known = study.spec.data.leaks
    if known is None and is_official(study):
        known = LEAKS_OF_ISIC_2017
    if known is None:
        return [
            "Whether training images show a lesion of the test images was not examined: "
            "python -m masll.data audit does."
        ]
    return [
        f"{known} training images show a lesion of the validation or test images; --drop-leaks "
        "leaves them out."
    ] * (known > 0)


def _weights(study: Study) -> list[str]:
    """Backbones whose weights were fed otherwise than they were trained."""
    return [
        f"{backbone}: its weights, of {record.source}, were trained on images normalised and "
        f"padded otherwise than this network does; {record.right} feeds them as they were trained."
        for backbone, record in study.spec.weights.items()
        if record.right
    ]


def declared(study: Study) -> list[str]:
    """A line for each declared arm: what it is, and what it is compared with."""
    _, declared, defaults = study.families
    arms = {arm.name: arm for arm in map(study.described.__getitem__, declared)}
    lines = []
    for name, arm in arms.items():
        assert arm.declared is not None
        fixed = ", ".join(_shown(*each) for each in arm.fixed.items()) or "nothing"
        about = f" ({arm.declared.about})" if arm.declared.about else ""
        lines.append(
            f"{name}: {arm.variant} with {fixed} fixed{about}; compared with {arm.reference}."
        )
    if defaults:
        lines.append(
            f"...{DEFAULT}: an arm with its default setting, as published, without a search; "
            "compared with that arm as it was tuned."
        )
    return lines


def drawn_by_tpe(study: Study) -> int | None:
    """Search trials that TPE drew, by what had ended when each began; None without TPE."""
    searched = study.stage(Stage.SEARCH)
    if study.spec.options.get("sampler") != "tpe" or "started_at" not in searched:
        return None
    count = 0
    for _, own in searched.groupby("arm"):
        told = own[own["status"] != Status.FAILED]["ended_at"].to_numpy()
        count += sum((told <= began).sum() >= TPE_BEGINS for began in own["started_at"])
    return count


def reopened(study: Study) -> list[str]:
    """Whether the test set was opened more than once: its figures are then chosen among several."""
    return [
        f"{arm}: the test set was opened {times} times; the table shows confirmation {times}."
        for arm, times in study.confirmations.items()
        if times > 1
    ]


def _shown(option: str, value: Any) -> str:
    """A fixed option and its value; of a part's own options each."""
    if isinstance(value, Mapping):
        return ", ".join(_shown(f"{option}.{name}", each) for name, each in value.items())
    return f"{option} {value}"


def _missing(study: Study) -> list[str]:
    """What an arm's row still lacks, or mixes."""
    counts = seed_scores(study).groupby("arm").size()
    options = study.spec.options
    planned, budget = options.get("seeds", 0), options.get("trials", 0)
    searched = study.stage(Stage.SEARCH).groupby("arm").size()
    lines = []
    for arm in study.arms:
        seeds, trials = int(counts.get(arm, 0)), int(searched.get(arm, 0))
        if trials < budget and arm not in study.unsearched:
            lines.append(f"{arm}: {trials} of {budget} search trials finished.")
        if seeds == 0:
            lines.append(f"{arm}: no confirmed seed yet.")
        elif seeds < planned:
            lines.append(f"{arm}: {seeds} of {planned} seeds confirmed.")
        models = study.confirmed[study.confirmed["arm"] == arm]
        if len(models[["lr", "threshold_scale"]].drop_duplicates()) > 1:
            lines.append(f"{arm}: its seeds were confirmed with different hyperparameters.")
    return lines


def _lacking(study: Study) -> list[str]:
    """What a study of an earlier version did not record, and what the report cannot say for it."""
    if study.test_predictions.empty:
        return []
    gated = [
        arm for arm in study.test_predictions["arm"].unique() if study.described[arm].design.gates
    ]
    lacks = {
        "predictions with a frozen gate, so that whether the gate does anything is not shown": (
            bool(gated) and gates(study).empty
        ),
        "parameters, multiply-adds and milliseconds": _nowhere(study.confirmed, "parameters"),
        "the primary question in its spec": study.spec.primary is None,
    }
    missing = [what for what, is_so in lacks.items() if is_so]
    return [f"Made by a version that did not record: {'; '.join(missing)}."] if missing else []


def _nowhere(rows: pd.DataFrame, column: str) -> bool:
    return column not in rows or bool(rows[column].isna().all())


def _flawed(study: Study) -> list[str]:
    """Single models that did not get their figures, or got them on other terms."""
    scores = seed_scores(study)
    confirms = study.stage(Stage.CONFIRM)
    failed = confirms[confirms["status"] == Status.FAILED]
    confirmed = study.confirmed
    diverged = confirmed[confirmed["error"].notna()] if "error" in confirmed else confirmed[:0]
    silent = study.confirmed[~study.confirmed["trial_id"].isin(scores["trial_id"])]
    most = scores["images"].max()
    short = scores[scores["images"] < most]
    test = study.test_predictions
    broken = scores[scores["trial_id"].isin(test.loc[test["score"].isna(), "trial_id"])]
    values = test.groupby("trial_id")["score"].nunique().reindex(scores["trial_id"]).to_numpy()
    constant, coarse = scores[values == 1], scores[(values > 1) & (values < _FEW_VALUES)]
    return [
        *_of_each(failed, "its confirm trial failed."),
        *_of_each(diverged, "its training diverged; the model is that of its best epoch before."),
        *_of_each(silent, "confirmed, but without test predictions."),
        *_of_each(short, f"fewer test predictions than the {most} of others."),
        *_of_each(constant, "the same score for every image, so it tells none from another."),
        *_of_each(coarse, f"fewer than {_FEW_VALUES} different scores, so its curve is coarse."),
        *_of_each(broken, "scores are nan, so the arm's means are undefined."),
    ]


def _of_each(models: pd.DataFrame, what: str) -> list[str]:
    return [f"{row.arm}, seed {row.seed}: {what}" for row in models.itertuples()]
