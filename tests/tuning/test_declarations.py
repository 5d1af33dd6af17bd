"""Declared arms: their names, what they fix, what they are compared with, and a study of them."""

import json

import numpy as np
import pandas as pd
import pytest

from ablations.checklists.tripod import tripod
from ablations.documents import write_report
from ablations.rows import read_study
from ablations.tables import ablation_table
from ablations.verdict import verdict
from masll.common.errors import InputError
from tests.support import TINY_BACKBONE
from tuning import search, status
from tuning.declarations import declared_arms
from tuning.options import CONTROLS, SearchOptions, resolve
from tuning.space import DEFAULT_SPACE, load_space
from tuning.study.arm import Arm, Declaration
from tuning.study.space import of_arm
from tuning.study.spec import Spec


def asked(**options) -> SearchOptions:
    return resolve({"backbones": ("resnet18",), "confirm_default": False} | options)


def arms_of(tmp_path, text: str, **options) -> dict[str, Arm]:
    file = tmp_path / "arms.toml"
    file.write_text(text)
    arms = declared_arms(asked(arms=str(file), **options), DEFAULT_SPACE)
    return {str(arm): arm for arm in arms}


def test_controls_are_gated_fusion_with_its_box_from_elsewhere_and_a_reference_each():
    arms = declared_arms(asked(controls=CONTROLS), DEFAULT_SPACE)
    controls = [arm for arm in arms if arm.declared is not None]
    assert [arm.name for arm in controls] == [*CONTROLS]
    assert all(arm.variant == "gated-fusion" for arm in controls)
    assert [dict(arm.fixed) for arm in controls] == [{"box": name} for name in CONTROLS]
    references = {arm.name: arm.reference for arm in controls}
    assert references == {
        "whole": "global-only",
        "centre": "whole",
        "shuffled": "gated-fusion",
        "darkness": "gated-fusion",
        "mask": "gated-fusion",
    }
    searched = {arm.name: [p.name for p in of_arm(DEFAULT_SPACE, arm)] for arm in controls}
    assert searched.pop("shuffled") == ["lr", "threshold_scale"]
    assert set(map(tuple, searched.values())) == {("lr",)}, "no threshold without a map"


def test_an_arm_of_a_file_fixes_options_of_either_config_on_every_backbone(tmp_path):
    text = """
        [shared]
        shared_backbone = true
        weight_decay = 0
        about = "one set of weights"
        [plain-adamw]
        variant = "baseline"
        optimizer = "adamw"
        compare = "baseline"
        lacks = "momentum"
    """
    arms = arms_of(tmp_path, text, backbones=("resnet18", "test_resnet"))
    assert len(arms) == 14 and list(arms)[5:7] == ["shared/resnet18", "plain-adamw/resnet18"]
    shared, adamw = arms["shared/test_resnet"], arms["plain-adamw/test_resnet"]
    assert shared.fixed == {"shared_backbone": True, "weight_decay": 0.0}
    assert isinstance(shared.fixed["weight_decay"], float)
    assert (adamw.variant, adamw.reference, adamw.declared.lacks) == (
        *("baseline", "baseline", "momentum"),
    )
    (lr,) = of_arm(DEFAULT_SPACE, adamw)
    assert lr.default == 5e-4, "the learning rate follows the optimizer"
    model, training = asked().recipe.configs(adamw, {"lr": 0.001})
    assert (model.variant, training.optimizer, training.lr) == ("baseline", "adamw", 0.001)


def test_a_range_of_the_study_s_own_stays_whatever_the_optimizer(tmp_path):
    file = tmp_path / "space.toml"
    file.write_text("[lr]\nlow = 0.001\nhigh = 0.01\n")
    arm = Arm("baseline", "resnet18", Declaration("adamw", {"optimizer": "adamw"}))
    (lr,) = of_arm(load_space(str(file)), arm)
    assert (lr.low, lr.high) == (0.001, 0.01)


