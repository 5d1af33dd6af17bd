"""What `--by` names, and which group an image is in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablations.subgroups.grouping import UNKNOWN, Grouping, parse_groupings
from masll.common.errors import InputError


def groups(word: str, *texts: str) -> list[str]:
    (grouping,) = parse_groupings([word])
    return grouping.groups({str(i): text for i, text in enumerate(texts)})


def test_values_are_groups_and_what_is_not_known_is_one_of_its_own():
    assert groups("sex", "male", " female ", "", "unknown", "nan", "Unknown", "N/A", " na ") == [
        *("male", "female"),
        *[UNKNOWN] * 6,
    ]
    assert groups("age:50", "n/a", "Unknown", "60") == [UNKNOWN, UNKNOWN, "50 and over"]


def test_values_that_differ_in_case_alone_are_one_group():
    assert groups("sex", "male", "Male", "MALE ", "Female") == [*["male"] * 3, "female"]


def test_a_value_that_is_a_cut_is_in_the_upper_group():
    assert groups("age:50", "49.9", "50", "", "85") == [
        *("under 50", "50 and over"),
        *(UNKNOWN, "50 and over"),
    ]
    assert groups("age:30:50", "29", "30", "50") == ["under 30", "30 to under 50", "50 and over"]


@given(
    st.lists(st.integers(-99, 99), min_size=1, max_size=5, unique=True).map(sorted),
    st.floats(-150, 150),
)
def test_cuts_leave_no_gap_and_no_overlap(cuts, value):
    grouping = Grouping("age", tuple(map(float, cuts)))
    assert len(set(grouping.spans)) == len(cuts) + 1
    (name,) = grouping.groups({"a": repr(value)})
    assert grouping.spans.index(name) == sum(cut <= value for cut in cuts)


def test_groups_are_listed_by_their_spans_or_names_and_the_unknown_last():
    assert Grouping("age", (9.0, 50.0)).order(["50 and over", UNKNOWN, "under 9"]) == [
        *("under 9", "50 and over"),
        UNKNOWN,
    ]
    assert Grouping("site").order(["b", UNKNOWN, "a"]) == ["a", "b", UNKNOWN]
    assert Grouping("grade").order(["10", "9", "2"]) == ["2", "9", "10"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["age:x"], "--by age:x: name a column of the metadata, with numbers to cut at"),
        (["age:"], "numbers to cut at"),
        ([":50"], "name a column"),
        ([""], "name a column"),
        (["age:inf"], "numbers to cut at"),
        (["age:50:30"], "cuts must rise, as in age:30:50"),
        (["age:50:50"], "cuts must rise"),
        (["sex", "sex"], "--by names sex twice"),
        (["age:50", "age:50.0"], "--by names age:50 twice"),
    ],
)
def test_what_cannot_be_understood_is_named(words, message):
    with pytest.raises(InputError, match=message):
        parse_groupings(words)


def test_a_text_among_numbers_is_named_with_its_image():
    with pytest.raises(InputError, match="age of image 1 must be a number, got '85\\+'"):
        groups("age:50", "30", "85+")


def test_a_column_of_many_values_has_to_be_cut():
    with pytest.raises(InputError, match=r"30 groups of test images are too many; .* age:50"):
        groups("age", *map(str, range(30)))
