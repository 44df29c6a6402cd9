# SPDX-License-Identifier: Apache-2.0
"""Documents that guests read, version by version."""

import json
from datetime import date

import msgspec
import pytest

from common.guest_metadata import ec2_tree, openstack_tree
from common.guest_metadata.network_data import network_data
from common.guest_metadata.openstack_tree import TreeSettings
from common.objects.guest_metadata import GuestMetadata
from common.objects.keypair import Keypair
from common.objects.network import FixedIp, VirtualInterface
from common.objects.share_mapping import ShareMapping, ShareStatus
from tests.contracts.drivers.instances import make_instance, make_vif
from tests.contracts.drivers.volumes import make_mapping

SETTINGS = TreeSettings(random_bytes=bytes)
KEY = Keypair(user_id="u", name="mine", fingerprint="f", public_key="ssh-ed25519 AAAA me")
STATIC = FixedIp(
    address="10.0.0.5",
    cidr="10.0.0.0/24",
    gateway="10.0.0.1",
    dns=("8.8.8.8",),
    routes=({"destination": "10.9.0.0/16", "nexthop": "10.0.0.9"},),
    dhcp=False,
)


def guest(**values):
    return GuestMetadata(instance=make_instance(**values))


def meta_data(version, **values):
    return openstack_tree.meta_data(guest(**values), version, SETTINGS)


def test_each_version_adds_its_words():
    first = set(meta_data("2012-08-10"))

    assert set(meta_data("2013-04-04")) - first == {"random_seed"}
    assert set(meta_data("2015-10-15")) - first == {"random_seed", "project_id"}
    assert set(meta_data("latest")) - first == {
        "random_seed", "project_id", "devices", "dedicated_cpus",
    }  # fmt: skip


def test_keys_and_metadata_are_there_only_when_the_server_has_them():
    bare, full = meta_data("latest"), meta_data("latest", keypair=KEY, metadata={"a": "b"})

    assert {"public_keys", "keys", "meta"}.isdisjoint(bare)
    assert full["public_keys"] == {"mine": KEY.public_key}
    assert full["keys"] == [{"name": "mine", "type": "ssh", "data": KEY.public_key}]
    assert full["meta"] == {"a": "b"}


def test_a_version_of_the_future_is_not_listed():
    assert openstack_tree.listed_versions(date(2013, 5, 1)) == (
        "2012-08-10", "2013-04-04", "latest",
    )  # fmt: skip


def test_network_data_is_answered_before_it_is_listed():
    assert "network_data.json" not in openstack_tree.file_names(guest(), "2012-08-10", SETTINGS)
    content = openstack_tree.file_content(guest(), "2012-08-10", "network_data.json", SETTINGS)

    assert json.loads(content) == {}


def test_unknown_versions_and_files_are_not_there():
    for version, name in (
        ("1999-01-01", "meta_data.json"), ("latest", "user_data"), ("latest", "../x"),
    ):  # fmt: skip
        assert openstack_tree.file_content(guest(), version, name, SETTINGS) is None


def test_an_address_by_dhcp_is_left_to_the_dhcp_server():
    document = network_data((make_vif(),))

    assert document["links"][0]["mtu"] is None
    assert document["networks"] == [
        {
            "id": "network0",
            "type": "ipv4_dhcp",
            "link": "tap3f0d3d8e-6a",
            "network_id": make_vif().network_id,
        }
    ]
    assert document["services"] == [{"type": "dns", "address": "8.8.8.8"}]


def test_a_static_address_comes_with_its_routes():
    document = network_data((make_vif(fixed_ips=(STATIC,)),))

    assert document["links"][0]["mtu"] == 1450
    network = document["networks"][0]
    assert (network["type"], network["ip_address"], network["netmask"]) == (
        "ipv4", "10.0.0.5", "255.255.255.0",
    )  # fmt: skip
    assert network["routes"] == [
        {"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.0.0.1"},
        {"network": "10.9.0.0", "netmask": "255.255.0.0", "gateway": "10.0.0.9"},
    ]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"address_mode": "slaac"}, "ipv6_slaac"),
        ({"address_mode": "dhcpv6-stateful"}, "ipv6_dhcpv6-stateful"),
        ({"address_mode": "dhcpv6-stateless", "dhcp": False}, "ipv6"),
        ({}, "ipv6_dhcp"),
    ],
)
def test_a_guest_is_told_how_it_gets_its_ipv6_address(values, kind):
    ip = FixedIp(address="fd00::5", version=6, cidr="fd00::/64", **values)
    vif = VirtualInterface(port_id="p", network_id="n", mac="fa:16:3e:00:00:01", fixed_ips=(ip,))

    (network,) = network_data((vif,))["networks"]

    assert network["type"] == kind


