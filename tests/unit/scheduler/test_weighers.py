# SPDX-License-Identifier: Apache-2.0
"""Weighers prefer the hosts that Nova's operators expect of their names."""

import pytest

from common.objects.resources import Resources
from services.scheduler.settings import Settings
from services.scheduler.weighers.registry import Scale, weighers
from tests.unit.scheduler.hosts import make_host, make_spec, table_of


def best(table, settings=None, spec=None, **multipliers) -> list[str]:
    """Host names, the best one first."""
    spec = spec or make_spec()
    scale = Scale(weighers(multipliers, settings), table, spec, range(len(table)))
    scores = scale.scores(table).tolist()
    return [
        name.host for _, name in sorted(
            zip(scores, table.names, strict=True), key=lambda pair: (-pair[0], pair[1].host)
        )
    ]  # fmt: skip


def test_hosts_with_little_under_way_come_first_when_that_counts_against():
    table = table_of(make_host("a"), make_host("b"), make_host("c"))
    table.see_io_ops({"a": 5, "c": 1})

    assert best(table, io_ops=-1.0) == ["b", "c", "a"]
    assert best(table, io_ops=1.0) == ["a", "c", "b"]


def test_instances_spread_or_pack():
    table = table_of(make_host("a", instances=1), make_host("b", instances=9), make_host("c"))

    assert best(table, num_instances=-1.0) == ["c", "a", "b"]
    assert best(table, num_instances=1.0) == ["b", "a", "c"]


def test_new_hypervisors_come_first():
    table = table_of(make_host("old", hypervisor_version=6000000), make_host("new"))

    assert best(table, hypervisor_version=1.0) == ["new", "old"]


@pytest.mark.parametrize(
    ("weights", "order"),
    [({}, ["a", "b", "c"]), ({"os_type": 5.0}, ["b", "c", "a"]), ({"other": 1.0}, list("abc"))],
)
def test_instances_of_like_images_count_for_their_host(weights, order):
    table = table_of(make_host("a"), make_host("b"), make_host("c"))
    table.see_images({
        "a": {"os_distro": {"debian": 9}},
        "b": {"os_distro": {"debian": 2, "fedora": 50}, "os_type": {"linux": 3}},
        "c": {"os_type": {"linux": 1}},
    })  # fmt: skip
    spec = make_spec(image_properties={"os_distro": "debian", "os_type": "linux"})

    assert best(table, Settings(image_weights=weights), spec, image_props=1.0) == order


def test_an_aggregate_says_how_much_a_weigher_counts_for_its_hosts():
    free = {"claimed": Resources(memory_mib=0)}
    table = table_of(
        make_host("plain", claimed=Resources(memory_mib=8000)),
        make_host("full", claimed=Resources(memory_mib=16384)),
        make_host("off", aggregate_metadata=(
            {"ram_weight_multiplier": "0.0"}, {"ram_weight_multiplier": "3"}), **free),
        make_host("much", aggregate_metadata=({"ram_weight_multiplier": "9"},), **free),
        make_host("nonsense", aggregate_metadata=({"ram_weight_multiplier": "high"},), **free),
    )  # fmt: skip

    assert best(table, ram=1.0) == ["much", "nonsense", "plain", "full", "off"]
    assert best(table, ram=0.0)[0] == "much"


def test_a_weigher_that_counts_nowhere_is_not_asked():
    table = table_of(make_host("a"))

    assert Scale(weighers({"ram": 0.0}), table, make_spec(), range(1)).scores(table)[0] == 0
