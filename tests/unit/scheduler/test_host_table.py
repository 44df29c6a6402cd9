# SPDX-License-Identifier: Apache-2.0
"""The host table says of each host what was said last."""

import random

from hypothesis import given
from hypothesis import strategies as st

from common.objects.compute_node import HostBaseline
from common.objects.resources import Resources
from services.scheduler.host_table import HostTable
from tests.unit.scheduler.hosts import NEED, delta, make_host, table_of


def free_of(table: HostTable, host: str) -> tuple[int, int, int]:
    row = next(i for i, name in enumerate(table.names) if name.host == host)
    return (
        int(table.vcpus_free[row]),
        int(table.memory_free_mib[row]),
        int(table.disk_free_gib[row]),
    )


def test_capacity_counts_reserve_and_ratios_and_what_is_claimed():
    table = table_of(
        make_host(
            "a",
            reserved=Resources(vcpus=1, memory_mib=384, disk_gib=10),
            cpu_ratio=4.0,
            memory_ratio=1.5,
            claimed=Resources(vcpus=3, memory_mib=1000, disk_gib=50),
        )
    )

    assert free_of(table, "a") == (7 * 4 - 3, 24000 - 1000, 40)


def test_a_newer_generation_wins_and_an_older_one_changes_nothing():
    table = table_of(make_host("a", generation=5))

    table.apply(delta(make_host("a", generation=6, claimed=NEED)))
    table.apply(delta(make_host("a", generation=4)))

    assert free_of(table, "a") == (7, 15360, 90)


def test_a_delta_settles_what_was_expected_of_its_host():
    table = table_of(make_host("a"), make_host("b"))
    table.expect(0, NEED, until=10.0)
    table.expect(1, NEED, until=10.0)

    table.apply(delta(make_host("a", generation=1, claimed=NEED)))

    assert free_of(table, "a") == (7, 15360, 90)
    assert free_of(table, "b") == (7, 15360, 90)
    assert table.forget_expected(now=10.0)
    assert free_of(table, "b") == (8, 16384, 100)


def test_a_baseline_replaces_every_host():
    table = table_of(make_host("a"), make_host("b"))

    table.load(HostBaseline(hosts=(make_host("c"),)))

    assert [name.host for name in table.names] == ["c"]
    assert len(table.enabled) == 1


@given(st.lists(st.tuples(st.integers(0, 90), st.booleans()), max_size=300), st.randoms())
def test_hosts_that_come_and_go_leave_the_rest_as_it_was(changes, rng: random.Random):
    table, expected = HostTable(), {}
    for generation, (number, removed) in enumerate(changes):
        vcpus = rng.randrange(8)
        node = make_host(
            f"h{number}", generation=generation, claimed=Resources(vcpus=vcpus),
            availability_zone=f"z{number % 3}",
        )  # fmt: skip
        table.apply(delta(node, removed=removed))
        if removed:
            expected.pop(f"h{number}", None)
        else:
            expected[f"h{number}"] = (8 - vcpus, f"z{number % 3}")

    seen = {
        name.host: (int(table.vcpus_free[row]), table.zones[table.zone[row]])
        for row, name in enumerate(table.names)
    }
    assert seen == expected


def io_ops(table: HostTable) -> dict[str, int]:
    return {name.host: int(table.io_ops[row]) for row, name in enumerate(table.names)}


def test_who_comes_between_two_looks_counts_as_under_way():
    table = table_of(make_host("a", building=2, instances=5), make_host("b"))

    table.apply(delta(make_host("a", generation=1, instances=7)))
    table.apply(delta(make_host("b", generation=1)))
    came = io_ops(table)
    table.apply(delta(make_host("a", generation=2, instances=6)))
    left = io_ops(table)
    table.see_io_ops({"b": 3})

    assert came == left == {"a": 4, "b": 0}
    assert io_ops(table) == {"a": 0, "b": 3}


def test_a_host_in_the_place_of_another_one_has_nothing_of_it():
    table = table_of(make_host("a", building=5, instances=5))
    table.apply(delta(make_host("a", generation=1), removed=True))

    table.apply(delta(make_host("b", instances=1)))

    assert io_ops(table) == {"b": 0}


def test_what_is_expected_to_come_counts_as_an_instance_and_as_under_way():
    table = table_of(make_host("a", instances=1))

    table.expect(0, NEED, until=10.0)
    soon = int(table.instances_soon[0]), int(table.io_ops_soon[0])
    table.forget_expected(now=10.0)

    assert soon == (2, 1)
    assert (int(table.instances_soon[0]), int(table.io_ops_soon[0])) == (1, 0)


def test_figures_by_host_are_the_same_for_the_table_and_for_any_columns():
    table = table_of(*(make_host(name) for name in "abc"))
    by_host = {"b": 4, "gone": 1}

    whole = table.figures(by_host).tolist()
    one_by_one = [int(table.only(row).figures(by_host)[0]) for row in range(3)]

    assert whole == one_by_one == [0, 4, 0]
