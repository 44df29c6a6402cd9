# SPDX-License-Identifier: Apache-2.0
"""Servers that change their flavor or their host, through real HTTP on fake hosts."""

from collections.abc import Iterator
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
    return [
        f"{host} {name.removeprefix(server)}".strip()
        for (host, name), state in sorted(cloud.guests().items())
        if name.startswith(server) and state
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


def live(call: Call, server: str, *, version: str = "2.104", **more: Any) -> Any:
    body = {"block_migration": "auto", "host": None, **more}
    path = f"/servers/{server}/action"
    return call("POST", path, json={"os-migrateLive": body}, version=version)


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


def test_a_live_migration_is_given_up_while_its_host_gets_ready(
    cloud: Cloud, call: Call, server, show
):
    before, source = claimed(call), show()[HOST]
    cloud.faults(delays_ms={"prepare_live": 20000})
    assert live(call, server).status_code == 202
    wait_until(lambda: running(call, server, "preparing") is not None, "it is prepared")

    path = f"/servers/{server}/migrations/{running(call, server, 'preparing')}"
    assert call("DELETE", path, version="2.65").status_code == 202

    assert until(show, "ACTIVE")[HOST] == source
    assert leftovers(cloud, server) == [source]
    assert claimed(call) == before
    assert [m["status"] for m in moves(call, server)] == ["cancelled"]


def test_a_host_that_refuses_a_running_server_says_so_and_keeps_nothing(
    cloud: Cloud, call: Call, server, show
):
    source = show()[HOST]
    cloud.faults(faults=["prepare_live:1:Invalid"])
    assert live(call, server).status_code == 202
    wait_until(lambda: [m["status"] for m in moves(call, server)] == ["error"], "it is refused")

    assert until(show, "ACTIVE")[HOST] == source
    assert leftovers(cloud, server) == [source]
    actions = call("GET", f"/servers/{server}/os-instance-actions").json()["instanceActions"]
    assert actions[0]["message"].count("fails here by order") == 2  # each of the others was tried


def test_a_live_migration_is_hurried(cloud: Cloud, call: Call, server, show):
    source = show()[HOST]
    cloud.faults(delays_ms={"migrate_live": 20000})
    assert live(call, server).status_code == 202
    wait_until(lambda: running(call, server) is not None, "it is under way")

    path = f"/servers/{server}/migrations/{running(call, server)}/action"
    assert call("POST", path, json={"force_complete": None}).status_code == 202

    wait_until(lambda: show()[HOST] != source, "it has moved")


def running(call: Call, server: str, status: str = "running") -> int | None:
    found = call("GET", f"/servers/{server}/migrations").json()["migrations"]
    return next((each["id"] for each in found if each["status"] == status), None)


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


@pytest.fixture
def other(call: Call, show) -> Iterator[str]:
    """Another host than the server's, which no scheduler chooses: it is disabled."""
    source = show()[HOST]
    found = call("GET", "/os-services?binary=nova-compute").json()["services"]
    chosen = next(each for each in found if each["host"] != source)
    path = f"/os-services/{chosen['id']}"
    call("PUT", path, json={"status": "disabled"})
    yield chosen["host"]
    call("PUT", path, json={"status": "enabled"})


@pytest.mark.parametrize(
    ("version", "body", "status", "moves_there"),
    [
        ("2.29", {}, 202, True),  # every host that was named was heeded
        ("2.30", {"force": True}, 202, True),
        ("2.30", {"force": False}, 400, False),
        ("2.33", {}, 400, False),
        ("2.34", {}, 202, False),
        ("2.67", {"force": True}, 202, True),
        ("2.68", {"force": True}, 400, False),
        ("2.104", {}, 202, False),
    ],
)
def test_force_goes_past_the_scheduler_and_old_refusals_are_answers(
    call: Call, server, show, other, version, body, status, moves_there
):
    source = show()[HOST]

    answer = live(call, server, version=version, host=other, **body)

    assert answer.status_code == status, answer.text
    if moves_there:
        wait_until(lambda: show()[HOST] == other, "it has moved")
        until(show, "ACTIVE")
    elif status == 202:
        assert until(show, "ACTIVE")[HOST] == source
        assert [m["status"] for m in moves(call, server)] == ["error"]
        actions = call("GET", f"/servers/{server}/os-instance-actions").json()["instanceActions"]
        assert "1 disabled" in actions[0]["message"]
    else:
        assert moves(call, server) == []
        if "force" not in body or version != "2.68":
            assert "1 disabled" in answer.json()["badRequest"]["message"]


def test_force_wants_a_host(call: Call, server):
    answer = live(call, server, version="2.30", force=True)

    assert answer.status_code == 400
    assert "non-provided destination" in answer.text


@pytest.mark.parametrize(
    ("version", "body", "moves_there"),
    [("2.28", {}, True), ("2.29", {"force": True}, True), ("2.29", {}, False)],
)
def test_a_forced_evacuation_goes_to_a_host_that_the_scheduler_would_not_choose(
    call: Call, server, show, other, version, body, moves_there
):
    source = show()[HOST]
    found = call("GET", f"/os-services?binary=nova-compute&host={source}").json()["services"]
    path = f"/os-services/{found[0]['id']}"
    call("PUT", path, json={"forced_down": True})
    try:
        answer = call(
            "POST", f"/servers/{server}/action", json={"evacuate": {"host": other, **body}},
            version=version,
        )  # fmt: skip
        assert answer.status_code == 200, answer.text
        if moves_there:
            wait_until(lambda: show()[HOST] == other, "it was built there")
        assert until(show, "ACTIVE")[HOST] == (other if moves_there else source)
    finally:
        call("PUT", path, json={"forced_down": False})
