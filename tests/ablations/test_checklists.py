"""The checklists say what the spec and the rows say, and leave the rest to the authors."""

import functools
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from ablations.checklists.checklist import Checklist
from ablations.checklists.claim import claim
from ablations.checklists.results import external
from ablations.checklists.tripod import tripod
from ablations.rows import Study, read_study
from ablations.tables import ablation_table
from masll.common.errors import InputError

if TYPE_CHECKING:
    from conftest import StudyBuilder

PLAIN, GATED = ("baseline", "resnet18"), ("gated-fusion", "resnet18")
OPTIONS = {
    "seeds": 2,
    "trials": 3,
    "epochs": 40,
    "sampler": "random",
    "scheduler": "none",
    "seed": 9,
    "validation": "cv5",
    "space": [
        {
            "name": "lr",
            "type": "float",
            "low": 1e-4,
            "high": 0.1,
            "log": True,
            "variants": ["baseline", "gated-fusion"],
        },
        {
            "name": "class_weights",
            "type": "choice",
            "choices": [False, True],
            "variants": ["gated-fusion"],
        },
    ],
}
DATA = {
    "images": {"train": 200, "validation": 40, "test": 40},
    "melanoma": {"train": 30, "validation": 12, "test": 12},
}


def items(build: "StudyBuilder") -> dict[str, str]:
    """Item number of TRIPOD+AI to its answer."""
    return {entry.item.number: entry.answer for entry in checklist(build, tripod).entries}


def checklist(
    build: "StudyBuilder", of_study: Callable[[Study, pd.DataFrame], Checklist]
) -> Checklist:
    study = read_study(build.path)
    return of_study(study, ablation_table(study))


def states(made: Checklist) -> dict[str, str]:
    return {entry.item.number: entry.state for entry in made.entries}


def test_each_item_is_filled_from_the_spec_and_the_rows(build):
    build.whole(arms=(PLAIN, GATED))
    build.spec((PLAIN, GATED), options=OPTIONS, data=DATA)
    for seed in (1, 2):
        build.change(
            "trials",
            f"gated-fusion-resnet18-confirm-{seed}",
            lambda rows: rows.assign(class_weights=True),
        )
    told = items(build)
    tuning = told["12c"]
    assert "3 trials an arm of at most 40 epochs, drawn by random search (seed 9)" in tuning
    assert "five stratified folds" in tuning and "No trial was stopped early." in tuning
    assert "6 search trials of 2 arms were run: 2 completed, 2 stopped early, 2 failed" in tuning
    assert "lr (0.0001 to 0.1, on a log scale; in baseline, gated-fusion)" in tuning
    assert "class_weights (one of False, True; in gated-fusion)" in tuning
    assert "retrained with 2 seeds" in tuning and "| 0.003 | 1.25 |" in tuning
    assert "30 of 200 train images (15.0%)" in told["13"]
    assert "was searched" in told["13"] and "gated-fusion/resnet18 with." in told["13"]
    table = ablation_table(read_study(build.path)).set_index("variant")
    row = table.loc["baseline"]
    shown = f"{row['auc_mean']:.3f} ({row['auc_low']:.3f} to {row['auc_high']:.3f})"
    assert shown in told["23a"] and "On 40 test images, 12 melanoma" in told["23a"]
    assert f"{row['delta_auc']:+.3f} ({row['delta_low']:.3f} to" in told["23a"]


def test_what_is_not_known_is_said_not_made_up(build):
    build.whole(arms=(GATED,), seeds=1)
    (build.path / "spec.json").unlink()
    told = items(build)
    assert "not recorded in spec.json" in told["12c"]
    assert "12 of 40 test images (30.0%)" in told["13"]
    assert "DeLong's variance, as there is one seed" in told["12e"]
    assert "Weights of the classes in the loss: not recorded in spec.json." in told["13"]
    assert "first trial" not in told["12c"]
    assert "Source of the images: not recorded in spec.json." in told["16"]


@pytest.mark.parametrize("begun", [False, True])
def test_a_study_without_confirmed_models_claims_no_performance(build, begun):
    build.spec((GATED,))
    if begun:
        build.search(GATED)
    assert "No confirmed model yet" in items(build)["23a"]


def test_a_test_set_opened_again_is_admitted(build):
    build.whole(arms=(GATED,))
    for number in (1, 2):
        name = f"gated-fusion-resnet18-confirm-{number}"
        build.change("trials", name, functools.partial(pd.DataFrame.assign, confirmation=number))
    assert "the test set was opened 2 times" in items(build)["23a"]
    assert pd.read_parquet(build.path / "trials")["confirmation"].max() == 2