def test_an_ipv6_netmask_is_written_out():
    ip = FixedIp(address="2001:db8::5", version=6, cidr="2001:db8::/64", gateway="fe80::1",
                 dhcp=False)  # fmt: skip
    network = network_data((make_vif(fixed_ips=(ip,)),))["networks"][0]

    assert network["netmask"] == "ffff:ffff:ffff:ffff::"
    assert network["routes"][0] == {"network": "::", "netmask": "::", "gateway": "fe80::1"}


def test_ec2_lists_folders_keys_and_files():
    tree = ec2_tree.meta_data(guest(keypair=KEY, vifs=(make_vif(),)), "latest", SETTINGS)

    listing = ec2_tree.lookup(tree, ()).splitlines()
    assert listing == sorted(listing)
    assert {"placement/", "public-keys/", "instance-id"} <= set(listing)
    assert ec2_tree.lookup(tree, ("public-keys",)) == "0=mine"
    assert ec2_tree.lookup(tree, ("public-keys", "0")) == "openssh-key"
    assert ec2_tree.lookup(tree, ("public-keys", "0", "openssh-key")) == KEY.public_key
    assert ec2_tree.lookup(tree, ("public-keys", "0", "_name")) is None
    assert ec2_tree.lookup(tree, ("instance-id",)) == "i-00000007"
    assert ec2_tree.lookup(tree, ("local-ipv4",)) == "10.0.0.5"
    assert ec2_tree.lookup(tree, ("no", "such")) is None


def test_old_ec2_versions_know_less():
    tree = ec2_tree.meta_data(guest(), "1.0", SETTINGS)

    assert "placement" not in tree
    assert "instance-type" not in tree


def test_tagged_devices_are_told_with_what_a_guest_knows_them_by():
    disks = (
        make_mapping(tag="database", device_name="/dev/vdb"),
        make_mapping(tag="log", device_name="/dev/sdc", disk_bus="scsi"),
        make_mapping(device_name="/dev/vdd"),
        make_mapping(tag="scratch", source="blank", destination="local", volume_id=None),
    )
    told = meta_data("latest", vifs=(make_vif(tag="uplink"),), block_devices=disks)["devices"]

    assert told == [
        {"type": "nic", "bus": "none", "address": "none", "mac": make_vif().mac,
         "tags": ["uplink"]},
        {"type": "disk", "bus": "pci", "address": "none", "serial": disks[0].volume_id,
         "path": "/dev/vdb", "tags": ["database"]},
        {"type": "disk", "bus": "scsi", "address": "0:0:0:2", "serial": disks[1].volume_id,
         "path": "/dev/sdc", "tags": ["log"]},
        {"type": "disk", "bus": "pci", "address": "none", "tags": ["scratch"]},
    ]  # fmt: skip


def test_shares_that_the_guest_has_are_told_from_the_version_on_that_knows_them():
    share = ShareMapping(
        uuid="m", share_id="s", tag="data", export_location="nas:/s", status=ShareStatus.INACTIVE,
        is_given=True,
    )  # fmt: skip
    others = tuple(
        msgspec.structs.replace(share, share_id=status, status=status, is_given=False)
        for status in ("attaching", "detaching", "error")
    )

    assert meta_data("2020-10-14", shares=(share,))["devices"] == []
    assert meta_data("2025-04-04", shares=(*others, share))["devices"] == [
        {"type": "share", "bus": "pci", "address": "none", "share_id": "s", "tag": "data",
         "tags": ["data"]},
    ]  # fmt: skip
