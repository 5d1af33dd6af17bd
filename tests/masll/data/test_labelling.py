"""What label texts mean, by the set itself, by --positive and by --labels."""

import pytest

from masll import InputError
from masll.data.labelling import BINARY, Classes, Labelling, parse_labelling
from masll.data.types import UNKNOWN

SET = Classes({"mel": "melanoma", "nv": "nevus", "bcc": "basal cell carcinoma", "?": ""})
OPEN = Classes({"malignant": ""}, containing={"melanoma": "melanoma"}, closed=False)


@pytest.mark.parametrize(
    ("classes", "text", "label"),
    [
        (SET, "mel", 1),
        (SET, "MEL", 1),
        (SET, "nv", 0),
        (SET, "?", UNKNOWN),
        (SET, "", UNKNOWN),
        (OPEN, "Melanoma in situ", 1),
        (OPEN, "Nevus", 0),
        (OPEN, "Malignant", UNKNOWN),
        (BINARY, "1.0", 1),
        (BINARY, "0", 0),
        (BINARY, "melanoma", 1),
    ],
)
def test_melanoma_is_one_as_each_set_says_it(classes, text, label):
    assert Labelling().label(text, classes, "dx") == label


@pytest.mark.parametrize("positive", ["bcc", "BCC", "basal cell carcinoma"])
def test_the_positive_class_goes_by_its_name_and_by_its_text(positive):
    labelling = Labelling((positive,))
    labelling.check(SET, "set")
    assert [labelling.label(text, SET, "dx") for text in ("mel", "nv", "bcc")] == [0, 0, 1]


def test_texts_of_ones_own_mean_a_class_or_a_label():
    labelling = parse_labelling(["melanoma"], ["Malignant=melanoma", "benign=0", "True=1", "a=b=0"])
    texts = ("malignant", "BENIGN", "True", "a=b")
    assert [labelling.label(text, BINARY, "label") for text in texts] == [1, 0, 1, 0]


def test_a_meaning_of_ones_own_goes_before_that_of_the_set():
    assert Labelling(meanings={"nv": "1"}).label("nv", SET, "dx") == 1


@pytest.mark.parametrize(
    ("classes", "said"), [(SET, r"dx must be one of mel, nv, bcc"), (BINARY, r"dx must be 0 or 1")]
)
def test_a_text_that_nobody_explains_is_not_guessed(classes, said):
    with pytest.raises(ValueError, match=rf"{said}.*got 'mole'.*--labels 'mole=0'"):
        Labelling().label("mole", classes, "dx")


@pytest.mark.parametrize(
    ("positive", "labels", "said"),
    [
        ([], [], "--positive names no class"),
        (["melanoma"], ["malignant"], "--labels malignant: write it as TEXT=CLASS"),
        (["melanoma"], ["=1"], "--labels =1: write it as"),
        (["melanoma"], ["malignant="], "write it as"),
        (["melanoma"], ["a=1", "A=0"], "A has two meanings"),
    ],
)
def test_an_option_without_its_meaning_is_refused(positive, labels, said):
    with pytest.raises(InputError, match=said):
        parse_labelling(positive, labels)