def test_default_settings_are_arms_without_a_search_compared_with_the_tuned_ones(tmp_path):
    arms = arms_of(
        tmp_path,
        "[fixed]\nlr = 0.1\nthreshold_scale = 1.5",
        confirm_default=True,
        controls=("mask",),
    )
    defaults = {name: arm for name, arm in arms.items() if arm.is_default}
    assert len(defaults) == 6 and "fixed-default/resnet18" not in defaults, "nothing is tuned in it"
    gated, mask = defaults["gated-fusion-default/resnet18"], defaults["mask-default/resnet18"]
    assert gated.fixed == {"lr": 0.005, "threshold_scale": 1.0}
    assert mask.fixed == {"box": "mask", "lr": 0.005} and mask.reference == "mask"
    assert not of_arm(DEFAULT_SPACE, gated)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[a]\nbox_paddin = 0.1", ["[a], box_paddin", "did you mean", "box_padding"]),
        ("[a]\nbox = 'lesion'", ["[a]", "lesion", "darkness"]),
        ("[a]\nbox_padding = 'wide'", ["[a], box_padding", "'wide'", "float"]),
        ("[a]\nbox_padding = -1", ["[a]", "box padding", "-1"]),
        ("[a]\nepochs = 3", ["[a], epochs", "the study decides it"]),
        ("[a]\nimage_size = 64", ["[a], image_size", "the study decides it"]),
        ("[a]\nvariant = 'gated'", ["[a]", "unknown variant 'gated'", "gated-fusion"]),
        ("[a]\nvariant = 'baseline'\nmap_size = 8", ["[a]", "baseline has no map_size"]),
        ("[a]\nvariant = 'concat-fusion'\ngate_bias = 1.0", ["[a]", "has no gate_bias"]),
        ("[a]\ncompare = 'b'", ["[a] is compared with b", "has not got"]),
        ("[a]\ncompare = 'a'", ["[a]", "itself"]),
        ("[a]\nabout = 3", ["[a]", "about must be a text"]),
        ("[baseline]\nlr = 0.1", ["[baseline]", "another arm has that name"]),
        ("['a/b']\nlr = 0.1", ["[a/b]", "letters"]),
        ("[a-default]\nlr = 0.1", ["[a-default]", "-default"]),
        ("a = 3", ["'a' must be a table"]),
        ("[a", ["no TOML"]),
    ],
)
def test_what_is_wrong_in_a_file_is_one_line_that_names_it(tmp_path, text, words):
    with pytest.raises(InputError) as caught:
        arms_of(tmp_path, text)
    said = str(caught.value)
    assert "\n" not in said and all(word in said for word in words), said


def test_a_control_needs_its_reference():
    with pytest.raises(InputError, match="--controls centre is compared with whole"):
        declared_arms(asked(controls=("centre",)), DEFAULT_SPACE)
    with pytest.raises(InputError, match="gated-fusion, which the study has not got"):
        declared_arms(asked(controls=("mask",), variants=("baseline",)), DEFAULT_SPACE)


def test_an_arm_is_the_same_from_its_spec_and_says_why():
    arms = declared_arms(asked(controls=("whole", "mask"), confirm_default=True), DEFAULT_SPACE)
    again = Spec.from_json(json.loads(json.dumps(Spec(arms=arms, space=DEFAULT_SPACE).as_json())))
    assert again.arms == arms and list(map(hash, again.arms)) == list(map(hash, arms))
    assert [arm.declared and arm.declared.about for arm in again.arms] == [
        arm.declared and arm.declared.about for arm in arms
    ]


