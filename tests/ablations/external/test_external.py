"""Confirmed models on images that took no part in their study, from files to tables."""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pandas.testing import assert_frame_equal
from PIL import Image
from sklearn.metrics import roc_auc_score

from ablations.documents import write_report
from ablations.external import models
from ablations.external.__main__ import main
from masll.common.errors import InputError
from masll.common.storage import any_path
from tests.ablations.external.studies import ARMS, SEEDS
from tests.support import COUNTS

TRAIN, VALIDATION, TEST = COUNTS
UNCHECKED = ("--duplicates", "unchecked", "--format", "csv")


def write_csv(folder: Path, name: str, rows: list[dict[str, object]]) -> Path:
    """A CSV file in a folder, with the columns of its first row."""
    path = folder / f"{name}.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def rows_of(isic: Path, prefix: str) -> list[dict[str, object]]:
    """The images of a part of an official folder, as rows of a CSV file in that folder."""
    with (isic / f"{prefix}_Part3_GroundTruth.csv").open() as file:
        return [
            {
                "image": f"{prefix}_Data/{row['image_id']}.jpg",
                "label": int(float(row["melanoma"])),
                "mask": f"{prefix}_Part1_GroundTruth/{row['image_id']}_segmentation.png",
            }
            for row in csv.DictReader(file)
        ]


