"""What the labels of an external set mean beside a study."""

import pytest

from ablations.external.classes import as_in_study
from masll.common.errors import InputError
from masll.data.labelling import BINARY, Classes
from masll.data.options import SourceOptions
from masll.data.rules import AS_THEY_ARE
from tuning.study.spec import Spec

STUDY = Spec(options={"data": "x", "positive": ("nevus",), "labels": ("mole=nevus", "other=0")})
SEVERAL = Spec(options={"positive": ["melanoma", "bcc"]})  # as JSON has it
MALIGNANT = Spec(options={"positive": ["melanoma"], "labels": ["malignant=1", "benign=0"]})
SKIN = Classes({"melanoma": "melanoma", "nevus": "nevus", "nevus nos": "nevus nos"})


def test_the_positive_class_and_texts_are_the_study_s_and_further_texts_are_added():
    asked = SourceOptions(labels=("naevus=nevus", "Mole=nevus"))
    found = as_in_study(STUDY, asked, {"labels"}).labelling
    assert found.positive == ("nevus",)
    texts = ("mole", "other", "naevus")
    assert [found.class_of(text, BINARY) for text in texts] == ["nevus", "0", "nevus"]


@pytest.mark.parametrize(
    ("study", "texts", "labels"),
    [
        (STUDY, ("Mole", "other"), [1, 0]),
        (STUDY, ("other",), [0]),  # no image of the study's class
        (SEVERAL, ("melanoma", "nevus"), [1, 0]),  # and none of one of them
        (MALIGNANT, ("0", "1"), [0, 1]),  # none of its texts
        (MALIGNANT, (), []),
    ],
)
def test_a_set_may_lack_classes_and_texts_of_the_study(study, texts, labels):
    found = as_in_study(study, SourceOptions(), ()).labelling
    classes = SKIN if study is SEVERAL else BINARY
    found.check(texts, classes, "set")
    assert [found.label(text, classes, "label") for text in texts] == labels


def test_what_was_asked_for_a_set_must_be_there():
    found = as_in_study(MALIGNANT, SourceOptions(labels=("mal=1",)), {"labels"}).labelling
    with pytest.raises(InputError, match="--labels mal=1: no image of set has this label text"):
        found.check(("0", "1"), BINARY, "set")


def test_a_class_that_may_be_the_study_s_by_another_spelling_is_asked_after():
    found = as_in_study(STUDY, SourceOptions(), ()).labelling
    said = r"nevus: no class of set \(did you mean 'nevus nos'\?\); say with --labels which"
    with pytest.raises(InputError, match=said):
        found.check(("nevus nos",), SKIN, "set")
    for meant in ("nevus", "0"):
        asked = SourceOptions(labels=(f"nevus nos={meant}",))
        found = as_in_study(STUDY, asked, {"labels"}).labelling
        found.check(("nevus nos",), SKIN, "set")
        assert found.label("nevus nos", SKIN, "label") == int(meant == "nevus")
    misspelt = SourceOptions(labels=("mel=melanomma",))
    found = as_in_study(MALIGNANT, misspelt, {"labels"}).labelling
    with pytest.raises(InputError, match="did you mean 'melanomma'"):
        found.check(("mel",), BINARY, "set")


def test_a_one_is_not_taken_for_another_class():
    found = as_in_study(STUDY, SourceOptions(), ()).labelling
    with pytest.raises(InputError, match=r"the label 1, and .* tell nevus .* --labels 1=nevus"):
        found.check(("1",), BINARY, "set")
    asked = SourceOptions(labels=("1=nevus", "0=other"))
    found = as_in_study(STUDY, asked, {"labels"}).labelling
    found.check(("0", "1"), BINARY, "set")
    assert [found.label(text, BINARY, "label") for text in ("0", "1")] == [0, 1]


def test_what_the_study_says_may_be_said_again():
    asked = SourceOptions(positive=("Nevus",), labels=("mole=nevus",))
    assert as_in_study(STUDY, asked, {"positive", "labels"}).labelling.positive == ("nevus",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"positive": ("melanoma",)}, "--positive melanoma: the study's models tell nevus from"),
        ({"labels": ("mole=melanoma",)}, "--labels mole=melanoma: in the study mole means nevus"),
    ],
)
def test_what_contradicts_the_study_is_one_line(options, message):
    with pytest.raises(InputError, match=message) as raised:
        as_in_study(STUDY, SourceOptions(**options), options.keys())
    assert "\n" not in str(raised.value)


def test_a_study_that_says_nothing_of_classes_changes_nothing():
    asked = SourceOptions(positive=("nevus",), labels=("mole=nevus",))
    assert as_in_study(Spec(), asked, {"positive", "labels"}) == asked.rules


def test_drawn_lesions_know_their_labels_whatever_texts_mean_in_the_study():
    assert as_in_study(MALIGNANT, SourceOptions(), ()) == AS_THEY_ARE
