"""A study of users' own parts: declared, trained in Ray's workers, kept, and asked for again."""

import json
import re
import shutil

import pandas as pd
import pytest

from masll.common.errors import InputError
from tests.masll.test_parts import FUSION, LOCALIZER, code_of_the_guide, write
from tests.support import ROOT, TINY_BACKBONE
from tuning import search, status
from tuning.declarations import declared_arms
from tuning.options import resolve
from tuning.space import DEFAULT_SPACE, load_space
from tuning.study.space import of_arm

FIXED = {"fusion": "a-sum"}


def arms_of(folder, text: str = "", *files: str, **options):
    """Declared arms by name."""
    (folder / "arms.toml").write_text(text)
    asked = {"variant_from": files, "arms": str(folder / "arms.toml"), "confirm_default": False}
    space = options.pop("space", DEFAULT_SPACE)
    arms = declared_arms(resolve({"backbones": ("resnet18",)} | asked | options), space)
    return {arm.name: arm for arm in arms if arm.declared is not None}


def test_a_file_is_an_arm_of_its_name_beside_gated_fusion(tmp_path):
    a_sum = write(tmp_path, "a_sum.py", FUSION)
    both = write(
        tmp_path, "both.py", LOCALIZER + FUSION.replace("(self, channels)", "(self, n, o)")
    )
    arms = arms_of(tmp_path, "", a_sum, both)
    assert {name: dict(arm.fixed) for name, arm in arms.items()} == {
        "a-sum": FIXED,
        "both": {"fusion": "both", "localizer": "both"},
    }
    assert all(arm.variant == arm.reference == "gated-fusion" for arm in arms.values())
    assert arms["a-sum"].declared.about == "A sum"


def test_nothing_of_wfi_is_searched_where_the_fusion_is_a_users(tmp_path):
    (tmp_path / "space.toml").write_text("[gate_bias]\nlow = -3\nhigh = 3\n")
    space = load_space(str(tmp_path / "space.toml"))
    arms = arms_of(tmp_path, "", write(tmp_path, "a_sum.py", FUSION), space=space)
    assert [p.name for p in of_arm(space, arms["a-sum"])] == ["lr", "threshold_scale"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[x]\nfusion = 'a-sun'", r"no part 'a-sun' \(did you mean 'a-sum'"),
        ("[x]\nfusion = 1", "no part 1"),
        ("[x]\nlocalizer = 'a-sum'", "a-sum has no localizer; it is a fusion"),
        ("[x]\nfusion = 'a-sum'\nvariant = 'baseline'", "baseline has no gate"),
        ("[x]\nfusion = 'a-sum'\ngate_bias = 1.0", "has no gate_bias"),
        ("[x]\nfusion = 'a-sum'\nfusion_options = 3", "fusion_options must be a table"),
        ("[x]\nfusion = 'a-sum'\nfusion_options = {a = 3}", "a means nothing"),
        ("[x]\nlocalizer = 'corner'\nlocalizer_options = {sid = 3}", "Options has no sid"),
        ("[x]\nfusion_options = {a = 3}", "unknown option"),
        ("[a-sum]\nfusion = 'a-sum'", "another arm has that name"),
    ],
)
def test_what_a_file_of_arms_says_wrongly_of_a_part_is_one_line(tmp_path, text, words):
    files = write(tmp_path, "a_sum.py", FUSION), write(tmp_path, "corner.py", LOCALIZER)
    with pytest.raises(InputError, match=words) as error:
        arms_of(tmp_path, text, *files)
    assert "\n" not in str(error.value)


def test_two_parts_of_one_name_are_refused(tmp_path):
    (tmp_path / "other").mkdir()
    files = write(tmp_path, "a_sum.py", FUSION), write(tmp_path / "other", "a_sum.py", FUSION)
    with pytest.raises(InputError, match="another part is a-sum; rename it"):
        arms_of(tmp_path, "", *files)
    with pytest.raises(InputError, match="--variant-from, baseline: another arm has that name"):
        arms_of(tmp_path, "", write(tmp_path, "baseline.py", FUSION))


@pytest.mark.slow
def test_a_study_of_the_guides_parts_by_ray_is_resumed_only_with_their_files(
    isic_master, cache, tmp_path, monkeypatch
):
    monkeypatch.setenv("MASLL_CACHE", str(cache))
    files = [write(tmp_path, name, code) for name, code in code_of_the_guide().items()]
    text = (ROOT / "docs" / "parts.md").read_text()
    (toml,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    arms, study = write(tmp_path, "parts.toml", toml), tmp_path / "study"
    question = ["--data", str(isic_master), "--partial", "--study", str(study)]
    question += ["--backbones", TINY_BACKBONE, "--no-pretrained", "--image-size", "32"]
    question += ["--variants", "gated-fusion", "local-only", "--variant-from", *files]
    question += ["--arms", arms, "--trials", "1", "--epochs", "1", "--seeds", "1"]
    assert search.main(question) == 0

    trials = pd.read_parquet(study / "trials")
    assert len(trials) == 12 and set(trials["status"]) == {"completed"}
    names = trials.drop_duplicates("arm").set_index("arm")
    fixed = names["fixed"].dropna().map(json.loads).rename(lambda arm: arm.partition("/")[0])
    assert fixed.to_dict() == {
        "branch-weights": {"fusion": "branch-weights"},
        "peak-box": {"localizer": "peak-box"},
        "warm": {"fusion": "branch-weights", "fusion_options": {"temperature": 4.0}},
        "peak-only": {"threshold_scale": 1.0, "localizer": "peak-box"},
    }
    report = (study / "report" / "ablation.md").read_text()
    assert "branch-weights (A weight for each branch instead of one for each channel)" in report
    assert "fusion_options.temperature 4.0 fixed" in " ".join(report.split())
    for name, kind, file in (
        ("warm", "fusion", "branch_weights.py"),
        ("peak-only", "localizer", "peak_box.py"),
    ):
        folder = study / "models" / name / TINY_BACKBONE / "seed-1"
        assert (folder / f"{kind}.py").read_text() == (tmp_path / file).read_text()
    assert (study / "parts" / "peak-box.py").exists()
    boxes = pd.read_parquet(study / "predictions", filters=[("split", "==", "test")])
    boxes = boxes[boxes["arm"].str.startswith("peak-")]
    assert ((boxes["x1"] - boxes["x0"]) == 0.5).all()

    again = ["--study", str(study), "--resume", "--seeds", "2"]
    with pytest.raises(InputError, match="a part of its own, branch-weights; name its file again"):
        search.main(again)
    shutil.copy(files[0], tmp_path / "kept")
    write(tmp_path, "branch_weights.py", FUSION)
    with pytest.raises(InputError, match=r"branch_weights.py is not what the study began with"):
        search.main([*again, "--variant-from", *files])
    shutil.copy(tmp_path / "kept", files[0])
    another = write(tmp_path, "a_sum.py", FUSION)
    with pytest.raises(InputError, match="the study was not asked about a-sum"):
        search.main([*again, "--variant-from", *files, another])
    copies = [str(study / "parts" / f"{name}.py") for name in ("branch-weights", "peak-box")]
    assert search.main([*again, "--variant-from", *copies, "--in-process"]) == 0
    assert len(pd.read_parquet(study / "trials")) == 18
    assert status.main([str(study)]) == 0