@pytest.mark.slow
def test_a_study_of_declared_arms_from_its_first_trial_to_its_report(
    isic_master, cache, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("MASLL_CACHE", str(cache))
    file, study = tmp_path / "arms.toml", tmp_path / "study"
    file.write_text("[shared]\nshared_backbone = true\nabout = 'one set of weights'\n")
    question = ["--data", str(isic_master), "--partial", "--study", str(study), "--in-process"]
    question += ["--backbones", TINY_BACKBONE, "--no-pretrained", "--image-size", "32"]
    question += ["--variants", "global-only", "gated-fusion", "--controls", "whole", "shuffled"]
    question += ["--arms", str(file), "--confirm-default"]
    question += ["--trials", "1", "--epochs", "1", "--seeds", "1"]
    assert search.main(question) == 0
    shown = capsys.readouterr().out

    trials = pd.read_parquet(study / "trials")
    searched, confirmed = (trials[trials["stage"] == s] for s in ("search", "confirm"))
    names = {"global-only", "gated-fusion", "whole", "shuffled", "shared"}
    assert set(searched["arm"]) == {f"{name}/{TINY_BACKBONE}" for name in names}
    assert {arm.partition("/")[0] for arm in confirmed["arm"]} == (
        names | {f"{name}-default" for name in names}
    )
    fixed = trials.drop_duplicates("arm").set_index("arm")["fixed"]
    assert fixed[[f"global-only/{TINY_BACKBONE}", f"gated-fusion/{TINY_BACKBONE}"]].isna().all()
    assert json.loads(fixed[f"shared/{TINY_BACKBONE}"]) == {"shared_backbone": True}
    assert (trials["variant"][trials["arm"].str.startswith("whole")] == "gated-fusion").all()
    assert confirmed["lr"].notna().all(), "a rate that an arm fixes stands in its column"
    assert (study / "models" / "shuffled" / TINY_BACKBONE / "seed-1" / "config.json").exists()

    report = read_study(str(study))
    table = ablation_table(report).set_index("arm")
    scores = report.test_predictions.pivot(index="image_id", columns="arm", values="score")
    labels = report.test_predictions.drop_duplicates("image_id").set_index("image_id")["label"]

    def auc(name: str) -> float:
        positive, negative = (scores[f"{name}/{TINY_BACKBONE}"][labels == k] for k in (1, 0))
        above = positive.to_numpy()[:, None] - negative.to_numpy()
        return float(np.mean((above > 0) + 0.5 * (above == 0)))

    references = {"whole": "global-only", "shared": "gated-fusion", "whole-default": "whole"}
    for name, reference in references.items():
        row = table.loc[f"{name}/{TINY_BACKBONE}"]
        assert row["reference"] == reference
        assert row["delta_auc"] == pytest.approx(auc(name) - auc(reference), abs=1e-12)
    lines = verdict(report, table.reset_index())
    assert any(line.startswith("whole (a second network with finer pixels") for line in lines)
    assert any(line.startswith("Without localization itself (shuffled)") for line in lines)
    assert any(
        line.startswith("shared (one set of weights) against gated-fusion") for line in lines
    )
    assert sum(line.startswith("Tuned minus as published") for line in lines) == 1
    for control in ("whole against global-only", "gated-fusion against shuffled"):
        assert sum(line.startswith(f"{control}  ") for line in shown.splitlines()) == 1
    told = (study / "report/ablation.md").read_text()
    assert "shared: gated-fusion with shared_backbone True fixed" in told
    assert (
        "Declared beside the variants: shared" in tripod(report, table.reset_index()).as_document()
    )
    names = {path.name for path in write_report(report, ("csv", "figures"))}
    assert {"boxes.csv", "differences.png", "roc.png"} <= names
    boxes = pd.read_csv(study / "report" / "boxes.csv")
    assert set(boxes["box"]) >= {"whole", "centre", "shuffled", "darkness", "mask"}

    file.unlink()  # the spec holds what it said
    assert search.main(["--study", str(study), "--resume", "--seeds", "2", "--in-process"]) == 0
    again = pd.read_parquet(study / "trials")
    assert len(again) == len(trials) + 10 and set(trials["trial_id"]) < set(again["trial_id"])
    capsys.readouterr()
    assert status.main([str(study)]) == 0
    assert "shuffled" in capsys.readouterr().out
    with pytest.raises(InputError, match="--arms cannot change on resuming"):
        search.main(["--study", str(study), "--resume", "--arms", str(file)])
    with pytest.raises(InputError, match="--controls mask, but the study was asked whole shuffled"):
        search.main(["--study", str(study), "--resume", "--controls", "mask"])
