# SPDX-License-Identifier: Apache-2.0
"""Filters by hints, aggregates' metadata, attributes of hosts and bounds."""

import json

import pytest

from common.objects.resources import Resources
from services.scheduler.filters.registry import filters_named
from services.scheduler.settings import Settings
from tests.unit.scheduler.hosts import make_host, make_spec, table_of


def reason(name: str, *hosts, settings=None, **spec) -> tuple[list[str], list[str]]:
    """The hosts that a filter accepts, and what it says of the others."""
    (filter_,) = filters_named([name], settings)
    table, asked = table_of(*hosts), make_spec(**spec)
    mask = filter_.accepts(table, asked)
    told = filter_.explains(table, asked, ~mask) if not mask.all() else ()
    names = [names.host for names, takes in zip(table.names, mask, strict=True) if takes]
    return names, [f"{count} {text}" for count, text in told if count]


def accepted(name: str, *hosts, settings=None, **spec) -> list[str]:
    return reason(name, *hosts, settings=settings, **spec)[0]


def host_in(name: str, *metadata: dict[str, str], **fields):
    return make_host(name, aggregate_metadata=metadata, **fields)


# --- hints ---

HINT_HOSTS = {"u1": "a", "u2": "b"}


@pytest.mark.parametrize(
    ("uuids", "apart", "together"),
    [
        (["u1"], ["b", "c"], ["a"]),
        (["u1", "u2"], ["c"], ["a", "b"]),
        (["unknown"], ["a", "b", "c"], []),
        ([], ["a", "b", "c"], ["a", "b", "c"]),
    ],
)
def test_instances_are_kept_apart_from_or_together_with_those_that_are_named(
    uuids, apart, together
):
    hosts = [make_host(name) for name in "abc"]

    assert apart == accepted(
        "DifferentHostFilter", *hosts, hint_hosts=HINT_HOSTS,
        scheduler_hints={"different_host": uuids},
    )  # fmt: skip
    assert together == accepted(
        "SameHostFilter", *hosts, hint_hosts=HINT_HOSTS, scheduler_hints={"same_host": uuids}
    )


@pytest.mark.parametrize(
    ("hints", "names"),
    [
        ({}, ["v4", "far", "v6"]),
        ({"build_near_host_ip": ["10.1.2.99"]}, ["v4"]),
        ({"build_near_host_ip": ["10.1.2.99"], "cidr": ["/8"]}, ["v4", "far"]),
        ({"build_near_host_ip": ["10.1.2.99"], "cidr": ["/255.0.0.0"]}, ["v4", "far"]),
        ({"build_near_host_ip": ["0.0.0.0"], "cidr": ["/0"]}, ["v4", "far"]),
        ({"build_near_host_ip": ["fd00:1::9"], "cidr": ["/64"]}, ["v6"]),
        ({"build_near_host_ip": ["fd00:1::9"], "cidr": ["/127"]}, []),
        ({"build_near_host_ip": ["10.1.2.99"], "cidr": ["/33"]}, []),
        ({"build_near_host_ip": ["nonsense"]}, []),
        ({"cidr": ["/8"]}, ["v4", "far", "v6"]),
    ],
)
def test_hosts_near_an_address_are_those_of_its_network(hints, names):
    hosts = (
        make_host("v4", host_ip="10.1.2.3"),
        make_host("far", host_ip="10.200.0.1"),
        make_host("v6", host_ip="fd00:1::1"),
    )

    assert accepted("SimpleCIDRAffinityFilter", *hosts, scheduler_hints=hints) == names


# --- queries ---