def test_arms_with_other_references_and_families_are_told_as_such(build):
    build.whole(arms=(PLAIN, GATED))
    assert "difference to gated-fusion of the same backbone; SEN" in items(build)["23a"]
    declare_defaults(build)
    told = items(build)
    for number in ("12e", "23a"):
        assert "of the same backbone, or to the arm that is named" in told[number]
    assert "compared with that arm as it was tuned" in told["23a"]
    assert "Holm's method within each family of comparisons" in told["12e"]


def test_default_settings_are_not_called_searched(build):
    build.whole(arms=(PLAIN, GATED))
    assert "Each arm, one variant of the network on one backbone, was tuned" in items(build)["12c"]
    declare_defaults(build)
    told = items(build)["12c"]
    assert "Each arm that was searched was tuned by itself" in told
    assert "6 search trials of 2 arms were run" in told
    assert "Not searched, as" in told and "was fixed): gated-fusion-default/resnet18." in told
    assert "of each arm that was searched, and the given setting of each other, were" in told


def declare_defaults(build: "StudyBuilder") -> None:
    """Make a study one of plain and gated networks, and of the latter as published."""
    name, fixed = "gated-fusion-default", {"lr": 0.005}
    described = {"variant": "gated-fusion", "fixed": fixed, "compare": "gated-fusion"}
    options = {name: value for name, value in OPTIONS.items() if name != "space"}
    arms = (PLAIN, GATED, (name, "resnet18"))
    build.spec(arms, options=options, data=DATA, declared={name: described})
    of_arm = {"arm": f"{name}/resnet18", "fixed": json.dumps(fixed)}
    for seed in (11, 12):
        trial = build.confirm(GATED, seed)
        build.change("trials", trial, lambda rows: rows.assign(**of_arm))
        build.change("predictions", trial, lambda rows: rows.assign(arm=of_arm["arm"]))


def test_before_the_confirmation_seeds_are_those_planned_or_left_open(build):
    build.spec((GATED,), seeds=5)
    build.search(GATED)
    assert "over seeds, each counted once" in items(build)["12e"]
    assert states(checklist(build, claim))["27"] == "open"
    build.spec((GATED,), options={})
    assert "or over images alone where each arm has one seed" in items(build)["12e"]


def test_a_budget_is_called_as_last_raised_and_a_source_one_path(build):
    build.whole(arms=(GATED,))
    begun = "2026-11-26T12:57:46+00:00"
    build.spec((GATED,), options=WHOLE, data=DATA | {"source": "mine"}, created_at=begun)
    told = items(build)
    assert "trials of an arm and seeds, as last raised" in told["18c"]
    assert "test images were read from one source, mine." in told["16"]
    assert "one definition" not in told["16"]


def test_only_external_sets_that_are_there_are_told_with_the_reports_they_have(build):
    build.whole(arms=(GATED,))
    (build.path / "external").mkdir()
    assert external(read_study(build.path)) == ""
    assert "No external set of images" in items(build)["26"]
    for name in ("clinic", "PH2"):
        (build.path / "external" / name / "predictions").mkdir(parents=True)
        (build.path / "external" / name / "predictions" / "a.parquet").touch()
    report = build.path / "external" / "PH2" / "report"
    report.mkdir()
    (report / "external.md").touch()
    told = external(read_study(build.path))
    assert "external/PH2/ with a report, external/clinic/ without a report." in told
    assert "No external set of images" not in items(build)["26"]


def test_a_spec_by_hand_that_says_less_or_something_odd_is_no_crash(build):
    build.whole(arms=(GATED,))
    data = {"images": {"train": 200, "test": 40, "more": 9}, "melanoma": {"test": 12, "more": 2}}
    build.spec((GATED,), options=WHOLE, data=data)
    told = items(build)
    assert "12 of 40 test images" in told["20a"] and "train" not in told["20a"]
    assert "| not recorded in spec.json | more | 9 | 2 |" in told["21"]
    for name, value in (("positive", None), ("partial", "yes"), ("labels", 3), ("split_by", "x")):
        build.spec((GATED,), options=WHOLE | {name: value})
        with pytest.raises(InputError, match=f"options.{name} must be of type"):
            read_study(build.path)


WHOLE = OPTIONS | {
    **{"data": "isic", "image_size": 64, "source_size": 128, "fit": "squash", "partial": False},
    "space": [
        OPTIONS["space"][0],
        {
            "name": "threshold_scale",
            "type": "float",
            "low": 0.5,
            "high": 2.0,
            "variants": ["gated-fusion"],
        },
    ],
}
BOTH = pytest.mark.parametrize("of_study", [tripod, claim])


