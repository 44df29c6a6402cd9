# SPDX-License-Identifier: Apache-2.0
"""The real cloud-init understands what guests are served, and the config drives they get."""

import base64
import subprocess

import pytest
import requests

from common.guest_metadata.openstack_tree import TreeSettings
from common.objects.guest_metadata import GuestMetadata
from common.objects.injected_file import InjectedFile
from common.objects.keypair import Keypair
from common.objects.network import FixedIp
from services.compute import config_drive
from tests.functional.conductor_half import daemon_process
from tests.functional.db.rows import add, make_instance, make_vif
from tests.functional.metadata.cloud_init import *  # noqa: F403

pytestmark = pytest.mark.functional

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMockedKeyMaterialMockedKeyMaterialMocke me"
USER_DATA = b"#!/bin/sh\necho hello\n"


def described(**values):
    """A guest with all that it can be told: keys, user data, a DHCP and a fixed network."""
    fixed = FixedIp(
        address="10.9.0.7", cidr="10.9.0.0/24", gateway="10.9.0.1", dns=("9.9.9.9",), dhcp=False,
        routes=({"destination": "10.8.0.0/16", "nexthop": "10.9.0.2"},),
    )  # fmt: skip
    six = FixedIp(address="fd00::7", version=6, cidr="fd00::/64", gateway="fd00::1", dhcp=False)
    first = (
        FixedIp(address="127.0.0.1"),
        FixedIp(address="fd00:1::7", version=6, cidr="fd00:1::/64", address_mode="slaac"),
    )
    return make_instance(
        hostname="web",
        key_name="mine",
        keypair=Keypair(user_id="u", name="mine", fingerprint="aa:bb", public_key=KEY),
        user_data=base64.b64encode(USER_DATA).decode(),
        metadata={"role": "frontend"},
        vifs=(
            make_vif(fixed_ips=first),
            make_vif("10.9.0.7", port_id="p2", mac="fa:16:3e:00:00:02", device="tap-2",
                     fixed_ips=(fixed, six)),
        ),
        **values,
    )  # fmt: skip


@pytest.fixture
def served(transport_url, tmp_path, conductor, database):
    """The URL at which the guest reads."""
    add(database, described())
    conductor.serve()
    with daemon_process("metadata", transport_url, tmp_path, "cache_s = 0") as process:
        process.wait_until_healthy()
        yield f"http://127.0.0.1:{process.port}"


def assert_knows_its_networks(found):
    by_name = {each["name"]: each for each in found["network"]["config"] if "name" in each}

    assert [s["type"] for s in by_name["eth0"]["subnets"]] == ["dhcp4", "ipv6_slaac"]
    static, six = by_name["eth1"]["subnets"]
    assert (static["address"], static["netmask"]) == ("10.9.0.7", "255.255.255.0")
    assert [(r["network"], r["netmask"], r["gateway"]) for r in static["routes"]] == [
        ("0.0.0.0", "0.0.0.0", "10.9.0.1"), ("10.8.0.0", "255.255.0.0", "10.9.0.2"),
    ]  # fmt: skip
    assert six["address"] == "fd00::7"


def test_the_openstack_tree(served, cloud_init):
    found = cloud_init.read("openstack", served)

    assert found["metadata"]["hostname"] == "web.novalocal"
    assert found["metadata"]["public_keys"] == {"mine": KEY}
    assert found["metadata"]["meta"] == {"role": "frontend"}
    assert found["userdata"] == USER_DATA.decode()
    assert_knows_its_networks(found)


def test_the_ec2_tree(served, cloud_init):
    found = cloud_init.read("ec2", served)["metadata"]

    assert found["hostname"] == "web.novalocal"
    assert found["local-ipv4"] == "127.0.0.1"
    assert found["public-keys"] == {"mine": KEY}
    assert requests.get(f"{served}/2009-04-04/user-data", timeout=10).content == USER_DATA


@pytest.mark.parametrize("drive_format", ["iso9660", "vfat"])
def test_a_config_drive(tmp_path, cloud_init, drive_format):
    guest = described(
        admin_password="s3cret",
        injected_files=(InjectedFile(path="/etc/motd", contents=base64.b64encode(b"hi").decode()),),
    )
    drive, folder = tmp_path / "drive", tmp_path / "mounted"
    config_drive.write(drive, GuestMetadata(instance=guest), TreeSettings(), drive_format)
    unpack(drive, drive_format, folder)

    found = cloud_init.read("drive", folder)

    assert found["metadata"]["uuid"] == guest.uuid
    assert found["metadata"]["admin_pass"] == "s3cret"
    assert found["files"] == {"/etc/motd": "hi"}
    assert found["userdata"] == USER_DATA.decode()
    assert_knows_its_networks(found)


def unpack(drive, drive_format, folder):
    """What a guest sees that mounts the drive."""
    folder.mkdir()
    if drive_format == "vfat":
        run("mcopy", "-s", "-i", drive, "::/openstack", "::/ec2", folder)
        return
    for line in run("isoinfo", "-J", "-f", "-i", drive).decode().splitlines():
        content = run("isoinfo", "-J", "-x", line, "-i", drive)
        target = folder / line.lstrip("/")
        if target.suffix or "content/" in line or target.name == "user_data":
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def run(*command):
    return subprocess.run(
        [*map(str, command)], capture_output=True, timeout=30, check=True
    ).stdout  # fmt: skip
