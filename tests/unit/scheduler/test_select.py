# SPDX-License-Identifier: Apache-2.0
"""A request gets the best hosts, and a reason when there are none."""

from collections import Counter

import pytest

from common.objects.resources import Resources
from common.objects.server_group import GroupSpec
from tests.unit.scheduler.hosts import (
    NEED,
    HandClock,
    chosen,
    delta,
    make_chooser,
    make_host,
    make_spec,
    table_of,
)  # fmt: skip


def test_the_emptiest_host_comes_first_and_alternates_follow_in_order():
    table = table_of(
        *(make_host(f"h{n}", claimed=Resources(memory_mib=1000 * n)) for n in (3, 0, 4, 1, 2))
    )

    selection = make_chooser().select(table, make_spec())

    assert [c.host for c in selection.candidates[0]] == ["h0", "h1", "h2"]
    assert selection.reason == ""


def test_many_instances_of_one_request_spread_over_the_hosts():
    table = table_of(*(make_host(f"h{n}") for n in range(4)))

    selection = make_chooser().select(table, make_spec(count=8))

    assert Counter(chosen(selection)) == {"h0": 2, "h1": 2, "h2": 2, "h3": 2}


def test_soft_policies_choose_among_hosts_that_are_alike():
    def host_for(policy, members_on):
        group = GroupSpec(uuid="g", name="g", policy=policy, hosts={members_on: 1})
        table = table_of(*(make_host(f"h{n}") for n in range(3)))
        return chosen(make_chooser().select(table, make_spec(group=group)))[0]

    assert host_for("soft-affinity", members_on="h1") == "h1"
    assert host_for("soft-anti-affinity", members_on="h0") == "h1"


def group_of(policy, **fields) -> GroupSpec:
    return GroupSpec(uuid="g", name="g", policy=policy, **fields)


def place(chooser, table, number, group) -> str:
    """Places instance `number` of a group, as a request of its own."""
    return chosen(chooser.select(table, make_spec(first=number, group=group)))[0]


@pytest.mark.parametrize(
    ("policy", "hosts"), [("soft-affinity", 1), ("soft-anti-affinity", 3), ("affinity", 1),
                          ("anti-affinity", 3)],
)  # fmt: skip
def test_members_see_one_another_before_any_of_them_has_come(policy, hosts):
    at_once, one_by_one = (table_of(*(make_host(f"h{n}") for n in range(3))) for _ in range(2))
    group = group_of(policy)
    chooser = make_chooser(soft_multiplier=10.0)

    together = chosen(chooser.select(at_once, make_spec(count=3, group=group)))
    apart = [place(chooser, one_by_one, number, group) for number in range(3)]

    assert len(set(together)) == len(set(apart)) == hosts


def test_a_member_that_has_come_counts_once():
    table = table_of(make_host("a"), make_host("b", claimed=Resources(memory_mib=1024)))
    chooser = make_chooser(soft_multiplier=10.0)
    first = place(chooser, table, 1, group_of("soft-anti-affinity"))
    uuid = make_spec(first=1).instance_uuids[0]

    # Counted twice, `a` would be worse for the third member than `b`, which has two.
    group = group_of("soft-anti-affinity", hosts={"a": 1, "b": 2}, recent=(uuid,))
    third = place(chooser, table, 3, group)

    assert (first, third) == ("a", "a")


def test_a_member_that_is_chosen_for_again_does_not_stand_in_its_own_way():
    table, chooser = table_of(make_host("a")), make_chooser(soft_multiplier=10.0)
    group = group_of("anti-affinity")

    assert [place(chooser, table, 1, group) for _ in range(2)] == ["a", "a"]


def test_members_that_are_only_expected_never_make_a_request_fail():
    table, chooser = table_of(make_host("a")), make_chooser(soft_multiplier=10.0)
    group = group_of("anti-affinity")

    assert [place(chooser, table, number, group) for number in (1, 2)] == ["a", "a"]


def test_expected_members_are_forgotten_in_time():
    clock = HandClock()
    table, chooser = (
        table_of(make_host("a"), make_host("b")),
        make_chooser(clock, soft_multiplier=10.0),
    )
    place(chooser, table, 1, group_of("soft-affinity"))
    assert place(chooser, table, 2, group_of("soft-affinity")) == "a"

    clock.seconds += 60
    table.apply(delta(make_host("a", generation=1, claimed=NEED)))

    assert place(chooser, table, 3, group_of("soft-affinity")) == "b"


