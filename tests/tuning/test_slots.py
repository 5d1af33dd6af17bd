"""How many trials fit: on one machine, on a cluster that is there, on one that has to grow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masll import InputError
from tuning.options import SearchOptions, resolve
from tuning.slots import Machine, find_slots, share_of, trials_on_one


def asked(**given) -> SearchOptions:
    return resolve(given)


def test_a_machine_without_gpus_runs_a_trial_on_each_core():
    slots = find_slots(asked(), [Machine(cpus=6, gpus=0)])
    assert (slots.count, slots.cpus, slots.gpus) == (6, 1, 0)
    slots = find_slots(asked(cpus_per_trial=4), [Machine(6, 0)])
    assert (slots.count, slots.cpus) == (1, 4)


def test_trials_on_a_gpu_machine_share_its_cores_and_do_not_fight_over_them():
    slots = find_slots(asked(), [Machine(cpus=32, gpus=8)])
    assert (slots.count, slots.cpus, slots.gpus) == (8, 4, 1)
    slots = find_slots(asked(gpus_per_trial="0.25", num_gpus=4), [Machine(32, 8)])
    assert (slots.count, slots.cpus, slots.gpus) == (16, 1, 0.25)


def test_a_trial_is_never_cut_over_two_gpus():
    slots = find_slots(asked(gpus_per_trial="0.4"), [Machine(16, 2)])
    assert slots.count == 4, "two on each, though five times 0.4 is two"


def test_num_gpus_is_what_a_cluster_may_grow_to():
    slots = find_slots(asked(address="auto", num_gpus=8), [Machine(cpus=8, gpus=0)])
    assert slots.count == 8 and slots.available([Machine(8, 0)]) == 0
    grown = [Machine(8, 0), Machine(8, 2), Machine(8, 4)]
    assert slots.available(grown) == 6
    assert slots.available([*grown, Machine(64, 8)]) == 8, "not more than asked for"


def test_cores_of_a_trial_fit_the_machine_with_fewest_for_each_gpu():
    machines = [Machine(64, 8), Machine(8, 2)]
    assert find_slots(asked(address="auto"), machines).cpus == 4
    assert find_slots(asked(address="auto", gpus_per_trial="0.5"), machines).cpus == 2


def test_when_memory_has_run_out_fewer_share_a_gpu_on_no_more_gpus_than_were_asked_for():
    slots = find_slots(asked(address="auto", num_gpus=8, gpus_per_trial="0.25"), [Machine(8, 0)])
    shares, counts = [slots.gpus], [slots.count]
    for _ in range(4):
        slots = slots.with_fewer()
        shares.append(slots.gpus)
        counts.append(slots.count)
    assert shares == [0.25, 0.3333, 0.5, 1, 1]
    assert counts == [32, 24, 16, 8, 8]


def test_a_share_that_leaves_no_room_for_a_second_trial_becomes_the_whole_gpu():
    slots = find_slots(asked(gpus_per_trial="0.6"), [Machine(8, 2)])
    assert (slots.count, slots.gpus) == (2, 0.6)
    assert (slots.with_fewer().count, slots.with_fewer().gpus) == (2, 1)


@pytest.mark.parametrize(
    ("given", "machines", "words"),
    [
        ({"num_gpus": 8}, [Machine(8, 2)], ["--num-gpus 8", "2 GPUs", "--address"]),
        ({"cpus_per_trial": 9}, [Machine(8, 0)], ["--cpus-per-trial 9", "8 cores"]),
        ({"cpus_per_trial": 9}, [Machine(8, 1)], ["--cpus-per-trial 9", "has 8"]),
        ({"address": "auto"}, [Machine(0, 0)], ["no machine", "--num-gpus"]),
    ],
)
def test_what_does_not_fit_is_refused_with_what_to_do(given, machines, words):
    with pytest.raises(InputError) as caught:
        find_slots(asked(**given), machines)
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize("share", ["0", "-1", "1.5", "nan", "half"])
def test_a_share_of_a_gpu_is_a_number_up_to_one_or_auto(share):
    with pytest.raises(InputError, match=r"--gpus-per-trial must be from 0.01 to 1, or auto"):
        asked(gpus_per_trial=share)
    assert asked(gpus_per_trial="auto").gpu_share is None


def test_an_address_of_ray_s_client_is_refused():
    with pytest.raises(InputError, match="with --address auto"):
        asked(address="ray://head:10001")


@given(st.integers(1, 100))
def test_shares_of_so_many_trials_fit_on_a_gpu_and_no_more_do(trials):
    share = share_of(trials)
    assert trials * share <= 1
    assert trials_on_one(share) == trials
