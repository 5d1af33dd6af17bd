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
    labelling.check(["mel", "nv", "bcc"], SET, "set")
    assert [labelling.label(text, SET, "dx") for text in ("mel", "nv", "bcc")] == [0, 0, 1]


@pytest.mark.parametrize(
    ("classes", "texts", "positive", "labels", "said"),
    [
        (
            OPEN,
            ("Nevus", "Malignant"),
            ["malignant"],
            [],
            "malignant: no class of set; one of: nev",
        ),
        (OPEN, ("Malignant",), ["malignant"], [], "of set; its labels name no class; leave it out"),
        (OPEN, ("Nevus", "melanoma"), ["nevvus"], [], "nevvus: no class of set .*mean 'nevus'"),
        (OPEN, ("Nevus", "melanoma"), ["nevus", "bcc"], [], "--positive bcc: no class of set"),
        (SET, ("mel", "nv"), ["bcc"], [], "bcc: no class of set; one of: melanoma, nevus"),
        (BINARY, ("0", "1"), ["nevus"], [], "nevus: no class of set; its labels name no class"),
        (BINARY, ("0", "1"), ["0"], [], "--positive 0: no class of set; its labels name no class"),
        (BINARY, ("bad", "good"), ["badd"], ["good=0"], "badd: .*mean 'bad'.*one of: "),
        (BINARY, ("mel",), ["melanoma"], ["mel=melanomma"], "melanoma: .*mean 'melanomma'"),
        (SET, ("mel",), ["melanoma"], ["mel=melanomma"], "=melanomma: no class .*mean 'melanoma'"),
        (SET, ("mel",), ["melanoma"], ["unusedd=1"], "--labels unusedd=1: no image of set has"),
        (BINARY, (), ["melanoma"], ["mole=0"], "--labels mole=0: .*it has no labels"),
    ],
)
def test_a_class_or_a_text_that_no_row_has_is_refused(classes, texts, positive, labels, said):
    with pytest.raises(InputError, match=said) as caught:
        parse_labelling(positive, labels).check(texts, classes, "set")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("classes", "texts", "positive", "labels"),
    [
        (SET, ("nv",), ["melanoma"], []),  # a set without melanomas
        (BINARY, (), ["melanoma"], []),  # and one without labels
        (BINARY, ("benign",), ["melanoma"], ["benign=0"]),
        (BINARY, ("mel", "nv"), ["melanoma"], ["mel=melanoma", "nv=nevus"]),
        (BINARY, ("bad", "good"), ["bad"], ["bad=1", "good=0"]),
        (SET, ("odd", "mel"), ["own"], ["odd=own"]),
    ],
)
def test_what_some_row_has_is_taken(classes, texts, positive, labels):
    parse_labelling(positive, labels).check(texts, classes, "set")


def test_a_text_of_its_own_does_not_widen_to_its_class():
    labelling = Labelling(("Melanoma Invasive",))
    texts = ("melanoma invasive", "Melanoma in situ", "Nevus")
    labelling.check(texts, OPEN, "set")
    assert [labelling.label(text, OPEN, "dx") for text in texts] == [1, 0, 0]


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
