# SPDX-License-Identifier: Apache-2.0
"""A user of the API has a container: what works does, what a container has not is said.

One server goes through all of it, in the order in which the tests stand here.
"""

import pytest

from tests.functional.cloud import *  # noqa: F403
from tests.functional.rabbitmq import wait_until
from tests.integration.compute import containers
from tests.integration.compute.by_clients import SOON_S, Api, Compute, Server, running

pytestmark = pytest.mark.integration

FAULT = "The hypervisor driver of this host cannot {}."


class ContainerHost(Compute):
    """A compute daemon that runs containers on a libvirtd of its own."""

    def __init__(self, cloud, name, host):
        options = f"connection_uri = {host.containers_uri}\nvirt_type = lxc\n"
        super().__init__(cloud, name, host, options=options)

    def left(self, server):
        files = [path.name for path in (self.state / "instances").glob(f"{server}*")]
        links = list((self.state / "compute" / "l").iterdir())
        known = self.host.run("virsh", "-c", "lxc:///", "list", "--all", "--name")
        return [*files, *links, *(name for name in known.split() if server in name)]


@pytest.fixture(scope="module")
def cloud(make_cloud, libvirt_host):
    with running(make_cloud(options="[conductor]\nallow_resize_to_same_host = true\n")) as made:
        yield made


@pytest.fixture(scope="module")
def api(cloud):
    return Api(cloud)


@pytest.fixture(scope="module")
def compute(cloud, libvirt_host, api):
    made = ContainerHost(cloud, "containers", libvirt_host)
    try:
        made.start()
        wait_until(
            lambda: api("GET", "/os-hypervisors")["hypervisors"],
            f"the host is known: {cloud.logs()}", timeout_s=SOON_S,
        )  # fmt: skip
        yield made
    finally:
        made.kill()


@pytest.fixture(scope="module")
def images(cloud, tmp_path_factory):
    """One image, said to be for containers and for machines."""
    admin, folder = cloud.connect("admin"), tmp_path_factory.mktemp("images")
    content = containers.make_image(containers.make_root(folder), folder / "image").read_bytes()
    return {
        mode: admin.image.create_image(
            name=mode, data=content, disk_format="raw", container_format="bare", wait=True,
            validate_checksum=False, vm_mode=mode,
        ).id for mode in ("exe", "hvm")
    }  # fmt: skip


@pytest.fixture(scope="module")
def create(cloud, compute, api, images):
    admin = cloud.connect("admin")
    for name, root_gib in (("small", 1), ("large", 2)):
        admin.compute.create_flavor(name=name, ram=32, vcpus=1, disk=root_gib, id=name)

    def create(mode="exe", **values):
        body = {"name": "box", "imageRef": images[mode], "flavorRef": "small", "networks": "none"}
        return Server(api, api("POST", "/servers", {"server": body | values})["server"]["id"])

    return create


@pytest.fixture(scope="module")
def server(create):
    made = create()
    made.until("ACTIVE")
    until_idle(made, 1)
    return made


def until_idle(server, times):
    wait_until(
        lambda: server.console().count("idle") >= times,
        f"it is idle for the time {times}", timeout_s=SOON_S,
    )  # fmt: skip


def test_the_host_is_known_for_what_it_is(api, server):
    [shown] = api("GET", "/os-hypervisors/detail")["hypervisors"]

    assert shown["hypervisor_type"] == "LXC"


def test_an_image_for_machines_finds_no_host(create):
    other = create("hvm")

    wait_until(lambda: other.show()["status"] == "ERROR", "it failed", timeout_s=SOON_S)
    assert "No valid host" in other.show()["fault"]["message"]


def test_it_pauses_and_stops_and_reboots(server):
    server.act("pause")
    server.until("PAUSED")
    server.act("unpause")
    server.until("ACTIVE")
    server.act("reboot", type="SOFT")
    server.until("ACTIVE")
    until_idle(server, 2)
    server.act("os-stop")
    server.until("SHUTOFF")
    assert server.console().count("going down") == 2
    server.act("os-start")
    server.until("ACTIVE")
    until_idle(server, 3)
    assert server.messages() == []


def test_its_end_behind_our_back_is_seen(server, libvirt_host):
    name = f"kilonova-{server.uuid}"
    libvirt_host.run("virsh", "-c", "lxc:///", "destroy", name)

    server.until("SHUTOFF")
    server.act("os-start")
    server.until("ACTIVE")
    until_idle(server, 4)


def test_it_is_counted(api, server):
    counted = api("GET", f"/servers/{server.uuid}/diagnostics")

    assert (counted["driver"], counted["hypervisor"]) == ("libvirt", "lxc")
    assert counted["memory_details"]["maximum"] == 32


def test_an_image_is_made_of_it(api, cloud, server):
    image = server.act("createImage", name="made")["image_id"]

    made = cloud.connect("admin").image
    wait_until(lambda: made.get_image(image).status == "active", "it is there", timeout_s=SOON_S)
    server.until("ACTIVE")
    assert made.get_image(image).disk_format == "qcow2"


def test_it_grows_where_it_is(server):
    server.act("resize", flavorRef="large")
    server.until("VERIFY_RESIZE")
    server.act("confirmResize")
    server.until("ACTIVE")

    assert server.show()["flavor"]["original_name"] == "large"
    until_idle(server, 1)


@pytest.mark.parametrize(
    ("action", "body", "what"),
    [
        ("suspend", {}, "suspend guests"),
        ("rescue", {}, "rescue guests"),
        ("trigger_crash_dump", {}, "trigger crash dumps"),
        ("changePassword", {"adminPass": "secret"}, "change passwords of guests"),
    ],
)
def test_what_it_has_not_is_said_and_it_goes_on(server, action, body, what):
    before = len(server.messages())
    server.act(action, **body)

    wait_until(lambda: len(server.messages()) > before, "it is refused", timeout_s=SOON_S)
    server.until("ACTIVE")
    assert FAULT.format(what) in server.last_words()


@pytest.mark.parametrize("kind", ["vnc", "spice", "serial"])
def test_a_console_is_refused(api, server, kind):
    protocol, console = {"vnc": ("vnc", "novnc"), "spice": ("spice", "spice-html5"),
                         "serial": ("serial", "serial")}[kind]  # fmt: skip
    body = {"remote_console": {"protocol": protocol, "type": console}}

    answer = api("POST", f"/servers/{server.uuid}/remote-consoles", body, expect=(400, 501))

    assert "message" in next(iter(answer.values()))


@pytest.fixture
def another_host(cloud, api, compute, hosts):
    """A second host of containers, for as long as the test."""
    made = ContainerHost(cloud, "others", hosts[1])
    made.start()
    try:
        made.until_up(api)
        yield made
    finally:
        made.kill()


def test_it_does_not_move_while_it_runs(api, server, another_host):
    before = len(server.messages())
    server.act("os-migrateLive", host=another_host.name, block_migration="auto")

    wait_until(lambda: len(server.messages()) > before, "it is refused", timeout_s=SOON_S)
    server.until("ACTIVE", "containers")
    assert FAULT.format("move running guests") in server.last_words()
    path = f"/os-migrations?instance_uuid={server.uuid}&migration_type=live-migration"
    [tried] = api("GET", path)["migrations"]
    assert (tried["status"], tried["dest_compute"]) == ("error", another_host.name)
    assert another_host.left(server.uuid) == []


def test_nothing_of_it_is_left(api, server, compute):
    api("DELETE", f"/servers/{server.uuid}")

    wait_until(lambda: compute.left(server.uuid) == [], "it is gone", timeout_s=SOON_S)
