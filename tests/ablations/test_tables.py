"""The ablation table, against figures computed from the Parquet rows by other means."""

import io
import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, recall_score, roc_auc_score, roc_curve

from ablations.formats import as_csv, latex, markdown
from ablations.remarks import mismatches, remarks
from ablations.rows import read_study
from ablations.tables import (
    FIGURES,
    ablation_table,
    as_markdown,
    seed_scores,
)
from masll.variants import VARIANTS

if TYPE_CHECKING:
    from conftest import StudyBuilder

PLAIN, GATED = ("baseline", "resnet18"), ("gated-fusion", "resnet18")
COLUMNS = [
    "arm",
    "variant",
    "backbone",
    "reference",
    "seeds",
    "auc_mean",
    "auc_sd",
    "auc_low",
    "auc_high",
    "acc",
    "acc_sd",
    "acc_low",
    "acc_high",
    "sen",
    "sen_sd",
    "sen_low",
    "sen_high",
    "spe",
    "spe_sd",
    "spe_low",
    "spe_high",
    "sen_at_spe_95",
    "sen_at_spe_95_sd",
    "sen_at_spe_95_low",
    "sen_at_spe_95_high",
    "sen_at_spe_90",
    "sen_at_spe_90_sd",
    "sen_at_spe_90_low",
    "sen_at_spe_90_high",
    "sen_at_spe_85",
    "sen_at_spe_85_sd",
    "sen_at_spe_85_low",
    "sen_at_spe_85_high",
    "average_precision",
    "average_precision_sd",
    "average_precision_low",
    "average_precision_high",
    "delta_auc",
    "delta_low",
    "delta_high",
    "p_value",
    "p_holm",
    "equivalence_p",
    "detectable_delta",
    "box_area",
    "lr",
    "threshold_scale",
    "trials",
    "pruned",
    "failed",
    "parameters",
    "multiply_adds",
    "milliseconds",
    "gpu_hours",
    "cpu_hours",
]


def reference(rows: pd.DataFrame) -> dict[str, float]:
    """The figures of one model by scikit-learn."""
    label, score = rows["label"], rows["score"]
    called = score >= 0.5
    alarms, sensitivity, _ = roc_curve(label, score, drop_intermediate=False)
    return {
        "auc": roc_auc_score(label, score),
        "acc": accuracy_score(label, called),
        "sen": recall_score(label, called),
        "spe": recall_score(label, called, pos_label=0),
        **{
            f"sen_at_spe_{spe}": sensitivity[1 - alarms >= spe / 100 - 1e-12].max()
            for spe in (95, 90, 85)
        },
    }


def test_every_figure_is_that_of_the_prediction_rows(build: "StudyBuilder") -> None:
    table = ablation_table(read_study(build.whole(seeds=3).path))
    assert list(table.columns) == COLUMNS
    assert list(table["variant"]) == list(VARIANTS)
    assert (table["seeds"] == 3).all()
    rows = pd.read_parquet(build.path / "predictions")
    rows = rows[(rows["stage"] == "confirm") & (rows["split"] == "test")]
    for row in table.to_dict("records"):
        of_arm = rows[rows["arm"] == row["arm"]]
        expected = pd.DataFrame([reference(made) for _, made in of_arm.groupby("seed")])
        for figure in FIGURES:
            mean = row["auc_mean" if figure == "auc" else figure]
            assert mean == pytest.approx(expected[figure].mean(), abs=1e-12)
            assert row[f"{figure}_sd"] == pytest.approx(np.std(expected[figure], ddof=1), abs=1e-12)


def test_the_search_is_counted_and_the_confirmed_setting_shown(build: "StudyBuilder") -> None:
    build.whole(arms=(PLAIN, GATED)).confirm(GATED, 3, status="failed")
    table = ablation_table(read_study(build.path)).set_index("variant")
    assert (table[["trials", "pruned", "failed"]] == [3, 1, 1]).all(axis=None)
    assert (table["lr"] == 0.003).all()
    assert math.isnan(table.loc["baseline", "threshold_scale"])
    assert math.isnan(table.loc["baseline", "box_area"])
    assert table.loc["gated-fusion", "threshold_scale"] == 1.25
    assert table.loc["gated-fusion", "box_area"] == pytest.approx(0.25)


