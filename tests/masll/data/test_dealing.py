"""Splits dealt out: whole groups, the shares that were asked for, always the same."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masll import InputError
from masll.data.dealing import Dealing, parse_dealing
from masll.data.rules import Rules
from masll.data.types import SPLITS, UNKNOWN, Record

IMAGES = st.lists(
    st.tuples(st.sampled_from((0, 0, 0, 1, UNKNOWN)), st.integers(0, 30), st.sampled_from(SPLITS)),
    min_size=1,
    max_size=120,
)
SHARES = st.sampled_from(((0.7, 0.1, 0.2), (0.34, 0.33, 0.33), (0.5, 0.25, 0.25)))


def records_of(images: list[tuple[int, int, str]]) -> list[Record]:
    """Group 0 is none: such images are one each."""
    return [
        Record(f"{number}.jpg", label, split, f"lesion {group}" if group else "")
        for number, (label, group, split) in enumerate(images)
    ]


def unit(record: Record) -> str:
    return record.group or record.image_id


@given(IMAGES, SHARES)
def test_every_labelled_image_comes_to_one_split_with_its_whole_group(images, shares):
    records = records_of(images)
    dealt = Dealing("group", shares).deal(records)
    assert [r.image_id for r in dealt] == [r.image_id for r in records if r.label != UNKNOWN]
    splits: dict[str, set[str]] = {}
    for record in dealt:
        splits.setdefault(unit(record), set()).add(record.split)
    assert all(len(of_group) == 1 for of_group in splits.values())


@given(IMAGES, SHARES)
def test_a_split_misses_its_share_by_the_largest_group_of_each_kind_at_most(images, shares):
    dealt = Dealing("group", shares).deal(records_of(images))
    sizes = Counter(unit(record) for record in dealt)
    positive = {unit(record) for record in dealt if record.label == 1}
    largest = sum(
        max((size for name, size in sizes.items() if (name in positive) == kind), default=0)
        for kind in (True, False)
    )
    counts = Counter(record.split for record in dealt)
    for split, share in zip(SPLITS, shares, strict=True):
        assert abs(counts[split] - share * len(dealt)) <= largest + 1e-9


@given(IMAGES, st.randoms())
def test_the_order_of_the_images_does_not_matter(images, order: random.Random):
    records = records_of(images)
    shuffled = order.sample(records, len(records))
    dealing = Dealing("group", (0.7, 0.1, 0.2))
    assert sorted(dealing.deal(records)) == sorted(dealing.deal(shuffled))


@given(IMAGES)
def test_two_shares_deal_the_training_images_out_and_leave_the_others(images):
    records = records_of(images)
    dealt = Dealing("image", (0.8, 0.2)).deal(records)
    assert len(dealt) == len(records)
    for before, after in zip(records, dealt, strict=True):
        if before.split == "train" and before.label != UNKNOWN:
            assert after.split in ("train", "validation")
        else:
            assert after == before


def test_both_classes_are_in_each_split_where_there_are_enough_of_each():
    records = [Record(f"{number}", int(number < 20), "test") for number in range(400)]
    dealt = Dealing("image", (0.7, 0.1, 0.2)).deal(records)
    positive = Counter(record.split for record in dealt if record.label)
    assert positive == {"train": 14, "validation": 2, "test": 4}


@pytest.mark.parametrize(
    ("words", "images", "said"),
    [
        ("group 0.8 0.2", [(0, 0, "test"), (1, 0, "test")], "no training image.*group 0.7 0.1 0.2"),
        ("image 0.8 0.2", [(UNKNOWN, 0, "train"), (1, 0, "test")], "no training image has a label"),
        ("group 0.7 0.1 0.2", [(UNKNOWN, 0, "test")], "no image has a label; leave --split-by out"),
        ("group 0.7 0.1 0.2", [(0, 1, "test")] * 9, "too few .* none is left for validation"),
        ("image 0.9 0.1", [(0, 1, "train"), (1, 2, "test")], "none is left for validation"),
    ],
)
def test_dealing_that_leaves_a_split_empty_is_refused(words, images, said):
    with pytest.raises(InputError, match=f"^--split-by {words}: .*{said}"):
        Rules(dealing=parse_dealing(words.split())).in_splits(records_of(images))


def test_one_line_says_how_many_images_dealing_leaves_out(capsys):
    images = [(0, 0, "test")] * 20 + [(UNKNOWN, 0, "test")] * 3
    dealt = Rules(dealing=Dealing("image", (0.7, 0.1, 0.2))).in_splits(records_of(images))
    assert len(dealt) == 20
    said = "--split-by image 0.7 0.1 0.2 leaves out 3 images without a label\n"
    assert capsys.readouterr().err == said
    Rules(dealing=Dealing("image", (0.9, 0.1))).in_splits(records_of([(0, 0, "train")] * 20))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("grup 0.7 0.1 0.2", "did you mean 'group'"),
        ("group", "three shares"),
        ("group 1", "three shares"),
        ("group 0.7 0.1 0.1", "sum to 1"),
        ("group 0.7 0.3 0", "above 0"),
        ("group 1.2 -0.2", "above 0"),
        ("group a b c", "three shares"),
        ("group nan nan nan", "three shares"),
        ("group 0.25 0.25 0.25 0.25", "three shares"),
    ],
)
def test_shares_that_make_no_split_are_refused(words, said):
    with pytest.raises(InputError, match=f"--split-by {words}.*{said}"):
        parse_dealing(words.split())


def test_shares_are_read():
    assert parse_dealing(["group", "0.7", "0.1", "0.2"]) == Dealing("group", (0.7, 0.1, 0.2))
    assert parse_dealing(["image", "0.9", "0.1"]) == Dealing("image", (0.9, 0.1))
    assert parse_dealing(()) is None
