"""What the labels of an external set mean beside a study."""

import pytest

from ablations.external.classes import as_in_study
from masll.common.errors import InputError
from masll.data.options import SourceOptions
from tuning.study.spec import Spec

STUDY = Spec(options={"data": "x", "positive": ("nevus",), "labels": ("mole=nevus", "other=0")})


def test_the_positive_class_and_texts_are_the_study_s_and_further_texts_are_added():
    asked = as_in_study(STUDY, SourceOptions(labels=("naevus=nevus", "Mole=nevus")), {"labels"})
    found = asked.rules.labelling
    assert found.positive == ("nevus",)
    assert found.meanings == {"mole": "nevus", "other": "0", "naevus": "nevus"}


def test_what_the_study_says_may_be_said_again():
    asked = SourceOptions(positive=("Nevus",), labels=("mole=nevus",))
    assert as_in_study(STUDY, asked, {"positive", "labels"}).positive == ("nevus",)


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
    assert as_in_study(Spec(), asked, {"positive", "labels"}) == asked