QUERIED = (
    make_host("small", total=Resources(vcpus=2, memory_mib=2048, disk_gib=10)),
    make_host("large", total=Resources(vcpus=64, memory_mib=65536, disk_gib=1000), instances=3),
)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ([">=", "$free_ram_mb", 4096], ["large"]),
        (["<", "$free_ram_mb", 4096], ["small"]),
        (["and", [">=", "$free_ram_mb", 1024], ["<", "$num_instances", 1]], ["small"]),
        (["or", ["=", "$host", "large"], ["=", "$vcpus_total", 2]], ["small", "large"]),
        (["not", ["=", "$hypervisor_hostname", "large.example"]], ["small"]),
        (["in", "$host", "x", "large"], ["large"]),
        (["=", "$free_disk_mb", 10240.0], ["small"]),
        (["=", "$cpu_info.vendor", "ACME"], []),
        (["=", "$no_such_thing", "$no_such_thing"], []),
        (["<", "$host", 5], []),
        ([">", "$vcpus_total", 10**40], []),
        ([">", "$vcpus_total", 1, 2, 3], ["large"]),
        (["=", "$host"], []),
        (["and"], []),
        (["and", True, "$num_instances"], ["large"]),
    ],
)
def test_a_query_is_true_of_hosts_or_not(query, names):
    hints = {"query": [json.dumps(query)]}

    assert accepted("JsonFilter", *QUERIED, scheduler_hints=hints) == names


def _deep(levels: int) -> str:
    return '["not", ' * levels + "true" + "]" * levels


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("{", "no JSON"), ('"text"', "no list"), ("[]", "begin with"), ('["exec", "ls"]', "begin"),
        ('["and", {"a": 1}]', "object"), (_deep(9), "deeper than 8"), (_deep(5000), "longer"),
        (json.dumps(["in", "$host", *range(40)]), "more than 32 parts"),
        (json.dumps(["=", "$host", "x" * 5000]), "longer than 4096"),
        ("[" * 4000, "no JSON"),
    ],
)  # fmt: skip
def test_a_query_that_cannot_be_understood_accepts_no_host_and_says_why(query, words):
    names, told = reason("JsonFilter", *QUERIED, scheduler_hints={"query": [query]})

    assert names == []
    assert told[0].startswith("2 not looked at, since the query cannot be understood: ")
    assert words in told[0]


def test_without_a_query_every_host_is_accepted():
    assert accepted("JsonFilter", *QUERIED) == ["small", "large"]


# --- aggregates ---


@pytest.mark.parametrize(
    ("extra_specs", "names"),
    [
        ({}, ["ssd", "both", "none"]),
        ({"aggregate_instance_extra_specs:disk": "ssd"}, ["ssd", "both"]),
        ({"disk": "ssd"}, ["ssd", "both"]),
        ({"disk": "<or> hdd <or> tape"}, ["both"]),
        ({"disk": "ssd", "aggregate_instance_extra_specs:speed": ">= 10"}, ["both"]),
        ({"hw:numa_nodes": "2", "capabilities:vcpus": "9"}, ["ssd", "both", "none"]),
        ({"aggregate_instance_extra_specs:a:b": "c"}, ["none"]),
    ],
)
def test_a_flavor_wants_hosts_whose_aggregates_say_so(extra_specs, names):
    hosts = (
        host_in("ssd", {"disk": "ssd", "speed": "5"}),
        host_in("both", {"disk": "ssd, hdd"}, {"speed": "20"}),
        host_in("none", {"a:b": "c"}),
    )

    assert accepted("AggregateInstanceExtraSpecsFilter", *hosts, extra_specs=extra_specs) == names


def test_a_flavor_without_its_aggregate_is_told_what_it_wants():
    names, told = reason(
        "AggregateInstanceExtraSpecsFilter", make_host("a"), extra_specs={"disk": "ssd"}
    )

    assert (names, told) == ([], ["1 in no aggregate that the flavor wants (disk ssd)"])


@pytest.mark.parametrize(
    ("properties", "settings", "names"),
    [
        ({"os_distro": "debian"}, Settings(), ["debian", "any"]),
        ({"os_distro": "windows"}, Settings(), ["any"]),
        ({}, Settings(), ["debian", "any"]),
        ({"os_distro": "windows"}, Settings(image_isolation_namespace="img"), ["debian", "any"]),
    ],
)
def test_aggregates_keep_images_of_another_kind_away(properties, settings, names):
    hosts = host_in("debian", {"os_distro": "debian,ubuntu"}), make_host("any")

    assert names == accepted(
        "AggregateImagePropertiesIsolation", *hosts, settings=settings, image_properties=properties
    )


