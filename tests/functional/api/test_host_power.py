# SPDX-License-Identifier: Apache-2.0
"""Hosts powered off and on, and put into maintenance, through real HTTP."""

import pytest

from tests.functional.cloud import wait_for_status
from tests.waiting import Looking


@pytest.fixture
def server(cloud):
    """A server of the demo project that runs."""
    demo = cloud.connect("demo")
    image = next(each for each in demo.image.images() if each.name == "guest")
    made = demo.compute.create_server(name="on", flavor_id="1", image_id=image.id, networks="none")
    yield wait_for_status(cloud.connect("admin"), made.id, "ACTIVE")
    demo.compute.delete_server(made)
    demo.compute.wait_for_delete(made, interval=0.1)


def _old(call, path):
    answer = call("GET", f"/os-hosts/{path}", version="2.42")
    assert answer.status_code == 200, answer.text
    return answer.json()


def _service(call, host):
    return call("GET", f"/os-services?host={host}&binary=nova-compute").json()["services"][0]


def _wait_for_state(call, host, state):
    looking = Looking()
    while _service(call, host)["state"] != state:
        looking.pause()


def test_a_host_goes_off_with_its_servers_and_comes_back(call, cloud, server):
    host, admin = server.compute_host, cloud.connect("admin")

    assert _old(call, f"{host}/shutdown") == {"host": host, "power_action": "shutdown"}

    wait_for_status(admin, server.id, "SHUTOFF")
    _wait_for_state(call, host, "down")
    refused = call("GET", f"/os-hosts/{host}/reboot", version="2.42")
    assert refused.status_code == 400
    assert refused.json()["badRequest"]["message"] == (
        f"Compute service of {host} is unavailable at this time."
    )

    assert _old(call, f"{host}/startup") == {"host": host, "power_action": "startup"}

    _wait_for_state(call, host, "up")
    assert admin.compute.get_server(server.id).status == "SHUTOFF"
    admin.compute.start_server(server.id)
    wait_for_status(admin, server.id, "ACTIVE")


def test_a_host_in_maintenance_takes_no_servers_until_it_ends(call, server):
    host = server.compute_host

    def put(**body):
        answer = call("PUT", f"/os-hosts/{host}", version="2.42", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert put(maintenance_mode="enable") == {"host": host, "maintenance_mode": "on_maintenance"}
    during = _service(call, host)
    assert (during["status"], during["disabled_reason"]) == ("disabled", "Host is in maintenance")

    assert put(maintenance_mode="disable") == {
        "host": host, "maintenance_mode": "off_maintenance",
    }  # fmt: skip
    assert _service(call, host)["status"] == "enabled"


def test_the_end_of_maintenance_leaves_a_host_disabled_that_was_so_before(call, server):
    host = server.compute_host
    path = f"/os-services/{_service(call, host)['id']}"
    call("PUT", path, json={"status": "disabled", "disabled_reason": "disk"})

    for mode in ("enable", "disable"):
        call("PUT", f"/os-hosts/{host}", version="2.42", json={"maintenance_mode": mode})

    assert _service(call, host)["disabled_reason"] == "disk"
    call("PUT", path, json={"status": "enabled"})
