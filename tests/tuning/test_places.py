"""Is it the trial, or the place? Crashes before a first epoch, one after another."""

from hypothesis import given
from hypothesis import strategies as st

from tuning.places import CRASHES, Judgement, Places

OTHER = "node-1, GPU 0"
HERE = "node-1, GPU 3"


def working_elsewhere() -> Places:
    places = Places()
    places.works(OTHER)
    return places


def crashes(places: Places, *trials: str, place: str = HERE, elsewhere=()) -> list[Judgement]:
    return [places.crashed(place, trial, elsewhere) for trial in trials]


def test_a_place_that_fails_one_trial_after_another_is_left_out_and_no_trial_is_charged():
    for trials in (["a", "a", "a"], ["a", "b", "c"], ["a", "b", "a"]):
        places = working_elsewhere()
        judgements = crashes(places, *trials)
        assert [judgement.left_out for judgement in judgements] == [False, False, True]
        assert not any(judgement.charged for judgement in judgements)
        assert places.left_out == {HERE}
        (late,) = crashes(places, "d")  # handed out before
        assert not late.charged and not late.left_out


def test_an_epoch_from_a_place_forgets_what_crashed_there():
    places = working_elsewhere()
    crashes(places, "a", "a")
    assert not places.works(HERE)
    crashes(places, "b", "b")
    assert not places.left_out
    crashes(places, "b")
    assert places.left_out == {HERE}
    assert places.works(HERE) and not places.left_out, "a trial that was there already"


def test_a_trial_that_crashes_in_two_places_is_charged_and_the_first_gets_trials_again():
    places = working_elsewhere()
    places.works("node-2")
    crashes(places, "a", "a", "a")
    (second,) = crashes(places, "a", place="node-2")
    assert second == Judgement(charged=True, taken_back=(HERE,))
    assert not places.left_out
    assert all(judgement.charged for judgement in crashes(places, "a", "a", place="node-2"))
    assert not places.left_out, "one bad trial leaves no place out"


def test_a_place_where_others_crash_too_stays_out_when_one_of_them_is_at_fault():
    places = working_elsewhere()
    crashes(places, "a", "b", "b", "b")
    (elsewhere,) = crashes(places, "a", place=OTHER)
    assert elsewhere.charged and not elsewhere.taken_back
    assert places.left_out == {HERE}


def test_on_the_only_machine_that_works_a_crash_is_the_trials_own():
    places = Places()
    places.works(HERE)
    judgements = crashes(places, "a", "a", "a", elsewhere=[HERE])
    assert all(judgement == Judgement(charged=True) for judgement in judgements)


def test_where_nothing_has_worked_and_nothing_else_is_being_tried_there_is_no_hope():
    places = Places()
    (first,) = crashes(places, "a", elsewhere=[OTHER])
    assert not first.charged and not first.hopeless, "it may be the place"
    (second,) = crashes(places, "b", place=OTHER)
    assert second.charged and second.hopeless
    unknown = Places().crashed(None, "a", [])
    assert unknown.hopeless and unknown.charged


def test_a_place_is_not_left_out_once_there_is_nowhere_else_to_go():
    places = Places()
    crashes(places, "a", "a", "a", elsewhere=[None])  # one that has not begun yet
    assert places.left_out == {HERE}
    (other,) = crashes(places, "b")  # it began here, too
    assert other.charged and other.hopeless and not places.left_out


def test_a_place_that_nobody_knows_is_charged_and_never_left_out():
    places = working_elsewhere()
    for _ in range(5):
        assert places.crashed(None, "a", []) == Judgement(charged=True)
    assert not places.left_out


EVENTS = st.lists(
    st.tuples(st.sampled_from("pqr"), st.sampled_from("abc"), st.booleans()), max_size=60
)


@given(EVENTS)
def test_a_place_is_left_out_only_after_three_crashes_in_a_row_and_while_another_works(events):
    places, in_a_row = working_elsewhere(), dict.fromkeys("pqr", 0)
    for place, trial, crashed in events:
        if not crashed:
            places.works(place)
            in_a_row[place] = 0
            assert place not in places.left_out
            continue
        judgement = places.crashed(place, trial, [])
        in_a_row[place] += 1
        assert not judgement.hopeless
        if judgement.left_out:
            assert in_a_row[place] >= CRASHES
    assert OTHER not in places.left_out
    assert all(in_a_row[place] >= CRASHES for place in places.left_out)


@given(st.lists(st.sampled_from("pqr"), min_size=1, max_size=30))
def test_a_trial_at_fault_leaves_no_place_out_once_it_has_been_in_two(visited):
    places = working_elsewhere()
    for place in visited:
        judgement = places.crashed(place, "bad", [])
    if len(set(visited)) > 1:
        assert not places.left_out and judgement.charged