def test_aggregates_are_kept_for_projects_and_for_flavors():
    hosts = (
        host_in("p", {"filter_tenant_id": "x,p"}),
        host_in("numbered", {"filter_tenant_id": "x"}, {"filter_tenant_id2": "p"}),
        host_in("others", {"filter_tenant_id": "x"}),
        host_in("small", {"instance_type": "m1.small, m1.tiny"}),
    )

    assert accepted("AggregateMultiTenancyIsolation", *hosts) == ["p", "numbered", "small"]
    assert accepted("AggregateTypeAffinityFilter", *hosts, flavor_name="m1.tiny") == [
        "p", "numbered", "others", "small",
    ]  # fmt: skip
    assert "small" not in accepted("AggregateTypeAffinityFilter", *hosts, flavor_name="m1")


# --- attributes ---

CPU = {"arch": "x86_64", "vendor": "ACME", "features": ["aes", "avx"], "topology": {"cores": 4}}


@pytest.mark.parametrize(
    ("extra_specs", "names"),
    [
        ({}, ["acme", "plain"]),
        ({"capabilities:hypervisor_type": "s== QEMU"}, ["acme", "plain"]),
        ({"capabilities:cpu_info:vendor": "ACME"}, ["acme"]),
        ({"capabilities:cpu_info:features": "<all-in> aes avx"}, ["acme"]),
        ({"capabilities:cpu_info:topology:cores": ">= 4"}, ["acme"]),
        ({"capabilities:cpu_info:topology:cores:x": "4"}, []),
        ({"capabilities:free_ram_mb": ">= 16000"}, ["plain"]),
        ({"capabilities:host": "plain"}, ["plain"]),
        ({"capabilities:host_ip": "<in> 10.0."}, ["acme"]),
        ({"capabilities:nonsense": "1"}, []),
        ({"nonsense": "1", "vcpus": "8"}, ["acme", "plain"]),
        ({"vcpus": "9"}, []),
        ({"capabilities:": "x", "hw:numa_nodes": "1"}, ["acme", "plain"]),
        ({"capabilities:supported_instances": "<in> i686"}, ["acme", "plain"]),
    ],
)
def test_a_flavor_wants_hosts_with_attributes(extra_specs, names):
    hosts = (
        make_host("acme", cpu_info=CPU, host_ip="10.0.0.1", claimed=Resources(memory_mib=1024)),
        make_host("plain"),
    )

    assert accepted("ComputeCapabilitiesFilter", *hosts, extra_specs=extra_specs) == names


def test_hosts_without_an_attribute_are_counted_by_the_first_one_they_lack():
    hosts = make_host("a", cpu_info=CPU), make_host("b")
    specs = {"capabilities:cpu_info:vendor": "ACME", "capabilities:vcpus": ">= 9"}

    names, told = reason("ComputeCapabilitiesFilter", *hosts, extra_specs=specs)

    assert names == []
    assert told == [
        "1 without what the flavor wants of hosts (capabilities:cpu_info:vendor ACME)",
        "1 without what the flavor wants of hosts (capabilities:vcpus >= 9)",
    ]


# --- bounds ---


def test_hosts_take_instances_up_to_the_bound_of_the_deployment_or_of_their_aggregates():
    hosts = (
        make_host("few", instances=1),
        make_host("many", instances=3),
        host_in("bounded", {"max_instances_per_host": "1"}, instances=1),
        host_in("least", {"max_instances_per_host": "9"}, {"max_instances_per_host": "2"},
                instances=2),
        host_in("wide", {"max_instances_per_host": "9"}, instances=8),
        host_in("nonsense", {"max_instances_per_host": "some"}, instances=2),
    )  # fmt: skip
    bound = Settings(max_instances=3)

    plain = reason("NumInstancesFilter", *hosts, settings=bound)
    by_aggregate = accepted("AggregateNumInstancesFilter", *hosts, settings=bound)

    assert plain[0] == ["few", "bounded", "least", "nonsense"]
    assert plain[1] == ["2 with too many instances (3 or more)"]
    assert by_aggregate == ["few", "wide", "nonsense"]


