# SPDX-License-Identifier: Apache-2.0
"""Servers that change their flavor or their host, through real HTTP on fake hosts."""

from typing import Any

import pytest

from tests.functional.api.conftest import Call
from tests.functional.api.servers import *  # noqa: F403
from tests.functional.api.servers import Act, until
from tests.functional.cloud import Cloud
from tests.functional.rabbitmq import wait_until

HOST = "OS-EXT-SRV-ATTR:host"
BIGGER = "bigger"


@pytest.fixture(scope="module", autouse=True)
def bigger(cloud: Cloud) -> None:
    cloud.connect("admin").compute.create_flavor(name=BIGGER, ram=128, vcpus=2, disk=1, id=BIGGER)


def claimed(call: Call) -> dict[str, tuple[int, int]]:
    """vCPUs and MiB that are claimed of each host."""
    nodes = call("GET", "/os-hypervisors/detail", version="2.87").json()["hypervisors"]
    return {
        node["hypervisor_hostname"]: (node["vcpus_used"], node["memory_mb_used"]) for node in nodes
    }


def moves(call: Call, server: str) -> list[dict[str, Any]]:
    answer = call("GET", f"/os-migrations?instance_uuid={server}")
    assert answer.status_code == 200
    return answer.json()["migrations"]


def leftovers(cloud: Cloud, server: str) -> list[str]:
    """Hosts that have something of the server, a name each time."""
    there: dict[tuple[str, str], str] = {}
    for line in cloud.guests_file.read_text().splitlines():
        host, name, state = line.split()
        there[host, name] = state
    return [
        f"{host} {name.removeprefix(server)}".strip()
        for (host, name), state in sorted(there.items())
        if name.startswith(server) and state != "0"
    ]


def test_a_resized_server_is_confirmed(cloud: Cloud, call: Call, act: Act, server, show):
    before, source = claimed(call), show()[HOST]

    assert act({"resize": {"flavorRef": BIGGER}}).status_code == 202
    moved = until(show, "VERIFY_RESIZE")
    assert moved["flavor"]["original_name"] == BIGGER
    assert moved[HOST] != source
    assert f"{source} -aside" in leftovers(cloud, server)
    assert act({"confirmResize": None}).status_code == 204
    until(show, "ACTIVE")

    assert leftovers(cloud, server) == [moved[HOST]]
    assert [m["status"] for m in moves(call, server)] == ["confirmed"]
    after = claimed(call)
    assert after[source][0] == before[source][0] - 1
    assert act({"confirmResize": None}).status_code == 409


def test_a_resized_server_is_reverted(cloud: Cloud, call: Call, act: Act, server, show):
    before, source = claimed(call), show()[HOST]
    assert act({"os-stop": None}).status_code == 202
    until(show, "SHUTOFF")

    assert act({"resize": {"flavorRef": BIGGER}}).status_code == 202
    assert until(show, "VERIFY_RESIZE")["OS-EXT-STS:power_state"] == 4
    assert act({"revertResize": None}).status_code == 202
    back = until(show, "SHUTOFF")

    assert (back[HOST], back["flavor"]["original_name"]) == (source, "tiny")
    assert leftovers(cloud, server) == [source]
    assert claimed(call) == before
    assert [m["status"] for m in moves(call, server)] == ["reverted"]


def test_a_resize_that_its_host_refuses_leaves_all_as_it_was(
    cloud: Cloud, call: Call, act: Act, server, show
):
    before, source = claimed(call), show()[HOST]
    cloud.faults(faults=["receive:1:HypervisorError"])

    assert act({"resize": {"flavorRef": BIGGER}}).status_code == 202
    found = until(show, "ACTIVE")

    assert (found[HOST], found["OS-EXT-STS:power_state"]) == (source, 1)
    assert leftovers(cloud, server) == [source]
    assert claimed(call) == before
    assert [m["status"] for m in moves(call, server)] == ["error"]
    actions = call("GET", f"/servers/{server}/os-instance-actions").json()["instanceActions"]
    assert actions[0]["action"] == "resize"
    assert "fails here by order" in actions[0]["message"]


@pytest.mark.parametrize(
    ("flavor", "words"),
    [("1", "must change flavor"), ("none", "Unable to locate requested flavor")],
)
def test_a_flavor_that_cannot_be_is_refused(act: Act, flavor, words):
    refused = act({"resize": {"flavorRef": flavor}})

    assert refused.status_code == 400
    assert words in refused.text


