# SPDX-License-Identifier: Apache-2.0
"""What users see of servers whose host, or one of its daemons, goes down and comes back."""

import pytest

from tests.functional.cloud import *  # noqa: F403
from tests.functional.rabbitmq import wait_until
from tests.integration.compute import counting_guest, mortal_guest
from tests.integration.compute.by_clients import SOON_S, Api, Compute, Server, running
from tests.integration.compute.counting_guest import boots

pytestmark = pytest.mark.integration

REVIVES = "[compute]\nresume_guests_state_on_host_boot = true\n"


@pytest.fixture(scope="module")
def cloud(make_cloud):
    with running(make_cloud()) as made:
        admin = made.connect("admin")
        admin.compute.create_flavor(name="small", ram=32, vcpus=1, disk=1, id="small")
        yield made


@pytest.fixture(scope="module")
def api(cloud):
    return Api(cloud)


@pytest.fixture(scope="module")
def images(cloud):
    """Ids of images by name."""
    admin = cloud.connect("admin")
    made = {}
    for name, guest in (("counting", counting_guest), ("mortal", mortal_guest)):
        made[name] = admin.image.create_image(
            name=name, data=guest.image(), disk_format="raw", container_format="bare",
            wait=True, validate_checksum=False,
        ).id  # fmt: skip
    return made


@pytest.fixture(params=[REVIVES, ""], ids=["revives", "tells"])
def compute(cloud, api, libvirt_host, request):
    """A compute daemon that revives its guests after a boot, and one that tells they are off."""
    made = Compute(cloud, "compute", libvirt_host, options=request.param)
    made.start()
    try:
        made.until_up(api)
        yield made
    finally:
        made.kill()


@pytest.fixture
def servers(api, images, compute):
    """Makes servers that have booted once; gone after the test."""
    made = []

    def make(number, image="counting"):
        body = {"name": "web", "flavorRef": "small", "networks": "none"}
        for _ in range(number):
            asked = {"server": body | {"imageRef": images[image]}}
            made.append(Server(api, api("POST", "/servers", asked)["server"]["id"]))
        for server in made:
            server.until("ACTIVE")
            if image == "counting":
                server.until_booted(1)
        return made

    yield make
    for server in made:
        server.delete()


def restart(compute, api, *, guests_first=lambda: None):
    """The host goes down with all on it, and comes back."""
    compute.kill()
    guests_first()
    compute.host.crash()
    compute.boot()
    compute.host.start()
    compute.start()
    compute.until_up(api)


def test_guests_come_back_with_their_host_where_the_operator_wants_that(compute, api, servers):
    runs, stopped, paused, suspended, saved = servers(5)
    stopped.act("os-stop")
    stopped.until("SHUTOFF")
    paused.act("pause")
    paused.until("PAUSED")
    suspended.act("suspend")
    suspended.until("SUSPENDED")

    def libvirt_guests():
        compute.host.run("virsh", "managedsave", f"kilonova-{saved.uuid}")

    restart(compute, api, guests_first=libvirt_guests)

    if compute.revives:
        runs.until_booted(2)
        runs.until("ACTIVE")
        saved.until("ACTIVE")
        assert compute.power(saved) == "running"
        assert len(boots(saved.console())) == 1  # it goes on where it was
    else:
        for server in (runs, saved):
            server.until("SHUTOFF")
        assert not compute.running()
        runs.act("os-start")
        runs.until_booted(2)
    stopped.until("SHUTOFF")
    paused.until("SHUTOFF")
    suspended.until("SUSPENDED")
    suspended.act("resume")
    suspended.until("ACTIVE")
    assert len(boots(suspended.console())) == 1


def test_a_daemon_that_starts_anew_leaves_guests_as_they_are(compute, api, servers):
    runs, suspended, dies = servers(3)
    suspended.act("suspend")
    suspended.until("SUSPENDED")

    compute.kill()
    compute.host.run("virsh", "destroy", f"kilonova-{dies.uuid}")
    compute.start()
    compute.until_up(api)

    dies.until("SHUTOFF")
    assert compute.running() == {f"kilonova-{runs.uuid}"}
    suspended.act("resume")
    suspended.until("ACTIVE")
    assert [len(boots(each.console())) for each in (runs, suspended)] == [1, 1]


@pytest.mark.parametrize("compute", [REVIVES], ids=["revives"], indirect=True)
def test_a_guest_that_cannot_come_back_says_why(compute, api, servers):
    [server] = servers(1)

    restart(compute, api, guests_first=(compute.state / "instances" / server.uuid / "disk").unlink)

    server.until("ERROR")
    assert "does not run since its host has booted" in server.show()["fault"]["message"]


def test_what_happens_outside_is_seen_within_two_seconds(compute, servers):
    destroyed, killed = servers(2)

    compute.host.run("virsh", "destroy", f"kilonova-{destroyed.uuid}")
    destroyed.until("SHUTOFF", within_s=2)
    pid_file = compute.host.folder / "run" / "qemu" / f"kilonova-{killed.uuid}.pid"
    compute.host.run("kill", "-KILL", pid_file.read_text().strip())
    killed.until("SHUTOFF", within_s=2)
    compute.host.run("virsh", "start", f"kilonova-{killed.uuid}")
    killed.until("ACTIVE", within_s=2)
    compute.host.run("virsh", "suspend", f"kilonova-{killed.uuid}")
    wait_until(
        lambda: killed.show()["OS-EXT-STS:power_state"] == 3, "it is seen standing", timeout_s=2
    )


def test_a_guest_that_switches_itself_off_is_seen_to(servers):
    [mortal] = servers(1, image="mortal")
    wait_until(lambda: "bye" in mortal.console(), "it says so", timeout_s=SOON_S)

    mortal.until("SHUTOFF", within_s=2)

    mortal.act("os-start")
    mortal.until("ACTIVE")
