# SPDX-License-Identifier: Apache-2.0
"""A user of the API moves a server of real guests among two compute daemons on two libvirtds.

One server goes through all of it, in the order in which the tests stand here.
"""

import contextlib
import subprocess

import pytest

from tests.functional.cloud import *  # noqa: F403
from tests.functional.rabbitmq import wait_until
from tests.integration.compute import counting_guest
from tests.integration.compute.by_clients import HOST, SOON_S, Api, Compute, Server, running
from tests.integration.compute.counting_guest import beats, boots

pytestmark = pytest.mark.integration

# What moves alive takes seconds, in which a test can do something.
SLOW = "migration_bandwidth_mib_s = 1\n"


@pytest.fixture(scope="module")
def cloud(make_cloud, hosts):
    with running(make_cloud()) as made:
        yield made


@pytest.fixture(scope="module")
def api(cloud):
    return Api(cloud)


@pytest.fixture(scope="module")
def computes(cloud, hosts, api):
    """Two compute daemons by name, that the cloud knows."""
    one, two = hosts
    made = {
        "compute-one": Compute(cloud, "compute-one", one, peer=two, options=SLOW),
        "compute-two": Compute(cloud, "compute-two", two, peer=one, options=SLOW),
    }
    try:
        for compute in made.values():
            compute.start()
        wait_until(
            lambda: len(api("GET", "/os-hypervisors")["hypervisors"]) == len(made),
            f"both hosts are known: {cloud.logs()}", timeout_s=SOON_S,
        )  # fmt: skip
        yield made
    finally:
        for compute in made.values():
            compute.kill()


@pytest.fixture(scope="module")
def server(cloud, computes, api):
    admin = cloud.connect("admin")
    for name, root_gib in (("small", 1), ("large", 2)):
        admin.compute.create_flavor(name=name, ram=32, vcpus=1, disk=root_gib, id=name)
    image = admin.image.create_image(
        name="counting", data=counting_guest.image(), disk_format="raw", container_format="bare",
        wait=True, validate_checksum=False,
    )  # fmt: skip
    body = {"name": "web", "imageRef": image.id, "flavorRef": "small", "networks": "none"}
    made = Server(api, api("POST", "/servers", {"server": body})["server"]["id"])
    made.until("ACTIVE")
    made.until_booted(1)
    return made


@pytest.fixture
def here(server, computes):
    """The daemon that has the server now."""
    return computes[server.show()[HOST]]


@pytest.fixture
def there(server, computes, here):
    """The other one."""
    [other] = [each for each in computes.values() if each is not here]
    return other


def force_down(api, compute, *, is_down):
    """An administrator says that a host is down, or that it is not."""
    services = api("GET", "/os-services?binary=nova-compute")["services"]
    [service] = [each["id"] for each in services if each["host"] == compute.name]
    api("PUT", f"/os-services/{service}", {"forced_down": is_down})


def test_a_resize_is_reverted_and_then_confirmed(server, here, there):
    server.act("resize", flavorRef="large")
    server.until("VERIFY_RESIZE", there.name)
    server.until_booted(2)
    server.act("revertResize")
    server.until("ACTIVE", here.name)
    assert there.left(server.uuid) == []
    assert server.show()["flavor"]["original_name"] == "small"

    server.act("resize", flavorRef="large")
    server.until("VERIFY_RESIZE", there.name)
    server.act("confirmResize")
    server.until("ACTIVE", there.name)

    assert here.left(server.uuid) == []
    size = there.host.run("virsh", "domblkinfo", f"kilonova-{server.uuid}", "vda")
    assert f"Capacity:       {2 << 30}" in size


def test_a_disk_does_not_shrink(server, api):
    path = f"/servers/{server.uuid}/action"

    refused = api("POST", path, {"resize": {"flavorRef": "small"}}, expect=(400,))

    assert "Unable to resize disk down" in refused["badRequest"]["message"]


def test_a_server_moves_while_it_runs(server, here, there):
    wait_until(lambda: beats(server.console()), "it beats", timeout_s=SOON_S)
    before = boots(server.console())[-1][0]

    server.act("os-migrateLive", host=None, block_migration="auto")
    server.until("ACTIVE", there.name)

    wait_until(lambda: beats(server.console()), "it beats on", timeout_s=SOON_S)
    assert boots(server.console()) == []
    assert here.left(server.uuid) == []
    server.act("reboot", type="HARD")
    server.until("ACTIVE", there.name)
    server.until_booted(before + 1)


def test_a_server_that_cannot_move_says_why_and_stays(server, here, there, api):
    server.act("os-migrateLive", host=None, block_migration=False)
    wait_until(server.messages, "it is refused", timeout_s=SOON_S)
    server.until("ACTIVE", here.name)

    [action, *_] = server.messages()
    assert action[0] == "live-migration"
    assert "not on shared storage" in action[1]
    assert there.left(server.uuid) == []


def test_a_server_that_has_moved_while_nobody_listened_is_where_its_guest_is(
    server, here, there, api
):
    before = boots(server.console())[-1][0]
    name = f"kilonova-{server.uuid}"
    server.act("os-migrateLive", host=None, block_migration="auto")
    wait_until(
        lambda: there.has(name) and there.power(server) == "paused",
        "it is on its way", timeout_s=SOON_S,
    )  # fmt: skip
    here.kill()  # libvirt itself goes on
    wait_until(lambda: name in there.running(), "it has come", timeout_s=SOON_S)
    wait_until(lambda: name not in here.running(), "it has gone", timeout_s=SOON_S)
    assert server.show()[HOST] == here.name
    force_down(api, here, is_down=True)

    server.until("ACTIVE", there.name)

    wait_until(lambda: beats(server.console()), "it beats on", timeout_s=SOON_S)
    assert boots(server.console()) == []
    force_down(api, here, is_down=False)
    here.start()
    wait_until(lambda: here.left(server.uuid) == [], "it has cleaned up", timeout_s=SOON_S)
    server.act("reboot", type="HARD")
    server.until("ACTIVE", there.name)
    server.until_booted(before + 1)


def test_a_server_of_a_dead_host_is_built_elsewhere_and_cleaned_up_after(server, here, there, api):
    here.kill()
    with contextlib.suppress(subprocess.CalledProcessError):
        here.host.run("virsh", "destroy", f"kilonova-{server.uuid}")
    force_down(api, here, is_down=True)

    server.act("evacuate", host=there.name)
    server.until("SHUTOFF", there.name)
    server.act("os-start")
    server.until("ACTIVE", there.name)
    server.until_booted(1)  # its disk was not shared: it begins anew
    force_down(api, here, is_down=False)
    here.start()

    wait_until(lambda: here.left(server.uuid) == [], "it has cleaned up", timeout_s=SOON_S)


def test_deletion_leaves_nothing(server, computes, api):
    api("DELETE", f"/servers/{server.uuid}")

    wait_until(
        lambda: all(each.left(server.uuid) == [] for each in computes.values()),
        "nothing is left", timeout_s=SOON_S,
    )  # fmt: skip
