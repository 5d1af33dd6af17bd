"""A study as tables: its three Parquet folders, read and checked by `tuning.study`."""

import json
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from masll.common.errors import InputError
from masll.common.storage import AnyPath, any_path
from masll.variants import known_variants
from tuning.study.arm import Arm, Declaration
from tuning.study.folder import StudyFolder
from tuning.study.known import others_than
from tuning.study.metadata import read_metadata
from tuning.study.openings import check_openings
from tuning.study.reader import read_ended
from tuning.study.rows import TrialRow
from tuning.study.space import of_arm
from tuning.study.spec import Spec, read_spec
from tuning.study.trial import Stage, Status
from tuning.study.unfinished import check_begun

# What studies of earlier versions lack, with what it was then.
_EARLIER: Mapping[str, float] = {"confirmation": 1, "seconds": 0, "gpus": 0}


@dataclass(frozen=True, eq=False)
class Study:
    """What a study folder holds. Epochs and predictions are those of trials that ended only."""

    folder: StudyFolder
    trials: pd.DataFrame
    epochs: pd.DataFrame
    predictions: pd.DataFrame
    spec: Spec  # an empty one where there is no spec.json
    metadata: pd.DataFrame | None = None  # of metadata.parquet, by image_id; None without it
    by: tuple[str, ...] = ()  # how a report divides the test images, see `ablations.subgroups`
    rows: Sequence[TrialRow] = ()  # those in trials, each value of its own type; see `read_study`
    groups: Mapping[str, str] | None = None  # lesion or patient by image_id, of an external set

    @property
    def path(self) -> AnyPath:
        """The study's folder."""
        return self.folder.path

    @cached_property
    def arms(self) -> list[str]:
        """Every arm, in the order of the spec; those it does not name by backbone and variant."""
        named = [str(arm) for arm in self.spec.arms]
        rows = self.trials[["arm", "backbone", "variant"]].drop_duplicates("arm")
        others = [row for row in rows.itertuples() if row.arm not in named]
        order = {variant: index for index, variant in enumerate(known_variants())}
        others.sort(key=lambda row: (row.backbone, order.get(row.variant, len(order)), row.arm))
        return named + [row.arm for row in others]

    @cached_property
    def described(self) -> Mapping[str, Arm]:
        """Every arm by its name, as the spec describes it, or else its rows."""
        rows = self.trials.drop_duplicates("arm").to_dict("records")
        by_rows = {str(row["arm"]): _arm_of(row) for row in rows}
        return by_rows | {str(arm): arm for arm in self.spec.arms}

    @property
    def families(self) -> list[list[str]]:
        """Arms by what is asked of them: variants, declared arms, default settings of either."""
        declared = [arm for arm in self.arms if self.described[arm].declared is not None]
        defaults = [arm for arm in declared if self.described[arm].is_default]
        variants = [arm for arm in self.arms if arm not in declared]
        return [variants, [arm for arm in declared if arm not in defaults], defaults]

    @cached_property
    def unsearched(self) -> list[str]:
        """Arms with nothing to search: default settings, and what fixes all that is searched."""
        space = self.spec.space
        return [
            name
            for name in self.arms
            if self.described[name].is_default
            or (space and not of_arm(space, self.described[name]))
        ]

    def reference_of(self, arm: str) -> str | None:
        """The arm that it is compared with, on the same backbone; None for gated-fusion itself."""
        described = self.described[arm]
        reference = f"{described.reference}/{described.backbone}"
        return None if reference == arm else reference

    def references(self, arms: Collection[str]) -> dict[str, str]:
        """The reference of each of some arms, where that is among them, too."""
        compared = ((arm, self.reference_of(arm)) for arm in arms)
        return {arm: other for arm, other in compared if other is not None and other in arms}

    @cached_property
    def confirmed(self) -> pd.DataFrame:
        """The rows in trials of the confirm trials that completed, of each arm's last confirmation.

        An arm has more than one where the test set was opened again on demand.
        """
        confirms = self.stage(Stage.CONFIRM)
        last = confirms.groupby("arm")["confirmation"].transform("max")
        of_last = confirms["confirmation"] == last
        return confirms[of_last & (confirms["status"] == Status.COMPLETED)]

    @property
    def left_out(self) -> int:
        """Images that were not trained on, as they show a lesion of a later split."""
        return len(self.spec.data.left_out)

    @property
    def confirmations(self) -> dict[str, int]:
        """How often the test set was opened for each arm that was confirmed."""
        return self.stage(Stage.CONFIRM).groupby("arm")["confirmation"].max().astype(int).to_dict()

    @cached_property
    def test_predictions(self) -> pd.DataFrame:
        """The predictions of the confirmed models on the test set."""
        of_confirmed = self.predictions["trial_id"].isin(self.confirmed["trial_id"])
        return self.predictions[of_confirmed & (self.predictions["split"] == "test")]

    def groups_of(self, image_ids: Iterable[str]) -> npt.NDArray[np.int64] | None:
        """Numbers of the groups that images are in, equal for those of one lesion or patient.

        Returns:
            (n,); None where no two images belong together. One that names no group is by itself.
        """
        if self.groups is None:
            return None
        numbers: dict[tuple[bool, str], int] = {}
        named = [(each in self.groups, self.groups.get(each, each)) for each in image_ids]
        found = [numbers.setdefault(name, len(numbers)) for name in named]
        return None if len(numbers) == len(found) else np.array(found, dtype=np.int64)

    def stage(self, stage: Stage) -> pd.DataFrame:
        """The rows in trials of a stage."""
        return self.trials[self.trials["stage"] == stage]


