# SPDX-License-Identifier: Apache-2.0
"""Filters accept the hosts that Nova's operators expect of their names."""

import pytest

from common.errors import Invalid
from common.objects.resources import Resources
from common.objects.server_group import GroupSpec
from services.scheduler.filters.image import version_matches
from services.scheduler.filters.registry import filters_named
from tests.unit.scheduler.hosts import make_host, make_spec, table_of


def accepted(name: str, *hosts, **spec) -> list[str]:
    (filter_,) = filters_named([name])
    table = table_of(*hosts)
    mask = filter_.accepts(table, make_spec(**spec))
    return [names.host for names, takes in zip(table.names, mask, strict=True) if takes]


def test_compute_filter_wants_enabled_hosts_that_are_up():
    hosts = make_host("good"), make_host("off", disabled=True), make_host("gone", is_up=False)

    assert accepted("ComputeFilter", *hosts) == ["good"]


@pytest.mark.parametrize(("zone", "names"), [(None, ["a", "b"]), ("east", ["b"]), ("nowhere", [])])
def test_zone_filter_heeds_the_zone_that_was_asked_for(zone, names):
    hosts = make_host("a"), make_host("b", availability_zone="east")

    assert accepted("AvailabilityZoneFilter", *hosts, availability_zone=zone) == names


def test_capacity_filter_takes_a_host_that_fits_exactly_and_none_that_does_not():
    need = Resources(vcpus=2, memory_mib=2048, disk_gib=20)
    exact = make_host("exact", total=need)
    small = [
        make_host("cpu", total=Resources(vcpus=1, memory_mib=2048, disk_gib=20)),
        make_host("ram", total=Resources(vcpus=2, memory_mib=2047, disk_gib=20)),
        make_host("disk", total=Resources(vcpus=2, memory_mib=2048, disk_gib=19)),
    ]

    assert accepted("CapacityFilter", exact, *small, need=need) == ["exact"]


def test_capacity_filter_does_not_mind_an_overdrawn_resource_that_is_not_needed():
    host = make_host("a", claimed=Resources(disk_gib=500))

    assert accepted("CapacityFilter", host, need=Resources(vcpus=1, memory_mib=64)) == ["a"]


@pytest.mark.parametrize(
    ("properties", "names"),
    [
        ({}, ["x86", "arm"]),
        ({"hw_architecture": "x86_64"}, ["x86"]),
        ({"architecture": "amd64"}, ["x86"]),
        ({"hw_architecture": "aarch64"}, ["arm"]),
        ({"img_hv_type": "KVM"}, ["arm"]),
        ({"hypervisor_type": "qemu"}, ["x86"]),
        ({"hw_vm_mode": "hv"}, ["x86", "arm"]),
        ({"hw_vm_mode": "xen"}, []),
        ({"hw_architecture": "x86_64", "img_hv_type": "kvm"}, []),
        ({"img_hv_requested_version": ">=8.0"}, ["arm"]),
        ({"hypervisor_version_requires": ">=7.0, <8"}, ["x86"]),
    ],
)
def test_image_filter_wants_a_hypervisor_that_can_run_the_image(properties, names):
    x86 = make_host("x86")
    arm = make_host("arm", supported=(("aarch64", "kvm", "hvm"),), hypervisor_version=8001002)

    assert accepted("ImagePropertiesFilter", x86, arm, image_properties=properties) == names


@pytest.mark.parametrize(
    ("predicates", "matches"),
    [
        (None, True), ("7.2", True), ("=7.2.0", True), (">7.1.9", True), ("<7.2", False),
        ("!=7.2.0", False), (">=7,<=7.2", True), ("any", False), (">=", False),
    ],
)  # fmt: skip
def test_version_predicates_compare_by_number_not_by_text(predicates, matches):
    assert version_matches(7002000, predicates) is matches


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ({}, ["a", "b"]),
        ({"requested_host": "b"}, ["b"]),
        ({"requested_node": "a.example"}, ["a"]),
        ({"requested_host": "b", "requested_node": "a.example"}, []),
    ],
)
def test_requested_host_filter_wants_host_and_node_as_asked_for(spec, names):
    assert accepted("RequestedHostFilter", make_host("a"), make_host("b"), **spec) == names


def test_a_host_where_the_build_failed_is_not_tried_again():
    hosts = make_host("a"), make_host("b")

    assert accepted("ExcludedHostFilter", *hosts, excluded_hosts=("a",)) == ["b"]


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ({}, ["old", "same", "newer", "other"]),
        ({"hypervisor_type": "QEMU", "hypervisor_version": 7002000}, ["same", "newer"]),
    ],
)
def test_a_guest_that_runs_goes_to_a_hypervisor_like_its_own_or_newer(spec, names):
    hosts = (
        make_host("old", hypervisor_version=7001999),
        make_host("same"),
        make_host("newer", hypervisor_version=8000000),
        make_host("other", hypervisor_type="KVM", hypervisor_version=9000000),
    )

    assert accepted("CompatibleHypervisorFilter", *hosts, **spec) == names


def test_an_unknown_filter_is_refused_with_the_names_of_the_known_ones():
    with pytest.raises(Invalid, match="NoFilter.*AvailabilityZoneFilter"):
        filters_named(["NoFilter"])


@pytest.mark.parametrize(
    ("policy", "most", "names"),
    [
        ("anti-affinity", 1, ["empty"]),
        ("anti-affinity", 2, ["one", "empty"]),
        ("affinity", 1, ["one", "two"]),
        ("soft-affinity", 1, ["one", "two", "empty"]),
    ],
)
def test_group_filters_keep_members_apart_or_together(policy, most, names):
    hosts = make_host("one"), make_host("two"), make_host("empty")
    group = GroupSpec(
        uuid="g", name="g", policy=policy, max_per_host=most, hosts={"one": 1, "two": 2}
    )

    apart = accepted("ServerGroupAntiAffinityFilter", *hosts, group=group)
    together = accepted("ServerGroupAffinityFilter", *hosts, group=group)

    assert [name for name in apart if name in together] == names
