"""Whether the predictions of a study's trials are what they should be, and agree with one another.

A search has hundreds of thousands of them, so that they are looked at all at once; only to name
what is wrong one trial is looked for.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from tuning.study.rows import PredictionRow, TrialRow, columns_of
from tuning.study.trial import Stage, Status

_SPLITS = ("validation", "test")


def faults(
    ended: Iterable[TrialRow], rows: pa.Table, *, alike: bool, stages_alike: bool = True
) -> Iterator[tuple[str, str]]:
    """What is wrong, as a trial and a reason.

    Args:
        ended: the trials whose predictions were read.
        rows: of predictions/, of those trials.
        alike: whether all trials must have the same images, as those of one search do.
        stages_alike: whether those of both stages must; a search that is judged by cross-validation
            predicts training images, too, and its confirmed models do not.
    """
    yield from _values(rows)
    yield from _of_trials(ended, rows)
    named = ["trial_id", "split", "image_id"]
    if rows.group_by(named).aggregate([]).num_rows < rows.num_rows:
        counts = rows.group_by(named).aggregate([([], "count_all")])
        twice = counts.filter(pc.field("count_all") > 1).slice(0, 1).to_pylist()[0]
        yield twice["trial_id"], f"image {twice['image_id']} stands twice"
    stages = [rows] if stages_alike else [rows.filter(pc.field("stage") == s) for s in Stage]
    for of_stage in stages if alike else ():
        for split in _SPLITS:
            yield from _other_images(split, of_stage.filter(pc.field("split") == split))


def _values(rows: pa.Table) -> Iterator[tuple[str, str]]:
    """Values outside what they can be."""
    wrong = {
        "label": (
            "0 or 1",
            pc.invert(pc.is_in(rows["label"], pa.array([0, 1], rows["label"].type))),
        ),
        "split": (" or ".join(_SPLITS), pc.invert(pc.is_in(rows["split"], pa.array(_SPLITS)))),
    }
    for name in columns_of(PredictionRow):
        if name in rows.column_names and (
            name.startswith("score") or name in ("x0", "y0", "x1", "y1")
        ):
            values = rows[name].cast(pa.float64())
            outside = pc.or_(pc.less(values, -1e-9), pc.greater(values, 1 + 1e-9))  # false for nan
            wrong[name] = ("between 0 and 1", outside)
    for name, (allowed, where) in wrong.items():
        if pc.any(where).as_py():
            row = rows.filter(where).slice(0, 1).to_pylist()[0]
            yield (
                row["trial_id"],
                f"trial {row['trial_id']}, image {row['image_id']}: {name} must be {allowed}, "
                f"got {row[name]}",
            )


def _of_trials(ended: Iterable[TrialRow], rows: pa.Table) -> Iterator[tuple[str, str]]:
    """Trials whose predictions are another trial's, or missing."""
    keys = ["trial_id", "arm", "stage", "seed", "split"]
    splits: dict[str, set[str]] = {}
    said: dict[str, set[tuple[str, str, int]]] = {}
    for each in rows.group_by(keys).aggregate([]).to_pylist():
        splits.setdefault(each["trial_id"], set()).add(each["split"])
        said.setdefault(each["trial_id"], set()).add((each["arm"], each["stage"], each["seed"]))
    for row in ended:
        own = (row.arm, str(row.stage), row.seed)
        for other in said.get(row.trial_id, {own}) - {own}:
            yield row.trial_id, f"predictions of {' '.join(map(str, other))}, not of the trial"
        there = splits.get(row.trial_id, set())
        if row.stage == Stage.SEARCH and "test" in there:
            yield row.trial_id, "a search trial with predictions on test images"
        confirmed = row.stage == Stage.CONFIRM and row.status == Status.COMPLETED
        if confirmed and row.test_auc is not None and "test" not in there:
            yield row.trial_id, "no predictions on test images, trials/ has their AUC"


def _other_images(split: str, rows: pa.Table) -> Iterator[tuple[str, str]]:
    """A trial with other images or labels of a split than most have."""
    if not rows.num_rows:
        return
    trials = pc.count_distinct(rows["trial_id"]).as_py()
    images = rows.group_by(["image_id", "label"]).aggregate([]).num_rows
    if images * trials == rows.num_rows:
        return
    of_trial: dict[str, set[tuple[str, int]]] = {}
    for name, image, label in zip(
        *(rows[column].to_pylist() for column in ("trial_id", "image_id", "label")), strict=True
    ):
        of_trial.setdefault(name, set()).add((image, label))
    seen = Counter(frozenset(each) for each in of_trial.values())
    usual = max(seen, key=lambda each: (seen[each], len(each)))
    for name, own in of_trial.items():
        if own != usual:
            image, _ = min(own ^ usual)
            yield name, f"other {split} images or labels than other trials have, as of {image}"