def read_study(
    path: str | AnyPath, *, search_predictions: bool = True, by: Sequence[str] = ()
) -> Study:
    """Read a study that has finished, was stopped, or is still running.

    Args:
        path: the study's folder, here or on `s3://`.
        search_predictions: whether to read those of search trials, by far the most; tables and
            figures need those of the confirmed models alone.
        by: how its test images are divided into subgroups, such as `sex` or `age:50`.

    Raises:
        InputError: no such folder, nothing of a study in it, or a file that cannot be read or
            contradicts another.
    """
    folder = StudyFolder(any_path(path))
    folder.path.check_reachable()
    if not folder.path.is_dir():
        raise InputError(
            f"no study folder '{folder}'; name one that tuning.search has made{others_than(folder)}"
        )
    spec = read_spec(folder) if folder.spec.exists() else Spec()
    check_openings(folder)
    metadata = read_metadata(folder)
    ended = read_ended(folder, spec, stage=None if search_predictions else Stage.CONFIRM)
    if not ended.rows and not spec.arms:
        raise InputError(f"{folder.trials} has no finished trial; wait for one, or name a study")
    check_begun(folder, spec, ended.rows)
    trials = ended.trials.to_pandas()
    for name, value in _EARLIER.items():
        column = trials[name] if name in trials else pd.Series(pd.NA, trials.index)
        trials = trials.assign(**{name: column.astype("Float64").fillna(value).astype(float)})
    return Study(
        folder,
        trials.sort_values("trial_id", ignore_index=True),
        ended.epochs.to_pandas(),
        ended.predictions.to_pandas(),
        spec,
        None if metadata is None else metadata.to_pandas().set_index("image_id"),
        tuple(by),
        ended.rows,
    )


def backbone_of(arm: str) -> str:
    """The backbone in an arm's name."""
    return Arm.parse(arm).backbone


def name_of(arm: str) -> str:
    """What stands before the backbone in an arm's name: its variant, or the name it was given."""
    return arm.partition("/")[0]


def _arm_of(row: Mapping[Hashable, Any]) -> Arm:
    """An arm as its rows tell it."""
    fixed = row.get("fixed")
    declared = None
    if isinstance(fixed, str):
        declared = Declaration(name_of(row["arm"]), json.loads(fixed))
    return Arm(row["variant"], row["backbone"], declared)
