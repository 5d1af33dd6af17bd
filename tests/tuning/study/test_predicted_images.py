"""Which images the trials of a study must have predicted alike."""

import pyarrow as pa
import pytest

from tuning.study.agreement import faults

SEARCH = [("s0", "search", image) for image in ("a", "b", "c")]
OTHERS = [("s1", "search", image) for image in ("a", "b", "c")]
CONFIRM = [("c0", "confirm", image) for image in ("a", "b")]


def found(*rows: tuple[str, str, str], stages_alike: bool) -> list[str]:
    """Trials that are named."""
    table = pa.Table.from_pylist(
        [
            {
                **{"trial_id": trial, "arm": "x/y", "stage": stage, "seed": 0, "label": 0},
                **{"split": "validation", "image_id": image, "score": 0.5},
            }
            for trial, stage, image in rows
        ]
    )
    return [trial for trial, _ in faults([], table, alike=True, stages_alike=stages_alike)]


def test_a_search_by_cross_validation_predicts_images_that_no_confirmed_model_does():
    assert found(*SEARCH, *OTHERS, *CONFIRM, stages_alike=False) == []
    assert found(*SEARCH, *OTHERS, *CONFIRM, stages_alike=True) == ["c0"]


@pytest.mark.parametrize("stages_alike", [False, True])
def test_a_trial_of_a_stage_with_fewer_images_than_the_others_is_named(stages_alike):
    assert found(*SEARCH, *OTHERS[:2], stages_alike=stages_alike) == ["s1"]
