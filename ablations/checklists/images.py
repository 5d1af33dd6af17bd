"""What a study's files say of its images: source, labels, splits, what is missing, how many.

Each function gives Markdown for an item of a checklist. What spec.json does not hold is said to be
not recorded.
"""

from collections.abc import Mapping

import pandas as pd

from ablations.effects import effects
from ablations.formats import Cells, markdown, seen_from
from ablations.planning import still_to_confirm
from ablations.remarks import leaks
from ablations.rows import Study
from masll.config import default_source_size
from masll.data.known import is_known
from masll.data.labelling import MELANOMA
from masll.variants import REFERENCE
from tuning.study.metadata import OWN

UNKNOWN = "not recorded in spec.json"
_MOST_VALUES = 8  # of a column of metadata that are listed with their numbers
_FITS = {
    "squash": "the whole frame, its proportions changed",
    "pad": "the whole frame, with black added",
    "crop": "the largest centred square",
}
_USED_FOR = {
    "train": "fitting weights",
    "validation": "search, choice of the epoch, thresholds",
    "test": "evaluation of the confirmed models",
}
_POOLED = {
    "fold": "Training and validation images were pooled, and a stratified fifth of them took the "
    "place of the validation images; its images stand in folds.csv.",
    "cv5": "For the search, training and validation images were pooled and dealt into five folds, "
    "which stand in folds.csv.",
}


def counts(study: Study) -> dict[str, tuple[int, int]]:
    """Melanomas and images by split; of the test images alone where spec.json says nothing."""
    data = study.spec.data
    known = {
        split: (data.melanoma[split], images)
        for split, images in data.images.items()
        if split in data.melanoma  # a spec by hand may say less
    }
    test = study.test_predictions.drop_duplicates("image_id")
    if not known and len(test):
        known = {"test": (int(test["label"].sum()), len(test))}
    return known


def counted(study: Study) -> str:
    """How many images and melanomas each split has, and how many were left out."""
    shares = [
        f"{ill} of {of} {split} images ({ill / of:.1%})"
        for split, (ill, of) in counts(study).items()
        if of
    ]
    text = f"Melanoma: {', '.join(shares)}." if shares else f"Class counts: {UNKNOWN}."
    if study.left_out:
        text += (
            f" Of these, {study.left_out} were not trained on, as they show a lesion of a "
            "later split."
        )
    return text


def sources(study: Study) -> str:
    """Where the images come from, and by what they are told from others."""
    data = study.spec.data
    if data.source is None:
        return f"Source of the images: {UNKNOWN}."
    drawn = " Its lesions are drawn by a program: there are no patients." * is_drawn(study)
    digest = f" SHA-256 of ids, labels, splits and content: {data.fingerprint}."
    return (
        f"{sum(data.images.values())} images, for training, validation and test, read from one "
        f"source, {data.source}.{drawn}{digest * bool(data.fingerprint)}"
    )


def is_drawn(study: Study) -> bool:
    """Whether the lesions are drawn, and none is of a patient."""
    return str(study.spec.data.source).startswith("synthetic")


def outcome(study: Study) -> str:
    """What the labels mean."""
    if not study.spec.is_complete:
        return f"Meaning of the labels: {UNKNOWN}."
    asked = study.spec.options
    positive = ", ".join(asked.get("positive", (MELANOMA,)))
    texts = ", ".join(asked.get("labels", ()))
    read = f" Label texts were read as {texts}." if texts else ""
    return (
        f"The outcome is the data set's own label: 1 for {positive}, 0 for every other class."
        f"{read} The models tell what an image shows, and predict no later event."
    )


def preparation(study: Study) -> str:
    """From a file to the pixels that a network sees."""
    asked = study.spec.options
    if "image_size" not in asked:
        return f"Preparation of the images: {UNKNOWN}."
    size = asked["image_size"]
    fit = _FITS.get(asked.get("fit", ""), UNKNOWN)
    return (
        f"Each image became a square of {asked.get('source_size') or default_source_size(size)} "
        f"pixels a side ({fit}). A network sees it at {size} pixels a side, and a local branch "
        "crops from the larger one. Values were brought to the mean and standard deviation by "
        "channel that the backbone was trained with. Training images were turned by a random angle "
        "and flipped at random each time that they were shown; the others were not. Nothing known "
        "of a person changed any of this."
    )


def predictors(study: Study) -> str:
    """What a network is given of a person: the image."""
    masks = [name for name, arm in study.described.items() if arm.fixed.get("box") == "mask"]
    besides = (
        f" {', '.join(masks)} is given the rectangle of the lesion mask, too." if masks else ""
    )
    return (
        "The image is the only predictor; nothing else that is known of a person, such as age, sex "
        f"or site, is given to a network.{besides}"
    )


def missing(study: Study) -> str:
    """What was missing and what was left out."""
    partial = study.spec.options.get("partial")
    lines = {
        None: f"Whether rows or images were left out: {UNKNOWN}.",
        False: "A row without its image, or an image without its row, would have stopped the study "
        "before it began.",
        True: "Rows without an image and images without a row were left out (--partial); how many "
        "is not recorded.",
    }
    left_out = (
        f" {study.left_out} images were left out of training, as they show a lesion of a later "
        "split; spec.json names them."
        if study.left_out
        else ""
    )
    return f"{lines[partial]}{left_out} Nothing was imputed."


