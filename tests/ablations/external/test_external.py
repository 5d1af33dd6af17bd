"""Confirmed models on images that took no part in their study, from files to tables."""

import csv
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from ablations.external.__main__ import main
from ablations.report import write_report


def write_csv(folder: Path, name: str, rows: list[dict[str, object]]) -> Path:
    """A CSV file in a folder, with the columns of its first row."""
    path = folder / f"{name}.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def rows_of(isic: Path, prefix: str, split: str = "test") -> list[dict[str, object]]:
    """The images of a part of an official folder, as rows of a CSV file in that folder."""
    with (isic / f"{prefix}_Part3_GroundTruth.csv").open() as file:
        return [
            {
                "image": f"{prefix}_Data/{row['image_id']}.jpg",
                "label": int(float(row["melanoma"])),
                "split": split,
                "mask": f"{prefix}_Part1_GroundTruth/{row['image_id']}_segmentation.png",
            }
            for row in csv.DictReader(file)
        ]


def test_a_study_s_own_test_images_through_a_csv_give_its_own_tables(study, isic_folder):
    table = write_csv(isic_folder, "own", rows_of(isic_folder, "ISIC-2017_Test_v2"))
    assert main([str(study), "--data", str(table), "--format", "csv"]) == 0
    write_report(str(study), ("csv",))
    report = study / "external" / "own" / "report"
    for name in ("ablation", "effects", "ensembles", "operating_points", "reliability"):
        own, external = (pd.read_csv(each / f"{name}.csv") for each in (study / "report", report))
        assert_frame_equal(own, external, check_exact=False, rtol=0, atol=1e-9, obj=name)
    change = pd.read_csv(report / "change.csv")
    assert (change["delta_auc"] == 0).all() and len(change) == 2
