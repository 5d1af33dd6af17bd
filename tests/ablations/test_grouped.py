"""Images of one lesion or patient: what they do to intervals, tests, draws and folds."""

import itertools

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from ablations.external.recalibration import FOLDS, folds
from ablations.external.tables import mean_over_images
from ablations.statistics import change_between_sets, contrast, difference_of_models, mean_auc
from ablations.statistics.resampling import DrawnImages, DrawnModel, drawn_arm

N, SEEDS = 40, 3


@pytest.fixture
def sample() -> tuple[np.ndarray, list[np.ndarray]]:
    """Labels (N,), and scores (SEEDS, N) of two arms."""
    rng = np.random.default_rng(0)
    labels = (np.arange(N) % 3 == 0).astype(int)
    case = rng.normal(0, 0.1, N)
    arms = [
        (0.4 + 0.1 * labels + case + rng.normal(0, 0.08, (SEEDS, N))).clip(0.01, 0.99)
        for _ in range(2)
    ]
    return labels, arms


def test_one_image_a_group_changes_nothing(sample):
    labels, arms = sample
    alone = np.arange(N) + 7
    assert contrast(labels, arms, [1, -1], groups=alone) == contrast(labels, arms, [1, -1])
    assert mean_auc(labels, arms[0], groups=alone) == mean_auc(labels, arms[0])
    assert (DrawnImages(labels, groups=alone).counts == DrawnImages(labels).counts).all()


def test_an_image_that_stands_twice_in_one_group_is_an_image(sample):
    labels, arms = sample
    twice, groups = np.tile(labels, 2), np.tile(np.arange(N), 2)
    doubled = [np.tile(arm, 2) for arm in arms]
    one, two = contrast(labels, arms, [1, -1]), contrast(twice, doubled, [1, -1], groups=groups)
    assert two == pytest.approx(one)
    alone = [contrast(labels, [arms[0][0]], [1]), contrast(twice, [doubled[0][0]], [1])]
    assert alone[1].error < 0.75 * alone[0].error  # as if the twins were other images
    mean = mean_auc(twice, doubled[0], groups=groups)
    assert mean == pytest.approx(mean_auc(labels, arms[0]), nan_ok=True)
    gain = difference_of_models(twice, *doubled, groups=groups)
    assert gain == pytest.approx(difference_of_models(labels, *arms))
    change = change_between_sets(twice, doubled[0], labels, arms[1], groups_a=groups)
    assert change == pytest.approx(change_between_sets(labels, arms[0], labels, arms[1]))
    perfect = mean_auc(twice, twice[None], groups=groups)
    assert perfect == pytest.approx(mean_auc(labels, labels[None]), nan_ok=True)
    found = mean_over_images(doubled[0], groups)
    assert found == pytest.approx(mean_over_images(arms[0]), nan_ok=True)

    images, again = DrawnImages(labels, 50), DrawnImages(twice, 50, groups=groups)
    assert again.image_df == images.image_df
    drawn = (drawn_arm(*each) for each in ((images, arms[0]), (again, doubled[0])))
    for (name, figure), of_doubled in zip(*map(dict.items, drawn), strict=True):
        assert of_doubled[1] == pytest.approx(figure, rel=1e-5, abs=1e-6), name


def test_the_variance_is_obuchowski_s_also_where_a_group_has_both_classes(sample):
    labels, (arm, _) = sample
    groups, scores = np.arange(N) // 4, arm[0]
    ill, well = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    beats = np.array([[float(scores[i] > scores[j]) for j in well] for i in ill])
    area, m, n = beats.mean(), len(ill), len(well)
    sums = []
    for group in np.unique(groups):
        here_ill, here_well = groups[ill] == group, groups[well] == group
        on, off = beats.mean(axis=1)[here_ill].sum(), beats.mean(axis=0)[here_well].sum()
        sums.append((on - here_ill.sum() * area, off - here_well.sum() * area))
    count = len(sums)  # each of which has both classes
    s_10 = count / ((count - 1) * m) * sum(a * a for a, _ in sums)
    s_01 = count / ((count - 1) * n) * sum(b * b for _, b in sums)
    s_11 = count / (count - 1) * sum(a * b for a, b in sums)
    expected = s_10 / m + s_01 / n + 2 * s_11 / (m * n)
    found = contrast(labels, [scores], [1.0], groups=groups)
    assert found.value == pytest.approx(roc_auc_score(labels, scores))
    assert found.error**2 == pytest.approx(expected, rel=1e-12)