def test_hosts_take_instances_while_little_is_under_way():
    hosts = (
        make_host("idle"), make_host("busy"), host_in("slow", {"max_io_ops_per_host": "1"}),
    )  # fmt: skip
    table = table_of(*hosts)
    table.see_io_ops({"busy": 8, "slow": 1, "gone": 3})
    (plain, by_aggregate) = filters_named(["IoOpsFilter", "AggregateIoOpsFilter"])

    assert plain.accepts(table, make_spec()).tolist() == [True, False, True]
    assert by_aggregate.accepts(table, make_spec()).tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("image", "restricts", "names"),
    [
        ("isolated", True, ["kept"]), ("isolated", False, ["kept"]),
        ("other", True, ["free"]), ("other", False, ["kept", "free"]), (None, True, ["free"]),
    ],
)  # fmt: skip
def test_isolated_images_and_hosts_are_for_one_another(image, restricts, names):
    settings = Settings(
        isolated_images=frozenset(["isolated"]), isolated_hosts=frozenset(["kept"]),
        isolated_hosts_for_isolated_images_only=restricts,
    )  # fmt: skip
    hosts = make_host("kept"), make_host("free")

    assert accepted("IsolatedHostsFilter", *hosts, settings=settings, image_id=image) == names


# --- traits ---


def test_a_host_has_the_traits_that_are_required_and_none_that_is_forbidden():
    hosts = [
        make_host("a", traits=("CUSTOM_SSD",)),
        make_host("b", traits=("CUSTOM_SSD", "CUSTOM_NOISY")),
        make_host("c"),
    ]
    specs = {"trait:CUSTOM_SSD": "required", "trait_1:CUSTOM_NOISY": "forbidden"}

    assert reason("TraitsFilter", *hosts, extra_specs=specs) == (
        ["a"],
        ["1 without the trait CUSTOM_SSD", "1 with the trait CUSTOM_NOISY"],
    )


def test_an_image_requires_traits_too():
    hosts = [make_host("a", traits=("CUSTOM_SSD",)), make_host("b")]

    assert accepted("TraitsFilter", *hosts) == ["a", "b"]
    assert accepted("TraitsFilter", *hosts, image_properties={"trait:CUSTOM_SSD": "required"}) == [
        "a"
    ]


@pytest.mark.parametrize(
    "specs", [{"trait:CUSTOM_SSD": "maybe"}, {"traits:": "required"}, {"hw:trait:X": "required"}]
)
def test_what_asks_for_no_trait_turns_no_host_away(specs):
    assert accepted("TraitsFilter", make_host("a"), extra_specs=specs) == ["a"]


# --- dedicated CPUs ---


@pytest.mark.parametrize(
    ("asked", "there"),
    [
        ({"extra_specs": {"hw:cpu_policy": "dedicated"}}, ["four", "unsaid"]),
        ({"image_properties": {"hw_cpu_policy": "Dedicated"}}, ["four", "unsaid"]),
        ({"extra_specs": {"hw:cpu_policy": "mixed"}}, ["one", "four", "unsaid"]),
        ({"extra_specs": {"hw:cpu_policy": "shared"}}, ["none", "one", "four", "unsaid"]),
        ({}, ["none", "one", "four", "unsaid"]),
    ],
)
def test_dedicated_cpus_are_where_there_are_as_many(asked, there):
    hosts = [
        make_host("none", dedicated_cpus=0), make_host("one", dedicated_cpus=1),
        make_host("four", dedicated_cpus=4), make_host("unsaid"),
    ]  # fmt: skip
    need = Resources(vcpus=2, memory_mib=64, disk_gib=1)

    assert accepted("DedicatedCpusFilter", *hosts, need=need, **asked) == there


def test_who_lacks_dedicated_cpus_is_said_to():
    host = make_host("none", dedicated_cpus=0)
    need = Resources(vcpus=2, memory_mib=64, disk_gib=1)
    specs = {"hw:cpu_policy": "dedicated"}

    assert reason("DedicatedCpusFilter", host, need=need, extra_specs=specs) == (
        [], ["1 without 2 dedicated CPUs"],
    )  # fmt: skip