def characteristics(study: Study) -> str:
    """What is known of validation and test images beside their labels; empty where nothing is."""
    known = study.metadata
    if known is None:
        return ""
    splits = [split for split in ("validation", "test") if (known["split"] == split).any()]
    rows: list[Cells] = [
        {
            "known of the images": str(column),
            **{split: _summary(known.loc[known["split"] == split, column]) for split in splits},
        }
        for column in known.columns
        if column not in OWN
    ]
    if not rows:
        return ""
    numbers = ", ".join(f"{(known['split'] == split).sum()} {split} images" for split in splits)
    return f"Of {numbers}:\n\n{markdown(rows).rstrip()}"


def _summary(column: pd.Series) -> str:
    """A column of texts in a cell: median and quartiles of numbers, or how often each value is."""
    texts = column[column.map(lambda text: isinstance(text, str) and is_known(text))]
    texts = texts.str.strip().str.casefold()
    numbers = pd.to_numeric(texts, errors="coerce")
    if len(texts) and numbers.notna().all():
        low, middle, high = numbers.quantile([0.25, 0.5, 0.75])
        parts = [f"median {middle:g} (quartiles {low:g}, {high:g})"]
    elif texts.nunique() <= _MOST_VALUES:
        parts = [f"{value} {count}" for value, count in sorted(texts.value_counts().items())]
    else:
        parts = [f"{texts.nunique()} values"]
    if len(texts) < len(column):
        parts.append(f"not known {len(column) - len(texts)}")
    return ", ".join(parts)


def partitions(study: Study) -> str:
    """How images came into splits, and what each split was used for."""
    asked = study.spec.options
    if not study.spec.is_complete:
        return f"How images came into splits: {UNKNOWN}."
    words = " ".join(asked.get("split_by") or ())
    dealt = (
        f"Images were dealt out into splits anew (--split-by {words})."
        if words
        else "The splits are those of the data set itself."
    )
    used = (
        "Training images fitted the weights. Validation images judged the search and chose each "
        "model's epoch and its thresholds."
    )
    pooled = _POOLED.get(asked.get("validation", ""), "")
    test = "Test images were given to confirmed models only, after the search of their arm."
    return " ".join(filter(None, [dealt, used, pooled, test]))


def disjoint(study: Study) -> str:
    """At which level splits have nothing in common, as far as it is known."""
    if not study.spec.is_complete:
        return f"At which level splits are disjoint: {UNKNOWN}."
    words = study.spec.options.get("split_by") or ()
    levels = {
        "group": "Images of one group (a patient or a lesion) stayed in one split.",
        "image": "Images were dealt out one by one, whoever they are of.",
    }
    level = levels.get(
        next(iter(words), ""),
        "No image is in two splits. Whether the data set keeps a patient's images in one split is "
        "not recorded.",
    )
    left_out = (
        f"{study.left_out} images that show a lesion of a later split were left out of training."
        if study.left_out
        else ""
    )
    return " ".join(filter(None, [level, left_out, *leaks(study)]))


def analyses(study: Study) -> str:
    """Images and melanomas of each analysis, as a table."""
    rows: list[Cells] = [
        {
            "used for": _USED_FOR.get(split, UNKNOWN),
            "split": split,
            "images": str(of),
            "melanoma": str(ill),
        }
        for split, (ill, of) in counts(study).items()
    ]
    if not rows:
        return f"Images of each analysis: {UNKNOWN}."
    pooled = _POOLED.get(study.spec.options.get("validation", ""), "")
    left_out = (
        f"{study.left_out} of them were left out of training, as they show a lesion of a later "
        "split."
        if study.left_out
        else ""
    )
    notes = " ".join(filter(None, [pooled, left_out]))
    return "\n\n".join(filter(None, [markdown(rows).rstrip(), notes]))


def sample_size(study: Study, table: pd.DataFrame, margin: float) -> str:
    """What differences so many test images and seeds tell: as found, or as planned.

    Args:
        table: see `ablation_table`.
    """
    found = counts(study)
    if "test" not in found:
        return f"Number of test images: {UNKNOWN}."
    ill, of = found["test"]
    seen = _seen(study, table, margin)
    if not seen:
        return f"{of} test images, {ill} of them melanoma."
    differences = "; ".join(f"{question}, {value}" for question, value in seen.items())
    return (
        f"With {of} test images, {ill} of them melanoma, and the seeds of the study, a test finds "
        f"four times in five a true difference in AUC of: {differences}. These are at the level of "
        "Holm's first step of their family."
    )


def _seen(study: Study, table: pd.DataFrame, margin: float) -> Mapping[str, str]:
    """Question to the difference that its test finds: by the confirmed models, or by the plan."""
    if study.test_predictions.empty:
        ahead, _ = still_to_confirm(study)
        return {
            f"{row['question']} (planned)": seen_from(row["seen"])
            for row in ahead.to_dict("records")
        }
    seen = {
        row["question"]: seen_from(row["detectable"])
        for row in effects(study, margin).to_dict("records")
    }
    single = table["detectable_delta"].dropna()
    if len(single):
        low, high = seen_from(single.min()), seen_from(single.max())
        span = low if low == high else f"{low} to {high}"
        seen[f"one arm against its reference (mostly {REFERENCE})"] = span
    return seen
