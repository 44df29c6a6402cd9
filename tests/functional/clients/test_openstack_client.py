# SPDX-License-Identifier: Apache-2.0
"""The stock python-openstackclient drives everything that the README promises."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.functional.clients.shells import Shells
from tests.functional.cloud import Cloud

Client = Callable[..., Any]


def make_client(cloud: Cloud, user: str) -> Client:
    shells = Shells(cloud, user)

    def run(command: str, *, microversion: str = "2.104", parse: bool = True) -> Any:
        if not parse:
            return shells.openstack(command, microversion=microversion)
        return json.loads(shells.openstack(f"{command} -f json", microversion=microversion))

    return run


@pytest.fixture(scope="module")
def openstack(cloud: Cloud) -> Client:
    return make_client(cloud, "demo")


@pytest.fixture(scope="module")
def admin(cloud: Cloud) -> Client:
    return make_client(cloud, "admin")


@pytest.fixture(scope="module")
def server(openstack: Client, tmp_path_factory: pytest.TempPathFactory) -> Any:
    key = tmp_path_factory.mktemp("key") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    openstack(f"keypair create --public-key {key}.pub mine")
    return openstack(
        "server create --flavor tiny --image guest --network private --key-name mine --wait first"
    )


def test_flavors_images_and_networks_are_listed(openstack):
    assert [flavor["Name"] for flavor in openstack("flavor list")] == ["tiny"]
    assert [image["Name"] for image in openstack("image list")] == ["guest"]
    assert [network["Name"] for network in openstack("network list")] == ["private"]


def test_a_keypair_is_made_shown_and_deleted(openstack):
    private = openstack("keypair create made", parse=False)

    assert "PRIVATE KEY" in private
    assert openstack("keypair show made")["name"] == "made"
    openstack("keypair delete made", parse=False)
    assert "made" not in [pair["Name"] for pair in openstack("keypair list")]


def test_a_server_boots_and_shows_its_address_key_and_flavor(openstack, server):
    assert server["status"] == "ACTIVE"
    assert server["key_name"] == "mine"
    assert list(server["addresses"]) == ["private"]

    listed = openstack("server list")

    assert [(s["Name"], s["Status"], s["Flavor"]) for s in listed] == [("first", "ACTIVE", "tiny")]


def test_a_server_is_stopped_started_and_rebooted(openstack, server):
    openstack("server stop first", parse=False)
    _until(openstack, "SHUTOFF")
    openstack("server start first", parse=False)
    _until(openstack, "ACTIVE")
    openstack("server reboot --wait first", parse=False)
    openstack("server reboot --hard --wait first", parse=False)

    assert openstack("server show first")["status"] == "ACTIVE"
    assert "fake" in openstack("console log show first", parse=False)


def test_what_was_done_to_a_server_can_be_read(openstack, server):
    actions = [event["Action"] for event in openstack("server event list first")]

    assert actions[-1] == "create"
    assert {"stop", "start", "reboot"} <= set(actions)


def test_limits_quotas_and_zones_are_shown(openstack, server):
    # From 2.75 the Compute API refuses a query key that this client always sends.
    shown = openstack("limits show --absolute", microversion="2.1")
    limits = {line["Name"]: line["Value"] for line in shown}

    assert limits["instances_used"] == 1
    assert limits["instances"] == 10000
    quotas = {line["Resource"]: line["Limit"] for line in openstack("quota show --compute")}
    assert quotas["instances"] == 10000
    zones = openstack("availability zone list --compute")
    assert {"Zone Name": "nova", "Zone Status": "available"} in zones


def test_services_are_listed_disabled_and_forced_down(admin, server):
    compute = [s for s in admin("compute service list") if s["Binary"] == "nova-compute"]
    assert {(s["Host"], s["Status"], s["State"]) for s in compute} >= {
        ("fake1", "enabled", "up"), ("fake2", "enabled", "up"), ("fake3", "enabled", "up"),
    }  # fmt: skip

    admin("compute service set --disable --disable-reason disks fake1 nova-compute", parse=False)
    admin("compute service set --down fake1 nova-compute", parse=False)

    shown = next(s for s in admin("compute service list --long") if s["Host"] == "fake1")
    assert (shown["Status"], shown["State"], shown["Disabled Reason"]) == (
        "disabled", "down", "disks",
    )  # fmt: skip
    admin("compute service set --up --enable fake1 nova-compute", parse=False)
    shown = next(s for s in admin("compute service list") if s["Host"] == "fake1")
    assert shown["Status"] == "enabled"


@pytest.mark.parametrize("microversion", ["2.1", "2.52", "2.53", "2.87", "2.104"])
def test_hypervisors_are_listed(admin, server, microversion):
    names = {h["Hypervisor Hostname"] for h in admin("hypervisor list", microversion=microversion)}

    assert names == {"fake1", "fake2", "fake3"}


def test_a_server_is_deleted(openstack, server):
    openstack("server delete --wait first", parse=False)

    assert openstack("server list") == []


def _until(openstack: Client, status: str) -> None:
    for _ in range(60):
        if openstack("server show first")["status"] == status:
            return
    raise AssertionError(f"never {status}")
