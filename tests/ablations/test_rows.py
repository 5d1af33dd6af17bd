"""Reading a study folder: what counts, and what is refused in one line."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ablations.rows import read_study
from masll.common.errors import InputError
from masll.variants import VARIANTS
from tuning.study.spec import Spec

if TYPE_CHECKING:
    from conftest import StudyBuilder

PLAIN, GATED = ("baseline", "resnet18"), ("gated-fusion", "resnet18")


def test_a_whole_study_is_read_as_pandas_reads_it(build: "StudyBuilder") -> None:
    study = read_study(build.whole(arms=(GATED,)).path)
    for kind in ("trials", "epochs", "predictions"):
        rows = pd.read_parquet(build.path / kind)
        added = {"confirmation", "gpus"} if kind == "trials" else set()
        assert set(getattr(study, kind).columns) == set(rows.columns) | added
        assert len(getattr(study, kind)) == len(rows) > 0
    assert study.spec.schema_version == 1 and study.arms == ["gated-fusion/resnet18"]


def test_arms_come_in_the_order_of_the_spec(build: "StudyBuilder") -> None:
    backwards = [(variant, "resnet18") for variant in reversed(VARIANTS)]
    build.whole(arms=backwards, seeds=1)
    assert read_study(build.path).arms == [f"{variant}/resnet18" for variant in reversed(VARIANTS)]


def test_without_a_spec_arms_come_by_backbone_and_variant(build: "StudyBuilder") -> None:
    arms = [(variant, backbone) for backbone in ("densenet121", "resnet18") for variant in VARIANTS]
    build.whole(arms=sorted(arms), seeds=1)
    (build.path / "spec.json").unlink()
    study = read_study(build.path)
    assert study.spec == Spec()
    assert study.arms == ["/".join(arm) for arm in arms]


def test_rows_of_a_trial_that_never_finished_do_not_count(build: "StudyBuilder") -> None:
    build.spec()
    finished = build.confirm(GATED, 1)
    build.trial(GATED, "confirm", 2, "completed", finished=False)
    study = read_study(build.path)
    assert set(study.epochs["trial_id"]) == {finished}
    assert set(study.predictions["trial_id"]) == {finished}


def test_a_study_that_has_only_just_begun_is_readable(build: "StudyBuilder") -> None:
    build.spec()
    study = read_study(build.path)
    assert study.trials.empty and study.predictions.empty
    assert len(study.arms) == len(VARIANTS)


def test_columns_may_be_null_in_one_file_and_typed_in_the_next(build: "StudyBuilder") -> None:
    for arm in (PLAIN, GATED):
        build.confirm(arm, 1)
    rows = pq.read_table(build.path / "trials/baseline-resnet18-confirm-1.parquet")
    place = rows.column_names.index("threshold_scale")
    rows = rows.set_column(place, "threshold_scale", pa.nulls(len(rows)))
    pq.write_table(rows, build.path / "trials/baseline-resnet18-confirm-1.parquet")
    scales = read_study(build.path).trials.set_index("variant")["threshold_scale"]
    assert pd.isna(scales["baseline"]) and scales["gated-fusion"] == 1.25


def test_files_still_being_written_are_passed_over(build: "StudyBuilder") -> None:
    name = build.whole(arms=(GATED,)).search(GATED, 9)
    file = build.path / "trials" / f"{name}.parquet"
    (file.parent / f".{name}.parquet").write_bytes(file.read_bytes()[:40])
    (file.parent / f".{name}.partial").write_bytes(b"PAR1")
    assert name in set(read_study(build.path).trials["trial_id"])


def _no_folder(build: "StudyBuilder") -> None:
    build.path = build.path / "nowhere"


def _no_rows(build: "StudyBuilder") -> None:
    build.path.mkdir()


def _no_column(build: "StudyBuilder") -> None:
    name = build.whole(arms=(GATED,)).confirm(GATED, 5)
    build.change("predictions", name, lambda rows: rows.drop(columns="score"))


def _cut_off(build: "StudyBuilder") -> None:
    build.whole(arms=(GATED,))
    file = sorted((build.path / "epochs").iterdir())[1]
    file.write_bytes(file.read_bytes()[:100])


def _types_that_differ(build: "StudyBuilder") -> None:
    name = build.whole(arms=(GATED,)).confirm(GATED, 5)
    build.change("predictions", name, lambda rows: rows.assign(score="high"))


def _strange_label(build: "StudyBuilder") -> None:
    build.whole(arms=(GATED,))

    def spoilt(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(label=rows["label"].mask(rows.index == 3, 7))

    build.change("predictions", "gated-fusion-resnet18-confirm-1", spoilt)


def _strange_spec(build: "StudyBuilder") -> None:
    build.whole(arms=(GATED,))
    (build.path / "spec.json").write_text("{")


def _later_schema(build: "StudyBuilder") -> None:
    build.whole(arms=(GATED,))
    (build.path / "spec.json").write_text(json.dumps({"schema_version": 2}))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_no_folder, "no study folder '.*nowhere'"),
        (_no_rows, "study/trials has no finished trial"),
        (_no_column, r"predictions/gated-fusion-resnet18-confirm-5\.parquet: no column 'score'"),
        (_cut_off, r"epochs/gated-fusion-resnet18-confirm-2\.parquet"),
        (
            _types_that_differ,
            r"predictions/gated-fusion-resnet18-confirm-5\.parquet: column 'score'",
        ),
        (_strange_label, "trial gated-fusion-.*-1, image .*-0003: label must be 0 or 1, got 7"),
        (_strange_spec, r"study/spec\.json: "),
        (_later_schema, r"spec\.json has schema_version 2"),
    ],
)
def test_what_cannot_be_read_is_named_in_one_line(
    build: "StudyBuilder", spoil: Callable[["StudyBuilder"], None], message: str
) -> None:
    spoil(build)
    with pytest.raises(InputError, match=message) as caught:
        read_study(build.path)
    assert "\n" not in str(caught.value)