def test_patients_with_many_like_images_have_the_error_that_simulations_show():
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(60), 4)
    labels = np.arange(240) // 4 % 2  # of whole patients
    labels[::40] = 1 - labels[::40]  # but some of them have both
    found = []
    for _ in range(150):
        scores = labels + 1.5 * np.repeat(rng.normal(0, 1, 60), 4) + rng.normal(0, 0.5, 240)
        grouped, plain = (contrast(labels, [scores], [1.0], groups=g) for g in (groups, None))
        found.append((grouped.value, grouped.error, plain.error))
    values, grouped, plain = np.array(found).T
    assert np.sqrt((grouped**2).mean()) == pytest.approx(values.std(), rel=0.2)
    assert np.sqrt((plain**2).mean()) < 0.75 * values.std()


def test_whole_groups_are_drawn_and_every_draw_has_both_classes():
    labels = np.array([1, 1, 0, 0, 0, 1, 0, 0])
    groups = np.array([5, 5, 3, 3, 3, 9, 9, 1])
    images = DrawnImages(labels, 200, groups=groups)
    for one, other in itertools.pairwise(range(len(labels))):
        if groups[one] == groups[other]:
            assert (images.counts[:, one] == images.counts[:, other]).all()
    assert (images.counts[:, labels == 1].sum(axis=1) > 0).all()
    assert (images.counts[:, labels == 0].sum(axis=1) > 0).all()
    assert (images.counts[0] == 1).all() and len(np.unique(images.totals)) > 1


def test_no_fold_of_the_recalibration_divides_a_group():
    images = pd.DataFrame(
        {"image_id": [f"{i:03d}" for i in range(90)], "label": [int(i % 5 == 0) for i in range(90)]}
    )
    units = np.arange(90) // 3
    dealt = folds(images, units)
    assert set(dealt) == set(range(FOLDS))
    assert all(len(set(dealt[units == unit])) == 1 for unit in range(30))
    shuffled = np.random.default_rng(0).permutation(90)
    again = folds(images.iloc[shuffled], units[shuffled] + 100)
    assert (again == dealt[shuffled]).all()


def test_groups_of_another_length_are_refused(sample):
    labels, arms = sample
    with pytest.raises(ValueError, match="40 images but 3 groups; give one per image"):
        contrast(labels, arms, [1, -1], groups=[1, 2, 3])


def test_a_group_with_both_classes_varies_like_the_other_ill_ones():
    """Two patients with melanoma, one of them with nevi, too: the one is found, the other not."""
    labels = [1, 1, 1, 0] + [0] * 6
    groups = ["a", "a", "b", "b", *"cdefgh"]
    images = DrawnImages(labels, 400, groups=groups)
    sensitivities = images.decided(np.array([0.9, 0.9, 0.1, 0.1] + [0.2] * 6), 0.5)["sen"]
    assert set(np.unique(sensitivities.round(3))) == {0, 0.667, 1}


def test_a_draw_without_negatives_has_no_figures():
    labels, scores = [1, 0, 1], np.array([0.9, 0.2, 0.4])
    images = DrawnImages(labels, 100, groups=["a", "a", "b"])
    figures = DrawnModel(images, scores).figures()
    without = images.counts[:, 1] == 0
    assert without.any() and not without.all()
    for name, values in figures.items():
        assert np.isnan(values[without]).all(), name
    assert not np.isnan(figures["sen_at_spe_95"][~without]).any()