def predictions(study: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(study / "external" / name / "predictions")


def test_a_study_s_own_test_images_through_a_csv_give_its_own_tables(study, isic_folder):
    rows = [{**row, "split": "test"} for row in rows_of(isic_folder, TEST)]
    table = write_csv(isic_folder, "own", rows)
    assert main([str(study), "--data", str(table), *UNCHECKED]) == 0
    write_report(str(study), ("csv",))
    report = study / "external" / "own" / "report"
    for name in ("ablation", "ensembles", "operating_points", "reliability", "net_benefit"):
        own, external = (pd.read_csv(each / f"{name}.csv") for each in (study / "report", report))
        assert_frame_equal(own, external, check_exact=False, rtol=0, atol=1e-9, obj=name)
    change = pd.read_csv(report / "change.csv")
    assert (change["delta_auc"] == 0).all() and len(change) == len(ARMS)
    localized = pd.read_csv(report / "localization.csv").set_index("box")
    assert localized.loc["whole frame", "inside"] == 1
    assert localized.loc[str(ARMS[1]), "images"] == len(rows)


def test_a_planted_duplicate_is_named_and_left_out_by_file_and_by_what_it_shows(
    study, isic_folder, capsys
):
    rows = rows_of(isic_folder, TEST)[:5]
    seen = rows_of(isic_folder, TRAIN)[:2]
    same, turned = isic_folder / "same.jpg", isic_folder / "turned.png"
    shutil.copy(isic_folder / str(seen[0]["image"]), same)
    with Image.open(isic_folder / str(seen[1]["image"])) as image:
        image.transpose(Image.Transpose.ROTATE_90).save(turned)
    planted = [{**rows[0], "image": path.name, "mask": ""} for path in (same, turned)]
    table = write_csv(isic_folder, "planted", [*planted, *rows])
    command = [str(study), "--data", str(table), "--format", "csv"]
    assert main(command) == 0
    assert "2 show what training or validation images show, and are left out" in " ".join(
        capsys.readouterr().out.split()
    )
    listed = study / "external" / "planted" / "report" / "shown_images.csv"
    shown = pd.read_csv(listed)
    assert shown["shows"].tolist() == [Path(str(row["image"])).stem for row in seen]
    assert shown["image_id"].tolist() == ["same.jpg", "turned.png"]
    assert shown["identical"].tolist() == [True, False]
    assert not set(shown["image_id"]) & set(predictions(study, "planted")["image_id"])

    unlabelled = write_csv(isic_folder, "blank", [{"image": path.name} for path in (same, turned)])
    assert main([str(study), "--data", str(unlabelled), "--duplicates", "keep"]) == 0
    out = capsys.readouterr().out
    assert "no labels, so no tables" in out and "and are kept all the same" in " ".join(out.split())
    again = study / "external" / "blank" / "report" / "shown_images.csv"
    assert f"shown   {again}" in out and pd.read_csv(again)["shows"].equals(shown["shows"])

    with pytest.raises(InputError, match="with other --duplicates; give another --name"):
        main([*command, "--duplicates", "keep"])
    assert main([*command, "--duplicates", "keep", "--name", "kept"]) == 0
    assert set(shown["image_id"]) < set(predictions(study, "kept")["image_id"])
    with pytest.raises(InputError, match="with other --duplicates; give another --name"):
        main([*command, "--name", "kept"])  # which would leave out, and has kept


def test_models_that_have_rows_are_not_evaluated_again(study, isic_folder, monkeypatch):
    table = write_csv(isic_folder, "clinic", rows_of(isic_folder, TEST))
    command = [str(study), "--data", str(table), *UNCHECKED]
    assert main(command) == 0
    folder = study / "external" / "clinic" / "predictions"
    files = sorted(folder.iterdir())
    assert len(files) == len(ARMS) * len(SEEDS)
    before = predictions(study, "clinic")
    files[2].unlink()
    left, written_now = (folder / f".{files[2].name}.{pid}.partial" for pid in (1, 2))
    for path in (left, written_now):
        path.write_bytes(b"PAR1")
    os.utime(left, (0, 0))
    evaluated = []
    evaluate = models.evaluate
    monkeypatch.setattr(
        models, "evaluate", lambda *inputs: evaluated.append(inputs) or evaluate(*inputs)
    )
    assert main(command) == 0
    assert len(evaluated) == 1
    assert_frame_equal(predictions(study, "clinic"), before)
    assert not left.exists() and written_now.exists(), "another process may still write it"

    pq.write_table(pq.read_table(files[1]).slice(1), files[1])
    with pytest.raises(InputError, match=r"other images than images.parquet has; remove it, and"):
        main(command)
    files[1].write_bytes(b"PAR1")
    with pytest.raises(InputError, match=rf"{files[1].name}.*; remove it, and the model is eval"):
        main(command)
    files[1].unlink()

    files[2].unlink()
    image = isic_folder / str(rows_of(isic_folder, TEST)[3]["image"])
    with Image.open(image) as opened:
        opened.transpose(Image.Transpose.ROTATE_180).save(image)
    with pytest.raises(InputError, match=rf"{image.name} is another image than .* --name"):
        main(command)


def test_images_without_labels_get_predictions_and_no_tables(study, isic_folder, capsys):
    folder = isic_folder / f"{TEST}_Data"
    assert main([str(study), "--data", str(folder), *UNCHECKED]) == 0
    assert "no labels, so no tables" in capsys.readouterr().out
    rows = predictions(study, folder.name)
    assert len(rows) == COUNTS[TEST] * len(ARMS) * len(SEEDS)
    assert rows["label"].isna().all() and rows["score"].between(0, 1).all()
    assert not (study / "external" / folder.name / "report").exists()


def test_images_without_a_label_among_others_are_predicted_and_not_judged(
    study, isic_folder, capsys
):
    rows = rows_of(isic_folder, TEST)  # every fourth a melanoma
    unlabelled, others = rows[:2], rows[2:]
    partly = [*({**row, "label": ""} for row in unlabelled), *others]
    corrupt = ["--corrupt", "blur", "--severities", "1"]

    def evaluate(name: str, rows: list[dict[str, object]]) -> Path:
        table = write_csv(isic_folder, name, rows)
        assert main([str(study), "--data", str(table), *UNCHECKED, "md", *corrupt]) == 0
        return study / "external" / name / "report"

    report = evaluate("partly", partly)
    said = "12 images, 2 melanoma. 2 without a label: predicted, not judged."
    assert said in capsys.readouterr().out
    assert said in (report / "external.md").read_text()
    found = predictions(study, "partly")
    assert len(found) == len(rows) * len(ARMS) * len(SEEDS)
    assert set(found.loc[found["label"].isna(), "image_id"]) == {r["image"] for r in unlabelled}
    counted = pd.read_csv(report / "images.csv").iloc[0].to_dict()
    assert counted["judged"] == len(others) and counted["without_label"] == len(unlabelled)

    alone = evaluate("others", others)
    assert evaluate("partly", partly) == report  # what is there is read again
    for name in ("ablation", "reliability", "localization", "robustness"):
        both = [pd.read_csv(each / f"{name}.csv") for each in (report, alone)]
        assert_frame_equal(*both, check_exact=False, rtol=0, atol=1e-9, obj=name)

    path = next((study / "external" / "partly" / "predictions").iterdir())
    table = pq.read_table(path)
    nulls = pa.nulls(table.num_rows, pa.int64())
    pq.write_table(table.set_column(table.column_names.index("label"), "label", nulls), path)
    with pytest.raises(InputError, match=r"'label' is null where images.parquet has a label; rem"):
        evaluate("partly", partly)


def test_images_of_one_lesion_stay_together_and_the_report_says_so(study, isic_folder, capsys):
    rows = rows_of(isic_folder, TEST)
    pairs = [{**row, "group": f"lesion-{number // 2}"} for number, row in enumerate(rows[:-2])]
    grouped = [*pairs, *({**row, "group": ""} for row in rows[-2:])]
    reports = []
    for name, listed in (("grouped", grouped), ("apart", rows)):
        table = write_csv(isic_folder, name, listed)
        assert main([str(study), "--data", str(table), *UNCHECKED]) == 0
        reports.append(study / "external" / name / "report")
        said = " ".join(capsys.readouterr().out.split())
        units = len(rows) // 2 + 1 if name == "grouped" else len(rows)
        assert (f"are of {units} lesions or patients" in said) == (name == "grouped")
        assert pd.read_csv(reports[-1] / "images.csv")["groups"].tolist() == [units]
    found, plain = (pd.read_csv(report / "ablation.csv") for report in reports)
    assert_frame_equal(found[["auc_mean", "acc"]], plain[["auc_mean", "acc"]])
    assert (found["auc_low"] != plain["auc_low"]).all()
    assert (found["acc_low"] != plain["acc_low"]).all()
    found, plain = (pd.read_csv(report / "reliability.csv") for report in reports)
    assert found["mcnemar_p"].isna().all() and plain["mcnemar_p"].notna().any()


def test_labels_mean_what_they_mean_in_the_study(study, isic_folder):
    texts = {0: "mole", 1: "mel"}
    rows = [{**row, "label": texts[row["label"]]} for row in rows_of(isic_folder, TEST)]
    table = write_csv(isic_folder, "texts", rows)
    spec = json.loads((study / "spec.json").read_text())
    spec["options"] |= {"positive": ["naevus"], "labels": ["mole=naevus", "mel=melanoma"]}
    (study / "spec.json").write_text(json.dumps(spec))
    assert main([str(study), "--data", str(table), *UNCHECKED]) == 0
    found = predictions(study, "texts").drop_duplicates("image_id").set_index("image_id")["label"]
    assert found.to_dict() == {row["image"]: int(row["label"] == "mole") for row in rows}
    with pytest.raises(InputError, match="the study's models tell naevus from all others"):
        main([str(study), "--data", str(table), "--positive", "melanoma", *UNCHECKED])


def test_images_of_one_class_have_figures_where_these_are_defined(study, isic_folder):
    rows = [row for row in rows_of(isic_folder, TEST) if row["label"] == 0]
    table = write_csv(isic_folder, "benign", rows)
    assert main([str(study), "--data", str(table), *UNCHECKED]) == 0
    found = pd.read_csv(study / "external" / "benign" / "report" / "ablation.csv")
    assert found["auc_mean"].isna().all() and found["spe"].between(0, 1).all()


def test_models_without_a_study_stand_side_by_side(study, isic_folder, tmp_path):
    table = write_csv(isic_folder, "clinic", rows_of(isic_folder, TEST))
    folders = [str(study / "models" / str(arm) / "seed-1") for arm in ARMS]
    out = tmp_path / "out"
    command = ["--model", *folders, "--out", str(out), "--data", str(table), *UNCHECKED]
    assert main(command) == 0
    found = pd.read_csv(out / "report" / "ablation.csv")
    assert found["arm"].tolist() == [str(arm) for arm in ARMS]
    assert main([str(study), "--data", str(table), *UNCHECKED]) == 0
    of_study = predictions(study, "clinic")
    alone = pd.read_parquet(out / "predictions")
    first = of_study[of_study["seed"] == 1].set_index(["arm", "image_id"])["score"]
    assert (alone.set_index(["arm", "image_id"])["score"] == first).all()


def test_a_report_has_no_file_of_an_earlier_one_that_it_does_not_write(study, isic_folder):
    table = write_csv(isic_folder, "clinic", rows_of(isic_folder, TEST))
    command = [str(study), "--data", str(table), "--duplicates", "unchecked"]
    assert main([*command, "--corrupt", "blur", "--severities", "1"]) == 0
    report = study / "external" / "clinic" / "report"
    before = {path.name for path in report.iterdir()}
    assert {"external.md", "robustness.csv", "robustness.svg"} < before
    (report / "notes.csv").touch()  # somebody's own
    assert main([*command, "--format", "csv"]) == 0
    tables = {name for name in before if name.endswith(".csv")} - {"robustness.csv"}
    assert {path.name for path in report.iterdir()} == {*tables, "notes.csv"}


def test_models_that_differ_in_more_than_the_seed_are_no_seeds_of_one_arm(study):
    folders = [str(study / "models" / str(ARMS[0]) / f"seed-{seed}") for seed in SEEDS]
    assert [each.row.seed for each in models.models_in(folders)] == [1, 2]
    saved = Path(folders[1]) / "config.json"
    config = json.loads(saved.read_text())
    del config["square_box"]  # as an earlier version wrote it
    saved.write_text(json.dumps(config))
    assert len(models.models_in(folders)) == 2
    saved.write_text(json.dumps(config | {"box_padding": 0.1}))
    with pytest.raises(InputError, match=r"no other seed of .*box_padding is 0.1, not 0.0"):
        models.models_in(folders)


def test_another_model_of_the_same_name_gets_figures_of_its_own(study, isic_folder, tmp_path):
    table = write_csv(isic_folder, "clinic", rows_of(isic_folder, TEST))
    folders = [study / "models" / str(ARMS[0]) / f"seed-{seed}" for seed in SEEDS]

    def scores_of(folder: Path, out: str) -> pd.Series:
        command = ["--model", str(folder), "--out", str(tmp_path / out), "--data", str(table)]
        assert main([*command, *UNCHECKED]) == 0
        return pd.read_parquet(tmp_path / out / "predictions").set_index("image_id")["score"]

    first = scores_of(folders[0], "one")
    second = scores_of(folders[1], "one")
    assert not first.equals(second) and second.equals(scores_of(folders[1], "two"))


def test_a_model_trained_again_is_evaluated_again_and_no_other(study, isic_folder, monkeypatch):
    table = write_csv(isic_folder, "clinic", rows_of(isic_folder, TEST))
    command = [str(study), "--data", str(table), *UNCHECKED]
    assert main(command) == 0
    again, source = (study / "models" / str(ARMS[0]) / f"seed-{seed}" for seed in SEEDS)
    shutil.copy(source / "model.safetensors", again / "model.safetensors")
    evaluated = []
    evaluate = models.evaluate
    monkeypatch.setattr(
        models, "evaluate", lambda *inputs: evaluated.append(inputs) or evaluate(*inputs)
    )
    assert main(command) == 0
    assert len(evaluated) == 1
    rows = predictions(study, "clinic")
    of_arm = rows[rows["arm"] == str(ARMS[0])].pivot(
        index="image_id", columns="seed", values="score"
    )
    assert (of_arm[SEEDS[0]] == of_arm[SEEDS[1]]).all()


@pytest.mark.slow  # each process imports PyTorch
def test_models_dealt_over_devices_have_the_rows_that_one_device_gives(study, isic_folder):
    table = write_csv(isic_folder, "clinic", rows_of(isic_folder, TEST))
    command = [str(study), "--data", str(table), *UNCHECKED, "--corrupt", "blur"]
    command += ["--severities", "1", "--device"]
    assert main([*command, "cpu"]) == 0
    assert main([*command, "cpu,cpu", "--name", "dealt"]) == 0
    files = [
        {path.relative_to(folder): path for path in folder.rglob("*/*.parquet")}
        for folder in (study / "external" / name for name in ("clinic", "dealt"))
    ]
    assert files[0].keys() == files[1].keys() and len(files[0]) == 2 * len(ARMS) * len(SEEDS)
    for name, path in files[0].items():
        assert pq.read_table(path).equals(pq.read_table(files[1][name]), check_metadata=True), name

    weights = study / "models" / str(ARMS[1]) / f"seed-{SEEDS[0]}" / "model.safetensors"
    weights.write_bytes(b"no weights")
    with pytest.raises(InputError, match=r"holds no readable model: model\.safetensors"):
        main([*command, "cpu,cpu", "--name", "dealt"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "x.csv"], "name one of STUDY and --model"),
        (["STUDY"], "--data PATH is needed"),
        (["STUDY", "--data", "nowhere.csv"], "nowhere.csv"),
        (["STUDY", "--data", "CSV", "--name", "../up"], "--name must be up to 60 letters"),
        (["STUDY", "--data", "CSV", "--out", "x"], "--out belongs to --model"),
        (["--model", "x", "--data", "CSV"], "--out DIR is needed"),
        (["STUDY", "--data", "CSV", "--corrupt", "hair", "hair"], "name each once"),
        (["STUDY", "--data", "CSV", "--severities", "6"], "severities must be from 1 to 5"),
        (["STUDY", "--data", "CSV", "--severities", "1"], "--severities belongs to --corrupt"),
        (["STUDY", "--data", "CSV", "--seed", "0"], "--seed belongs to --corrupt"),
        (["STUDY", "--data", "CSV", "--study-data", "x", *UNCHECKED], "leave one out"),
        (["STUDY", "--data", "CSV", "--split", "train"], "no images of the split 'train'"),
        (["STUDY", "--data", "CSV", "--study-data", "CSV"], "with --study-data PATH, or say"),
    ],
)
def test_what_cannot_be_done_is_one_line(study, isic_folder, words, message):
    table = write_csv(isic_folder, "clinic", rows_of(isic_folder, TEST))
    places = {"STUDY": str(study), "CSV": str(table)}
    with pytest.raises(InputError, match=message) as raised:
        main([places.get(word, word) for word in words])
    assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_corrupted_images_cost_each_arm_what_is_said_and_identity_costs_exactly_nothing(
    study, isic_folder
):
    table = write_csv(isic_folder, "clinic", rows_of(isic_folder, TEST))
    corrupt = ["--corrupt", "identity", "hair", "blur", "--severities", "2", "5"]
    command = [str(study), "--data", str(table), "--duplicates", "unchecked", *corrupt]
    assert main([*command, "--format", "csv", "figures"]) == 0
    report = study / "external" / "clinic" / "report"
    lost = pd.read_csv(report / "robustness.csv").set_index(["corruption", "severity", "arm"])
    assert len(lost) == 3 * 2 * len(ARMS) and (report / "robustness.svg").exists()
    nothing = lost.loc["identity"]
    assert (nothing[["change", "change_low", "change_high"]] == 0).all(axis=None)
    assert (nothing["p_value"] == 1).all()

    def auc(rows: pd.DataFrame) -> float:
        return float(np.mean([roc_auc_score(r["label"], r["score"]) for _, r in rows]))

    clean = predictions(study, "clinic")
    hairy = pd.read_parquet(study / "external" / "clinic" / "corrupted" / "hair-5")
    for arm in map(str, ARMS):
        before, after = (auc(each[each["arm"] == arm].groupby("seed")) for each in (clean, hairy))
        assert lost.loc[("hair", 5, arm), "auc_mean"] == pytest.approx(after, abs=1e-12)
        assert lost.loc[("hair", 5, arm), "change"] == pytest.approx(after - before, abs=1e-12)
    plain, whole = (lost.loc[("hair", 5, str(arm))] for arm in ARMS)
    assert plain["minus_reference"] == pytest.approx(plain["change"] - whole["change"], abs=1e-12)
    assert np.isnan(whole["minus_reference"])


@pytest.mark.slow
def test_a_study_on_s3_holds_its_external_sets_beside_its_rows(s3, study, isic_folder):
    table = write_csv(isic_folder, "clinic", rows_of(isic_folder, TEST))
    s3.make_bucket("studies")
    s3.put_folder(study, "studies/paper")
    assert main([str(study), "--data", str(table), *UNCHECKED]) == 0
    for _ in range(2):  # the second call finds all there
        assert main(["s3://studies/paper", "--data", str(table), *UNCHECKED]) == 0
    place = any_path("s3://studies/paper") / "external" / "clinic"
    here = study / "external" / "clinic"
    assert (place / "report" / "ablation.csv").read_text() == (
        here / "report" / "ablation.csv"
    ).read_text()
    names = sorted(path.name for path in (here / "predictions").iterdir())
    assert sorted((place / "predictions").parquet_files()) == names
