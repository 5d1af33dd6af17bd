"""The test images of a study in the groups that `--by` names."""

import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from ablations.differences import test_labels
from ablations.rows import Study
from ablations.subgroups.grouping import UNKNOWN, Grouping, parse_groupings
from masll.common.checks import check_choice
from masll.common.errors import InputError
from masll.data.options import source_options
from masll.data.sources import find_source
from tuning.study.metadata import OWN

LEAST = 10  # images of each class that a group needs to be judged


class Group(NamedTuple):
    """Test images of which the same is known."""

    name: str
    rows: npt.NDArray[np.bool_]  # (n,), which of the test images, in the order of their ids
    melanomas: int

    @property
    def images(self) -> int:
        return int(self.rows.sum())

    @property
    def large_enough(self) -> bool:
        """Whether the group has LEAST images of each class."""
        return min(self.melanomas, self.images - self.melanomas) >= LEAST

    @property
    def comparable(self) -> bool:
        """Whether it is held against others: what is not known makes no group of patients."""
        return self.large_enough and self.name != UNKNOWN


class Division(NamedTuple):
    """Test images divided by a grouping."""

    grouping: Grouping
    groups: list[Group]

    @property
    def compared(self) -> list[Group]:
        """The groups that are held against each other; none where it is but one."""
        groups = [group for group in self.groups if group.comparable]
        return groups if len(groups) > 1 else []


@functools.lru_cache(maxsize=2)
def divisions(study: Study) -> list[Division]:
    """The test images that were predicted, as `Study.by` divides them; none without `--by`.

    Raises:
        InputError: `--by` cannot be understood, nothing is known of the images, or not that.
    """
    if not study.by:
        return []
    if study.test_predictions.empty:
        return _divided(study, [], np.empty(0))
    labels = test_labels(study)
    return _divided(study, list(labels.index), labels.to_numpy(dtype=float))


def expected_divisions(study: Study) -> list[Division]:
    """The same of all test images, before they are opened: melanoma as common in every group.

    Raises:
        InputError: as of `divisions`.
    """
    data = study.spec.data
    if not study.by or not data.images.get("test"):
        return []
    metadata = image_metadata(study)
    ids = list(metadata.index[metadata["split"] == "test"])
    share = data.melanoma["test"] / data.images["test"]
    return _divided(study, ids, np.full(len(ids), share))


@functools.lru_cache(maxsize=2)
def image_metadata(study: Study) -> pd.DataFrame:
    """What is known of test images, at least, by image id: split, and a column of text each.

    From metadata.parquet, or, of a study that has none, read anew from its data.

    Raises:
        InputError: nothing is known.
    """
    metadata = _of_source(study) if study.metadata is None else study.metadata
    if metadata is None or set(metadata.columns) <= set(OWN):
        raise InputError(
            f"{study.path} has no metadata of its images, and none were found with its data "
            f"({study.spec.options.get('data', 'not named')}); leave --by out, or put the images "
            "and their metadata where they were"
        )
    return metadata


def _divided(study: Study, ids: list[str], melanoma: npt.NDArray[np.float64]) -> list[Division]:
    """Images by each grouping of `--by`; melanoma (n,) is 1 for one that is, or a probability."""
    groupings = parse_groupings(study.by)
    metadata = image_metadata(study)
    for grouping in groupings:
        known = [name for name in metadata.columns if name not in OWN]
        check_choice("column of --by", grouping.column, known)
    divided = []
    for grouping in groupings:
        texts = metadata[grouping.column].dropna().to_dict()
        names = grouping.groups({image_id: texts.get(image_id, "") for image_id in ids})
        groups = []
        for name in grouping.order(names):
            rows = np.array([each == name for each in names])
            groups.append(Group(name, rows, round(float(melanoma[rows].sum()))))
        divided.append(Division(grouping, groups))
    return divided


def _of_source(study: Study) -> pd.DataFrame | None:
    """Of a study of before there was metadata.parquet; None where its images are not at hand."""
    options = study.spec.options
    if "data" not in options:
        return None
    try:
        asked = source_options(options)
        records = find_source(asked.data, partial=True, rules=asked.rules).records
    except InputError:
        return None
    listed = [record for record in records if record.split == "test"]
    labels = {} if study.test_predictions.empty else test_labels(study).to_dict()
    now = {record.image_id: record.label for record in listed}
    if any(now.get(image_id) != label for image_id, label in labels.items()):
        return None  # other images lie there now
    rows = [{**record.metadata, "split": record.split} for record in listed]
    return pd.DataFrame(rows, index=[record.image_id for record in listed])
