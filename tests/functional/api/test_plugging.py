# SPDX-License-Identifier: Apache-2.0
"""Guests are held until their ports are plugged, with a network service that leaves that to us."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.functional.cloud import Cloud, wait_for_status
from tests.functional.rabbitmq import wait_until

RUNS, PAUSED = 1, 3
PLUGS_NOTHING = "[companion]\nplugs_ports = false\n"
Boot = Callable[[], Any]


@pytest.fixture(scope="module")
def slow(make_cloud: Callable[..., Cloud]) -> Iterator[Cloud]:
    made = make_cloud(hosts=1, options=PLUGS_NOTHING)
    try:
        made.start()
        made.seed()
        yield made
    finally:
        made.remove()


def power_of(cloud: Cloud, server: str) -> int:
    """The power state of the one guest that the server has; 0 for none."""
    return max((power for (_, name), power in cloud.guests().items() if name == server), default=0)


def wait_until_held(cloud: Cloud, server: str) -> None:
    wait_until(lambda: power_of(cloud, server) == PAUSED, "the guest is held")


@pytest.fixture
def boot(slow: Cloud) -> Iterator[Boot]:
    """Asks for a server with a port; it, once its guest is held."""
    demo = slow.connect()
    image, network = next(iter(demo.image.images())), demo.network.find_network("private")
    made = []

    def create() -> Any:
        server = demo.compute.create_server(
            name="s", flavor_id="1", image_id=image.id, networks=[{"uuid": network.id}]
        )
        made.append(server)
        wait_until_held(slow, server.id)
        return server

    yield create
    for each in made:
        demo.compute.delete_server(each)
    for each in made:
        demo.compute.wait_for_delete(each, wait=30, interval=0.1)


@pytest.fixture
def tell(slow: Cloud) -> Callable[..., None]:
    """Says of the server's port that it is plugged, as a network service does."""
    admin = slow.connect("admin")

    def post(server: str, status: str = "completed") -> None:
        [port] = admin.network.ports(device_id=server)
        assert port.status == "DOWN"
        event = {"name": "network-vif-plugged", "server_uuid": server, "tag": port.id}
        answer = admin.compute.post(
            "/os-server-external-events", json={"events": [{**event, "status": status}]}
        )
        assert answer.status_code == 200

    return post


def test_a_held_guest_goes_on_when_its_port_is_plugged(slow, boot, tell):
    server, demo = boot(), slow.connect()
    shown = demo.compute.get_server(server)

    tell(server.id)

    assert (shown.status, shown.task_state) == ("BUILD", "spawning")
    found = wait_for_status(demo, server.id, "ACTIVE", "ERROR")
    assert (found.status, found.power_state) == ("ACTIVE", RUNS)
    assert power_of(slow, server.id) == RUNS


def test_a_port_that_cannot_be_plugged_is_the_end_of_the_boot(slow, boot, tell):
    server, demo = boot(), slow.connect()

    tell(server.id, "failed")

    found = wait_for_status(demo, server.id, "ERROR")
    assert found.fault["message"].startswith("Virtual Interface creation failed: ")
    assert power_of(slow, server.id) == 0
    assert not list(slow.connect("admin").network.ports(device_id=server.id))


def test_it_is_waited_for_again_when_the_server_comes_back_from_the_shelf(slow, boot, tell):
    server, demo = boot(), slow.connect()
    tell(server.id)
    wait_for_status(demo, server.id, "ACTIVE")
    demo.compute.shelve_server(server)
    wait_for_status(demo, server.id, "SHELVED_OFFLOADED")

    demo.compute.unshelve_server(server)
    wait_until_held(slow, server.id)
    tell(server.id)

    wait_for_status(demo, server.id, "ACTIVE")
    assert power_of(slow, server.id) == RUNS


def test_a_conductor_that_dies_meanwhile_goes_on_waiting(slow, boot, tell):
    server, demo = boot(), slow.connect()

    slow.kill("conductor")
    slow.start("conductor")
    tell(server.id)

    wait_for_status(demo, server.id, "ACTIVE")
    assert power_of(slow, server.id) == RUNS


def test_a_port_that_is_switched_off_is_not_waited_for(slow):
    demo = slow.connect()
    image, network = next(iter(demo.image.images())), demo.network.find_network("private")
    port = demo.network.create_port(network_id=network.id, admin_state_up=False)

    server = demo.compute.create_server(
        name="s", flavor_id="1", image_id=image.id, networks=[{"port": port.id}]
    )

    wait_for_status(demo, server.id, "ACTIVE")
    assert demo.network.get_port(port.id).status == "DOWN"
    demo.compute.delete_server(server)
    demo.compute.wait_for_delete(server, wait=30, interval=0.1)
    demo.network.delete_port(port)


def test_a_port_that_is_active_is_plugged_though_nobody_told(slow, boot):
    server, demo = boot(), slow.connect()
    text = slow.config_file.read_text()

    slow.stop("companion")
    slow.config_file.write_text(text.replace("plugs_ports = false", "plugs_ports = true"))
    try:
        slow.start("companion")
        wait_for_status(demo, server.id, "ACTIVE")
    finally:
        slow.stop("companion")
        slow.config_file.write_text(text)
        slow.start("companion")
