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