def test_a_server_migrates_to_the_host_that_is_named(call: Call, server, show):
    source = show()[HOST]
    target = next(name for name in claimed(call) if name != source)
    path = f"/servers/{server}/action"

    assert call("POST", path, json={"migrate": {"host": source}}).status_code == 400
    assert call("POST", path, json={"migrate": {"host": "none"}}).status_code == 400
    assert call("POST", path, json={"migrate": {"host": target}}).status_code == 202

    assert until(show, "VERIFY_RESIZE")[HOST] == target


def test_a_deleted_server_in_between_leaves_nothing(
    cloud: Cloud, call: Call, act: Act, server, show
):
    before, source = claimed(call), show()[HOST]
    assert act({"resize": {"flavorRef": BIGGER}}).status_code == 202
    until(show, "VERIFY_RESIZE")

    assert call("DELETE", f"/servers/{server}").status_code == 204

    wait_until(lambda: call("GET", f"/servers/{server}").status_code == 404, "it is gone")
    assert leftovers(cloud, server) == []
    assert claimed(call)[source][0] == before[source][0] - 1


def live(call: Call, server: str, **more: Any) -> Any:
    body = {"block_migration": "auto", "host": None, **more}
    return call("POST", f"/servers/{server}/action", json={"os-migrateLive": body})


def test_a_running_server_moves(cloud: Cloud, call: Call, server, show):
    before, source = claimed(call), show()[HOST]

    assert live(call, server).status_code == 202
    wait_until(lambda: show()[HOST] != source, "it has moved")

    assert leftovers(cloud, server) == [until(show, "ACTIVE")[HOST]]
    assert claimed(call)[source][0] == before[source][0] - 1
    assert [m["status"] for m in moves(call, server)] == ["completed"]


def test_a_live_migration_is_shown_and_given_up(cloud: Cloud, call: Call, server, show):
    before, source = claimed(call), show()[HOST]
    cloud.faults(delays_ms={"migrate_live": 20000})
    assert live(call, server).status_code == 202
    wait_until(lambda: running(call, server) is not None, "it is under way")

    path = f"/servers/{server}/migrations/{running(call, server)}"
    shown = call("GET", path).json()["migration"]
    assert (shown["status"], shown["source_compute"]) == ("running", source)
    assert 0 < shown["memory_remaining_bytes"] < shown["memory_total_bytes"]
    assert call("DELETE", path).status_code == 202

    assert until(show, "ACTIVE")[HOST] == source
    assert claimed(call) == before
    assert [m["status"] for m in moves(call, server)] == ["cancelled"]
    assert call("DELETE", path).status_code == 409


def test_a_live_migration_is_hurried(cloud: Cloud, call: Call, server, show):
    source = show()[HOST]
    cloud.faults(delays_ms={"migrate_live": 20000})
    assert live(call, server).status_code == 202
    wait_until(lambda: running(call, server) is not None, "it is under way")

    path = f"/servers/{server}/migrations/{running(call, server)}/action"
    assert call("POST", path, json={"force_complete": None}).status_code == 202

    wait_until(lambda: show()[HOST] != source, "it has moved")


def running(call: Call, server: str) -> int | None:
    found = call("GET", f"/servers/{server}/migrations").json()["migrations"]
    return next((each["id"] for each in found if each["status"] == "running"), None)


def test_a_host_that_is_up_is_not_evacuated(call: Call, server):
    answer = call("POST", f"/servers/{server}/action", json={"evacuate": {}})

    assert answer.status_code == 400
    assert "still in use" in answer.text


def test_a_server_of_a_dead_host_is_built_elsewhere(cloud: Cloud, call: Call, server, show):
    source = show()[HOST]
    service = next(
        each["id"] for each in call("GET", "/os-services?binary=nova-compute").json()["services"]
        if each["host"] == source
    )  # fmt: skip
    assert call("PUT", f"/os-services/{service}", json={"forced_down": True}).status_code == 200
    try:
        answer = call("POST", f"/servers/{server}/action", json={"evacuate": {}})
        assert (answer.status_code, answer.content) == (200, b"")
        wait_until(lambda: show()[HOST] != source, "it was built elsewhere")
        until(show, "SHUTOFF")
    finally:
        call("PUT", f"/os-services/{service}", json={"forced_down": False})

    wait_until(lambda: len(leftovers(cloud, server)) == 1, "the old host cleaned up", timeout_s=60)
    wait_until(
        lambda: [m["status"] for m in moves(call, server)] == ["completed"],
        "the migration is completed", timeout_s=60,
    )  # fmt: skip
