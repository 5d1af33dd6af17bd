"""Studies on disk that follow the contract of the study folder, for the tests of ablations."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.api.types import is_object_dtype
from sklearn.metrics import roc_auc_score

from masll.variants import VARIANTS, describe

Arm = tuple[str, str]
ARMS: tuple[Arm, ...] = tuple((variant, "resnet18") for variant in VARIANTS)
TEST_FIGURES = ("acc", "sen", "spe", "sen_at_spe_95", "sen_at_spe_90", "sen_at_spe_85")


@dataclass
class StudyBuilder:
    """Writes trials one by one, each into files of its own, as the search does."""

    path: Path
    images: int = 40
    positives: int = 12
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))

    def search(self, arm: Arm, number: int = 0, status: str = "completed") -> str:
        return self.trial(arm, "search", number, status)

    def confirm(self, arm: Arm, seed: int, status: str = "completed", **changed: Any) -> str:
        return self.trial(arm, "confirm", seed, status, **changed)

    def trial(
        self, arm: Arm, stage: str, seed: int, status: str, finished: bool = True, **changed: Any
    ) -> str:
        """Write one trial; without its row in trials unless it has `finished`."""
        variant, backbone = arm
        name = f"{variant}-{backbone}-{stage}-{seed}"
        splits = ["validation"] + ["test"] * (stage == "confirm")
        made = {}
        if status == "completed":
            made = {split: self._predictions(name, arm, stage, seed, split) for split in splits}
            self.write("predictions", name, pd.concat(made.values()))
        epochs = pd.DataFrame(
            {
                "trial_id": name,
                "epoch": [1, 2],
                "lr": 0.01,
                "train_loss": [0.6, 0.5],
                "val_loss": [0.7, 0.6],
                "val_auc": [0.6, changed.get("val_auc", 0.7)],
                "box_area": 0.4,
                "box_fallback_rate": 0.0,
                "seconds": 1.0,
            }
        )
        self.write("epochs", name, epochs)
        if finished:
            test = made.get("test")
            auc = None if test is None else _auc(test["label"], test["score"])
            row = {
                "trial_id": name,
                "arm": f"{variant}/{backbone}",
                "variant": variant,
                "backbone": backbone,
                "stage": stage,
                "status": status,
                "seed": seed,
                "lr": 0.003,
                "threshold_scale": 1.25 if describe(variant).localizes else None,
                "epochs": 2,
                "best_epoch": 2,
                "val_auc": 0.7,
                "test_auc": auc,
                **{f"test_{figure}": None for figure in TEST_FIGURES},
                "error": "out of memory" if status == "failed" else None,
                "started_at": pd.Timestamp("2025-01-01", tz="UTC"),
                "ended_at": pd.Timestamp("2025-01-02", tz="UTC"),
                "seconds": 60.0,
                "images_per_second": 100.0,
                "node": "here",
                "device": "cpu",
                "peak_memory_mb": 900.0,
            }
            self.write("trials", name, pd.DataFrame([row | changed]))
        return name

    def write(self, kind: str, name: str, rows: pd.DataFrame) -> None:
        folder = self.path / kind
        folder.mkdir(parents=True, exist_ok=True)
        # Columns keep their type where all is null, or pandas could not read the folder.
        untyped = rows.columns[rows.isna().all() & rows.dtypes.map(is_object_dtype)]
        rows = rows.astype({name: str if name == "error" else float for name in untyped})
        rows.to_parquet(folder / f"{name}.parquet", index=False)

    def change(self, kind: str, name: str, edit: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
        """Rewrite one file."""
        self.write(kind, name, edit(pd.read_parquet(self.path / kind / f"{name}.parquet")))

    def spec(self, arms: Sequence[Arm] = ARMS, seeds: int = 2, **more: Any) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        spec = {
            "schema_version": 1,
            "arms": ["/".join(arm) for arm in arms],
            "options": {"seeds": seeds},
        }
        (self.path / "spec.json").write_text(json.dumps(spec | more))

    def whole(self, arms: Sequence[Arm] = ARMS, seeds: int = 2) -> "StudyBuilder":
        """A finished study: for each arm three search trials, and a confirm trial per seed."""
        self.spec(arms, seeds)
        for arm in arms:
            for number, status in enumerate(("completed", "pruned", "failed")):
                self.search(arm, number, status)
            for seed in range(1, seeds + 1):
                self.confirm(arm, seed)
        return self

    def _predictions(self, name: str, arm: Arm, stage: str, seed: int, split: str) -> pd.DataFrame:
        label = (np.arange(self.images) < self.positives).astype(int)
        # Rounded, so that there are ties.
        noisy = 0.3 + 0.25 * label + self.rng.normal(0, 0.2, self.images)
        has_box = describe(arm[0]).localizes
        return pd.DataFrame(
            {
                "trial_id": name,
                "arm": "/".join(arm),
                "stage": stage,
                "seed": seed,
                "split": split,
                "image_id": [f"{split}-{i:04d}" for i in range(self.images)],
                "label": label,
                "score": noisy.clip(0, 1).round(2),
                "x0": 0.25 if has_box else None,
                "y0": 0.0 if has_box else None,
                "x1": 0.75 if has_box else None,
                "y1": 0.5 if has_box else None,
            }
        )


def _auc(label: pd.Series, score: pd.Series) -> float | None:
    return float(roc_auc_score(label, score)) if label.nunique() == 2 else None


@pytest.fixture
def build(tmp_path: Path) -> StudyBuilder:
    """A builder of a study in an empty folder."""
    return StudyBuilder(tmp_path / "study")
