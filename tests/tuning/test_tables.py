"""Files that say what a study is asked: every option in TOML, and the spec of a study again."""

import dataclasses
import json
import tomllib

import pytest

from masll import InputError
from masll.common.storage import any_path
from tests.support import ROOT
from tuning.declarations import declared_arms
from tuning.options import resolve
from tuning.search import parse
from tuning.space import load_space
from tuning.study.folder import StudyFolder
from tuning.study.spec import Spec, read_spec
from tuning.tables import as_toml, config_of

ARMS = """
[arms.padded]
box_padding = 0.1
about = "a box with a margin"

[arms.no-imagenet]
pretrained = false
lacks = "ImageNet's weights"
"""
ASKED = {
    "backbones": ("resnet18", "densenet121"),
    "trials": 3,
    "controls": ("whole", "centre"),
    "set": ("optimizer=adamw", "weight_decay=0.01"),
    "note": 'with "quotes", a \\ and ümlauts',
    "data": "lesions.csv",
}


def study(folder, monkeypatch, **asked):
    """The spec of a study that nobody has run, in a folder."""
    monkeypatch.chdir(folder)
    (folder / "arms.toml").write_text(ARMS)
    options = resolve({**ASKED, "arms": "arms.toml", **asked})
    space = load_space(options.space, options.fixed)
    values = dataclasses.asdict(options)
    kept = {name: value for name, value in values.items() if name not in ("space", "arms", "study")}
    spec = Spec(
        arms=declared_arms(options, space), options=json.loads(json.dumps(kept)), space=space
    )
    spec.write(StudyFolder(any_path(folder / "before")))
    return options, space, spec


@pytest.mark.parametrize("confirm_default", [False, True])
@pytest.mark.parametrize("printed", [False, True])
def test_what_a_study_was_asked_asks_the_same_again(
    tmp_path, monkeypatch, printed, confirm_default
):
    options, space, spec = study(tmp_path, monkeypatch, confirm_default=confirm_default)
    file = tmp_path / "before" / "spec.json"
    if printed:
        file = tmp_path / "again.toml"
        file.write_text(as_toml(config_of(spec)), encoding="utf-8")
    again = resolve(parse(["--config", str(file)]))
    assert load_space(again.space, again.fixed) == space
    assert declared_arms(again, space) == spec.arms
    data = {"space": None, "arms": None}
    ignoring = {**data, "data": str(tmp_path / "lesions.csv")}
    assert dataclasses.replace(again, **data) == dataclasses.replace(options, **ignoring)


def test_what_is_given_beside_a_file_counts(tmp_path):
    file = tmp_path / "study.toml"
    file.write_text('seeds = 7\nimage-size = 64\nvariants = ["baseline", "gated-fusion"]\n')
    chosen = parse(["--config", str(file), "--seeds", "9"])
    assert chosen == {"seeds": 9, "image_size": 64, "variants": ("baseline", "gated-fusion")}


def test_every_option_can_stand_in_a_file(tmp_path):
    options = resolve({})
    names = {field.name for field in dataclasses.fields(options)} - {"space", "arms"}
    given = {name: getattr(options, name) for name in names}
    file = tmp_path / "all.toml"
    file.write_text(as_toml({name: v for name, v in given.items() if v is not None}))
    assert resolve({**parse(["--config", str(file)]), "space": options.space}) == options


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epoch = 3", r"unknown option epoch \(did you mean 'epochs'\?\)"),
        ("resume = true", "unknown option resume"),
        ("seeds = ", "is no TOML file"),
        ('seeds = "three"', "seeds must be of type int, got 'three'"),
        ("variants = 'baseline'", "variants must be a list"),
        ("[space.lr]\nlow = 'a'", r"study.toml, \[lr\]"),
    ],
)
def test_a_wrong_file_of_options_is_one_line(tmp_path, text, said):
    (tmp_path / "study.toml").write_text(text)
    with pytest.raises(InputError, match=said):
        options = resolve(parse(["--config", str(tmp_path / "study.toml")]))
        load_space(options.space, options.fixed)


def test_a_study_with_a_part_of_its_own_asks_for_its_file(tmp_path, monkeypatch):
    _, _, spec = study(tmp_path, monkeypatch)
    dataclasses.replace(spec, parts={"a-sum": "0" * 64}).write(
        StudyFolder(any_path(tmp_path / "before"))
    )
    with pytest.raises(InputError, match="a part of its own, a-sum; name its file, too: --variant"):
        parse(["--config", str(tmp_path / "before" / "spec.json")])


def test_the_spec_of_an_earlier_version_can_be_asked_again():
    golden = ROOT / "tests" / "golden" / "finished" / "spec.json"
    spec = read_spec(StudyFolder(any_path(golden.parent)))
    again = tomllib.loads(as_toml(config_of(spec)))
    assert again["backbones"] == list(spec.options["backbones"])
    assert set(again["space"]) == {parameter.name for parameter in spec.space}
