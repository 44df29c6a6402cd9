# SPDX-License-Identifier: Apache-2.0
"""A user of the API leads a server of a real guest through its life.

One server goes through all of it, in the order in which the tests stand here. Its guest counts its
starts on its disk, and listens to no power button.
"""

import pytest

from tests.functional.cloud import *  # noqa: F403
from tests.functional.rabbitmq import wait_until
from tests.integration.compute import counting_guest
from tests.integration.compute.by_clients import HOST, SOON_S, Api, Compute, Server, running
from tests.integration.compute.counting_guest import boots

pytestmark = pytest.mark.integration

CONDUCTOR = "[conductor]\nreclaim_instance_interval_s = 3600\nshelved_offload_time_s = 0\n"


@pytest.fixture(scope="module")
def cloud(make_cloud):
    with running(make_cloud(options=CONDUCTOR)) as made:
        yield made


@pytest.fixture(scope="module")
def admin(cloud):
    return cloud.connect("admin")


@pytest.fixture(scope="module")
def api(cloud):
    return Api(cloud)


@pytest.fixture(scope="module")
def compute(cloud, api, libvirt_host):
    made = Compute(cloud, "compute", libvirt_host, options="soft_reboot_timeout_s = 1\n")
    made.start()
    try:
        made.until_up(api)
        yield made
    finally:
        made.kill()


@pytest.fixture(scope="module")
def server(admin, api, compute):
    admin.compute.create_flavor(name="small", ram=32, vcpus=1, disk=1, id="small")
    image = admin.image.create_image(
        name="counting", data=counting_guest.image(), disk_format="raw", container_format="bare",
        wait=True, validate_checksum=False, os_shutdown_timeout="1",
    )  # fmt: skip
    body = {"name": "web", "imageRef": image.id, "flavorRef": "small", "networks": "none"}
    made = Server(api, api("POST", "/servers", {"server": body})["server"]["id"])
    made.until("ACTIVE")
    made.until_booted(1)
    yield made
    made.delete(force=True)


def last_boot(server):
    """How often the guest has started, by its disk; None before it has said so."""
    said = boots(server.console())
    return said[-1][0] if said else None


def test_a_soft_reboot_becomes_a_hard_one_where_nobody_listens(server):
    server.act("reboot", type="SOFT")

    server.until_booted(2)
    server.until("ACTIVE")


def test_a_stop_waits_as_long_as_the_image_says(server):
    server.act("os-stop")
    server.until("SHUTOFF")
    server.act("os-start")

    server.until("ACTIVE")
    server.until_booted(3)


def test_a_paused_and_a_suspended_server_go_on_where_they_were(server, compute):
    for act, back, status, power in (
        ("pause", "unpause", "PAUSED", "paused"), ("suspend", "resume", "SUSPENDED", "shut off"),
    ):  # fmt: skip
        server.act(act)
        server.until(status)
        assert compute.power(server) == power
        server.act(back)
        server.until("ACTIVE")

    assert compute.power(server) == "running"
    assert last_boot(server) == 3


def test_images_are_made_while_it_runs_and_older_backups_go(server, admin):
    def names():
        shown = [each for each in admin.image.images() if each.name != "counting"]
        assert {each.status for each in shown} <= {"active", "queued", "saving"}
        return {each.name for each in shown if each.status == "active"}

    server.act("createImage", name="shot")
    wait_until(lambda: names() == {"shot"}, "it is made", timeout_s=SOON_S)
    server.until("ACTIVE")
    for name in ("monday", "tuesday"):
        server.act("createBackup", name=name, backup_type="daily", rotation=1)
        wait_until(lambda name=name: names() == {"shot", name}, f"{name} is kept",
                   timeout_s=SOON_S)  # fmt: skip
        server.until("ACTIVE")

    assert last_boot(server) == 3


def test_a_rescued_server_starts_from_another_disk_and_comes_back(server):
    server.act("rescue")
    server.until("RESCUE")
    wait_until(lambda: last_boot(server) == 1, "it starts from a fresh disk", timeout_s=SOON_S)
    server.act("unrescue")

    server.until("ACTIVE")
    server.until_booted(4)


def test_a_shelved_server_leaves_its_host_and_comes_back_with_its_disk(server, compute):
    server.act("shelve")
    server.until("SHELVED_OFFLOADED")
    assert server.show()[HOST] is None
    assert compute.left(server.uuid) == []
    server.act("unshelve")

    server.until("ACTIVE", "compute")
    wait_until(lambda: last_boot(server) == 5, "it goes on counting", timeout_s=SOON_S)


def test_a_crash_dump_is_the_guests_own_business(server, compute):
    server.act("trigger_crash_dump")

    wait_until(
        lambda: server.results("trigger_crash_dump") == ["Success"], "it is done", timeout_s=SOON_S
    )
    assert compute.power(server) == "running"


def test_a_rebuilt_server_begins_anew(server, admin):
    [image] = admin.image.images(name="counting")
    server.act("rebuild", imageRef=image.id)

    server.until("ACTIVE")
    wait_until(lambda: last_boot(server) == 1, "it counts anew", timeout_s=SOON_S)


def test_a_deleted_server_is_restored_and_then_gone_for_good(server, compute, api):
    api("DELETE", f"/servers/{server.uuid}")
    server.until("SOFT_DELETED")
    assert compute.power(server) == "shut off"
    server.act("restore")
    server.until("ACTIVE")
    server.until_booted(2)

    server.delete(force=True)

    assert compute.left(server.uuid) == []