def test_soft_policies_forbid_nothing():
    group = GroupSpec(uuid="g", name="g", policy="soft-anti-affinity", hosts={"a": 3})

    selection = make_chooser().select(table_of(make_host("a")), make_spec(group=group))

    assert chosen(selection) == ["a"]


def test_requests_in_quick_succession_do_not_pile_up_on_one_host():
    table, chooser = table_of(*(make_host(f"h{n}") for n in range(4))), make_chooser()

    names = [chosen(chooser.select(table, make_spec()))[0] for _ in range(8)]

    assert max(Counter(names).values()) == 2


def test_instances_beyond_the_room_get_no_host_and_the_reason_is_told():
    table = table_of(make_host("a", total=Resources(vcpus=8, memory_mib=2048, disk_gib=100)))

    selection = make_chooser().select(table, make_spec(count=3))

    assert chosen(selection) == ["a", "a", ""]
    assert selection.reason == ("1 host; 1 without 1024 MiB of free memory (the most is 0 MiB)")


def test_what_is_only_expected_to_be_taken_never_makes_a_request_fail():
    table, chooser = table_of(make_host("a", total=NEED)), make_chooser()
    chooser.select(table, make_spec())

    selection = chooser.select(table, make_spec())

    assert chosen(selection) == ["a"]


def test_what_was_expected_is_forgotten_when_no_delta_comes():
    clock = HandClock()
    table, chooser = table_of(make_host("a"), make_host("b")), make_chooser(clock)
    chooser.select(table, make_spec())
    taken = int(table.vcpus_expected.sum())

    clock.seconds += 60
    table.apply(delta(make_host("b", disabled=True)))
    chooser.select(table, make_spec())

    assert (taken, int(table.vcpus_expected.sum())) == (1, 1)


def test_failed_builds_outweigh_everything_else():
    table = table_of(
        make_host("failing", failed_builds=3),
        make_host("busy", claimed=Resources(vcpus=7, memory_mib=12000, disk_gib=80)),
    )

    assert chosen(make_chooser().select(table, make_spec())) == ["busy"]


def test_with_a_subset_the_choice_varies_among_the_best():
    hosts = [make_host(f"h{n}", claimed=Resources(memory_mib=n * 1000)) for n in range(10)]

    names = {
        chosen(make_chooser(host_subset_size=3, seed=n).select(table_of(*hosts), make_spec()))[0]
        for n in range(30)
    }

    assert names == {"h0", "h1", "h2"}


def test_the_reason_counts_each_host_once_by_the_first_filter_that_turned_it_away():
    hosts = [make_host(f"off{n}", disabled=True, is_up=n > 1) for n in range(5)]
    hosts += [make_host("down", is_up=False)]
    hosts += [make_host(f"east{n}", availability_zone="east") for n in range(2)]
    hosts += [make_host("full", claimed=Resources(memory_mib=16000))]
    hosts += [make_host("busy", claimed=Resources(vcpus=8))]

    selection = make_chooser().select(table_of(*hosts), make_spec(availability_zone="nova"))

    assert selection.reason == (
        "10 hosts; 5 disabled, 1 down or not heard from, 2 in another availability zone, "
        "1 without 1024 MiB of free memory (the most is 384 MiB), "
        "1 without 1 free vCPUs (the most is 0)"
    )


def test_the_reason_names_what_the_image_asks_for():
    spec = make_spec(image_properties={"hw_architecture": "s390x"})

    selection = make_chooser().select(table_of(make_host("a")), spec)

    assert selection.reason == (
        "1 host; 1 whose hypervisor cannot run the image (hw_architecture=s390x)"
    )


def test_a_deployment_without_hosts_says_so():
    selection = make_chooser().select(table_of(), make_spec(count=2))

    assert selection.candidates == ((), ())
    assert selection.reason == "there are no compute hosts yet"


@pytest.mark.parametrize("alternates", [0, 5])
def test_there_are_never_more_candidates_than_hosts(alternates):
    table = table_of(make_host("a"), make_host("b"))

    selection = make_chooser(alternates=alternates).select(table, make_spec())

    assert len(selection.candidates[0]) == min(2, 1 + alternates)