def test_validation_and_search_predictions_do_not_count(build: "StudyBuilder") -> None:
    before = ablation_table(read_study(build.whole(arms=(GATED,)).path))
    build.search(GATED, 8)

    def spoilt(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(score=rows["score"].where(rows["split"] == "test", 0))

    for name in ("search-0", "confirm-1"):
        build.change("predictions", f"gated-fusion-resnet18-{name}", spoilt)
    after = ablation_table(read_study(build.path))
    counted = ["trials", "cpu_hours"]
    pd.testing.assert_frame_equal(before.drop(columns=counted), after.drop(columns=counted))


def test_an_arm_without_a_confirmed_seed_keeps_its_row(build: "StudyBuilder") -> None:
    build.spec(arms=(PLAIN, GATED))
    build.search(PLAIN)
    build.confirm(GATED, 1)
    study = read_study(build.path)
    table = ablation_table(study).set_index("variant")
    assert table.loc["baseline", "seeds"] == 0 and table.loc["baseline", "trials"] == 1
    empty = table.loc["baseline", "auc_mean":"threshold_scale"]  # type: ignore[misc]
    assert empty.isna().all()
    told = remarks(study)
    assert "baseline/resnet18: no confirmed seed yet." in told
    assert "gated-fusion/resnet18: 1 of 2 seeds confirmed." in told


def test_a_study_without_any_confirmed_seed_has_a_table(build: "StudyBuilder") -> None:
    build.spec()
    study = read_study(build.path)
    table = ablation_table(study)
    assert list(table.columns) == COLUMNS and len(table) == len(VARIANTS)
    assert as_markdown(table).count("\n") == len(VARIANTS) + 2
    assert remarks(study)[0].startswith("No confirmed model yet")


def test_with_one_seed_the_deviation_is_a_dash(build: "StudyBuilder") -> None:
    study = read_study(build.whole(arms=(GATED,), seeds=1).path)
    table = ablation_table(study)
    assert math.isnan(table.loc[0, "auc_sd"])
    assert f"| {table.loc[0, 'auc_mean']:.3f} ± - (" in as_markdown(table)


def test_without_an_sll_arm_boxes_are_dashes(build: "StudyBuilder") -> None:
    table = ablation_table(read_study(build.whole(arms=(PLAIN,)).path))
    assert table[["box_area", "threshold_scale"]].isna().all(axis=None)
    setting = "| - | 0.003 | - | 3 | 1 | 1 | - | - | - | 0.00 | 0.08 |"
    assert as_markdown(table).splitlines()[2].endswith(setting)


@pytest.mark.parametrize("positives", [0, 40])
def test_a_test_set_of_one_class_has_no_auc_and_says_so(
    build: "StudyBuilder", positives: int
) -> None:
    build.positives = positives
    study = read_study(build.whole(arms=(GATED,)).path)
    table = ablation_table(study)
    assert math.isnan(table.loc[0, "auc_mean"])
    assert table.loc[0, "acc"] == table.loc[0, "sen" if positives else "spe"]
    assert any(remark.startswith("One class only") for remark in remarks(study))
    assert mismatches(study) == []


def test_scores_that_are_nan_are_not_averaged_away(build: "StudyBuilder") -> None:
    build.whole(arms=(GATED,), seeds=3)
    build.change(
        "predictions", "gated-fusion-resnet18-confirm-2", lambda rows: rows.assign(score=math.nan)
    )
    build.change(
        "trials", "gated-fusion-resnet18-confirm-2", lambda rows: rows.assign(test_auc=None)
    )
    study = read_study(build.path)
    table = ablation_table(study)
    assert table.loc[0, "seeds"] == 3 and math.isnan(table.loc[0, "auc_mean"])
    assert remarks(study)[-1].startswith("gated-fusion/resnet18, seed 2: scores are nan")


def test_a_test_auc_that_the_predictions_do_not_give_is_named(build: "StudyBuilder") -> None:
    study = read_study(build.whole().path)
    assert mismatches(study) == []
    assert len(remarks(study)) == 6
    build.change(
        "trials",
        "gated-fusion-resnet18-confirm-2",
        lambda rows: rows.assign(test_auc=rows["test_auc"] + 2e-9),
    )
    (told,) = mismatches(read_study(build.path))
    assert told.startswith("gated-fusion/resnet18, seed 2: trials says test AUC")
    build.change(
        "trials", "gated-fusion-resnet18-confirm-2", lambda rows: rows.assign(test_auc=None)
    )
    (told,) = mismatches(read_study(build.path))
    assert "trials says test AUC nan" in told


def test_models_that_are_not_comparable_are_named(build: "StudyBuilder") -> None:
    build.whole(arms=(GATED, PLAIN))
    build.confirm(GATED, 3, lr=0.1)
    build.confirm(GATED, 4, status="failed")
    build.change("predictions", "baseline-resnet18-confirm-1", lambda rows: rows.iloc[:-1])
    untested = "baseline-resnet18-confirm-2"
    build.change("trials", untested, lambda rows: rows.assign(test_auc=None))
    build.change("predictions", untested, lambda rows: rows[rows["split"] == "validation"])
    study = read_study(build.path)
    told = remarks(study)
    assert "gated-fusion/resnet18: its seeds were confirmed with different hyperparameters." in told
    assert "gated-fusion/resnet18, seed 4: its confirm trial failed." in told
    assert "baseline/resnet18, seed 1: fewer test predictions than the 40 of others." in told
    assert "baseline/resnet18, seed 2: confirmed, but without test predictions." in told
    table = ablation_table(study).set_index("variant")
    assert math.isnan(table.loc["gated-fusion", "lr"])
    assert table.loc["gated-fusion", "threshold_scale"] == 1.25


def test_two_trials_with_one_seed_are_two_models(build: "StudyBuilder") -> None:
    build.whole(arms=(GATED,))
    build.confirm(GATED, 3)
    for kind in ("trials", "predictions"):
        build.change(kind, "gated-fusion-resnet18-confirm-3", lambda rows: rows.assign(seed=1))
    assert len(seed_scores(read_study(build.path))) == 3


def test_csv_keeps_every_column_at_full_precision(build: "StudyBuilder") -> None:
    table = ablation_table(read_study(build.whole().path))
    back = pd.read_csv(io.StringIO(as_csv(table)), float_precision="round_trip")
    pd.testing.assert_frame_equal(back, table, check_dtype=False, check_exact=True)


def test_markdown_shows_the_interval_with_its_mean(build: "StudyBuilder") -> None:
    table = ablation_table(read_study(build.whole().path))
    first = table.iloc[0]
    lines = [line.strip("| ").split(" | ") for line in as_markdown(table).splitlines()]
    auc = f"{first['auc_mean']:.3f} ± {first['auc_sd']:.3f}"
    of_auc = f"({first['auc_low']:.3f} to {first['auc_high']:.3f})"
    assert lines[2][:3] == [first["arm"], "2", f"{auc} {of_auc}"]


def test_a_name_cannot_leave_its_cell() -> None:
    name = "a|b_c <img src=x> $x$"
    cells = [{"arm": name, "AUC": "**0.900 ± 0.010**"}]
    assert markdown(cells).splitlines()[2] == (r"| a\|b_c \<img src=x> $x$ | **0.900 ± 0.010** |")
    assert r"a|b\_c $<$img src=x$>$ \$x\$ & \textbf{0.900 $\pm$ 0.010} \\" in latex(cells)


def test_a_text_in_csv_is_no_formula_and_numbers_stay_numbers() -> None:
    table = pd.DataFrame({"arm": ["=1+1", "@a", "-0.5", None], "auc": [-0.5, 0.25, math.nan, 1.0]})
    assert as_csv(table).splitlines() == ["arm,auc", "'=1+1,-0.5", "'@a,0.25", "-0.5,", ",1.0"]