def test_the_items_are_those_of_the_published_checklists_in_their_order(build):
    build.spec((GATED,))
    numbers = [entry.item.number for entry in checklist(build, tripod).entries]
    parts = {"3": "abc", "5": "ab", "6": "abc", "8": "abc", "9": "abc", "12": "abcdefg"}
    parts |= {"18": "abcdef", "20": "abc", "23": "ab", "27": "abc"}
    expected = [f"{n}{part}" for n in range(1, 28) for part in parts.get(str(n), [""])]
    assert numbers == expected and len(numbers) == 52
    numbers = [entry.item.number for entry in checklist(build, claim).entries]
    assert numbers == [str(n) for n in range(1, 45)]


@BOTH
def test_every_item_is_answered_or_says_what_the_authors_add(build, of_study):
    build.whole(arms=(PLAIN, GATED))
    build.spec((PLAIN, GATED), options=WHOLE, data=DATA | {"source": "isic2017"})
    made = checklist(build, of_study)
    assert all(entry.answer or entry.authors_add for entry in made.entries)
    table = made.as_table().set_index("item")
    assert (table["state"] == "open").equals(table["answer"] == "")
    document = made.as_document()
    answered, _, left = document.partition("## Open items")
    for number, row in table.iterrows():
        place = left if row["state"] == "open" else answered
        assert f"{number}. {row['topic']}" in place
        assert row["state"] == "answered" or row["authors_add"] in document


def test_what_only_people_know_is_left_to_them(build):
    build.whole(arms=(PLAIN, GATED))
    build.spec((PLAIN, GATED), options=WHOLE, data=DATA | {"source": "isic2017"})
    of_tripod, of_claim = (states(checklist(build, each)) for each in (tripod, claim))
    for number in ("1", "3c", "5b", "6b", "8b", "17", "18a", "18d", "19", "27a"):
        assert of_tripod[number] == "open", number
    for number in ("3", "5", "11", "13", "16", "18", "34", "44"):
        assert of_claim[number] == "open", number
    for number in ("9a", "12a", "12c", "12f", "13", "23a", "24"):
        assert of_tripod[number] == "answered", number


@BOTH
def test_without_a_spec_nothing_that_stands_on_it_is_called_answered(build, of_study):
    build.whole(arms=(GATED,))
    (build.path / "spec.json").unlink()
    made = checklist(build, of_study)
    of_spec = [entry for entry in made.entries if entry.item.stands_on == "spec.json"]
    assert len(of_spec) > 10 and "answered" not in {entry.state for entry in of_spec}
    assert "what spec.json does not say" in made.as_document()


def test_before_the_confirmation_there_are_no_results(build):
    build.spec((GATED,), options=WHOLE, data=DATA)
    build.search(GATED)
    assert states(checklist(build, tripod))["23a"] == "partly"
    told = states(checklist(build, claim))
    assert (told["37"], told["38"], told["39"]) == ("partly", "open", "open")


def test_a_weight_of_the_classes_that_was_fixed_is_told(build):
    build.whole(arms=(GATED,))
    build.spec((GATED,), options=OPTIONS | {"set": ["class_weights=true"], "space": []}, data=DATA)
    assert (
        "Weights of the classes in the loss were fixed: class_weights=true." in items(build)["13"]
    )


def test_a_weight_of_the_classes_that_is_to_be_searched_is_told_before_a_trial_has_ended(build):
    build.spec((GATED,), options=WHOLE | {"space": OPTIONS["space"]}, data=DATA)
    assert "Whether to weigh classes in the loss" in items(build)["13"]


def test_what_is_known_of_the_images_is_counted_with_what_is_not(build):
    build.whole(arms=(GATED,))
    known = pd.DataFrame({"image_id": [f"test-{i:04d}" for i in range(40)], "split": "test"})
    known["age"] = ["30"] * 10 + ["50"] * 20 + [None] * 10
    known["sex"] = ["male"] * 15 + ["Female"] * 25
    known.to_parquet(build.path / "metadata.parquet", index=False)
    told = items(build)["20b"]
    assert "Of 40 test images:" in told
    assert "| age | median 50 (quartiles 30, 50), not known 10 |" in told
    assert "| sex | female 25, male 15 |" in told


def test_melanomas_that_every_arm_misses_are_counted(build):
    build.whole(arms=(PLAIN, GATED))
    for variant, _ in (PLAIN, GATED):
        for seed in (1, 2):
            build.change(
                "predictions",
                f"{variant}-resnet18-confirm-{seed}",
                lambda rows: rows.assign(score=rows["label"].where(rows.index % 40 > 2, 0.0) * 0.9),
            )
    (told,) = (e.answer for e in checklist(build, claim).entries if e.item.number == "39")
    assert "3 of 12 melanomas are missed, and 0 of 28 other images called melanoma" in told
