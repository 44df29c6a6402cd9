# SPDX-License-Identifier: Apache-2.0
"""Shares of servers through real HTTP, on fake hosts, with a real share service."""

from collections.abc import Callable, Iterator
from typing import Any

import openstack.exceptions
import pytest

from tests.functional.api.conftest import Call
from tests.functional.api.servers import *  # noqa: F403
from tests.functional.api.servers import Act, until
from tests.functional.cloud import Cloud
from tests.functional.rabbitmq import wait_until

_NOWHERE = "e8debdc0-447a-4376-a10a-4cd9122d7986"


@pytest.fixture
def service(cloud: Cloud) -> Any:
    """The share service as the owner uses it."""
    return cloud.connect().shared_file_system


@pytest.fixture
def share(service: Any) -> Iterator[str]:
    """A share of the owner's that nobody has; gone after the test."""
    made = service.create_share(share_protocol="NFS", size=1, name="s")
    wait_until(lambda: service.get_share(made.id).status == "available", "the share is there")
    yield made.id
    wait_until(lambda: not list(service.resource_locks(resource_id=made.id)), "nobody has it")
    service.delete_share(made.id)


@pytest.fixture
def off(act: Act, show: Callable[[], dict[str, Any]], server: str) -> str:
    """The server, which is off."""
    act({"os-stop": None})
    until(show, "SHUTOFF")
    return server


def status(call: Call, server: str) -> list[str]:
    return [each["status"] for each in call("GET", f"/servers/{server}/shares").json()["shares"]]


def attach(call: Call, server: str, share: str, **more: str) -> dict[str, Any]:
    answer = call("POST", f"/servers/{server}/shares", json={"share": {"share_id": share, **more}})
    assert answer.status_code == 201, answer.text
    wait_until(lambda: status(call, server) == ["inactive"], "the server has the share")
    found: dict[str, Any] = answer.json()["share"]
    return found


def detach(call: Call, server: str, share: str) -> None:
    answer = call("DELETE", f"/servers/{server}/shares/{share}")
    assert answer.status_code == 200, answer.text
    wait_until(lambda: status(call, server) == [], "the server has no share")


def events(call: Call, server: str, action: str) -> list[dict[str, Any]]:
    path = f"/servers/{server}/os-instance-actions"
    actions = call("GET", path).json()["instanceActions"]
    [request] = [each["request_id"] for each in actions if each["action"] == action]
    found: list[dict[str, Any]] = call("GET", f"{path}/{request}").json()["instanceAction"][
        "events"
    ]
    return found


def test_a_share_is_attached_used_and_detached(cloud, call, act, show, off, service, share):
    made = attach(call, off, share, tag="data")

    assert made["status"] == "attaching"
    assert made["tag"] == "data"
    assert made["export_location"] == next(service.export_locations(share)).path
    assert [has for (_, of), has in cloud.guests_shares().items() if of == off] == [{share}]
    [rule] = cloud.connect("admin").shared_file_system.access_rules(service.get_share(share))
    assert (rule.access_type, rule.access_level, rule.state) == ("ip", "rw", "active")
    with pytest.raises(openstack.exceptions.ConflictException):
        service.delete_share(share)

    act({"os-start": None})
    until(show, "ACTIVE")
    assert status(call, off) == ["active"]
    refused = call("DELETE", f"/servers/{off}/shares/{share}")
    assert refused.status_code == 409
    act({"os-stop": None})
    until(show, "SHUTOFF")
    assert status(call, off) == ["inactive"]

    detach(call, off, share)
    assert [has for (_, of), has in cloud.guests_shares().items() if of == off] == [set()]
    wait_until(lambda: not list(service.access_rules(service.get_share(share))), "no rule is left")


def test_what_the_host_refuses_shows_in_the_share_and_the_action(cloud, call, off, share):
    cloud.faults(faults=["attach_share:1:HypervisorError"])

    answer = call("POST", f"/servers/{off}/shares", json={"share": {"share_id": share}})

    assert answer.status_code == 201
    wait_until(lambda: status(call, off) == ["error"], "it is in error")
    *_, event = events(call, off, "attach_share")
    assert (event["event"], event["result"]) == ("compute_attach_share", "Error")
    assert "by order of the configuration" in event["details"]

    cloud.faults()
    detach(call, off, share)


def test_a_server_with_a_share_stays_where_it_is(call, off, share):
    attach(call, off, share)

    for body in (
        {"migrate": None}, {"resize": {"flavorRef": "2"}}, {"shelve": None}, {"suspend": None},
        {"os-migrateLive": {"host": None, "block_migration": "auto"}}, {"evacuate": {}},
    ):  # fmt: skip
        answer = call("POST", f"/servers/{off}/action", json=body)
        assert answer.status_code == 409, answer.text
        assert "has shares" in answer.json()["conflictingRequest"]["message"]

    detach(call, off, share)


def test_a_server_that_ends_lets_go_of_its_share(call, off, service, share):
    attach(call, off, share)

    call("POST", f"/servers/{off}/action", json={"forceDelete": None})

    wait_until(lambda: not list(service.access_rules(service.get_share(share))), "no rule is left")


@pytest.mark.parametrize(
    ("method", "below", "body"),
    [
        ("POST", "", {"share": {"share_id": _NOWHERE}}),
        ("GET", f"/{_NOWHERE}", None),
        ("DELETE", f"/{_NOWHERE}", None),
    ],
)
def test_a_share_that_is_not_there_is_not_found(call, off, method, below, body):
    answer = call(method, f"/servers/{off}/shares{below}", json=body)

    assert answer.status_code == 404, answer.text
    message = answer.json()["itemNotFound"]["message"]
    assert message == f"Share {_NOWHERE} could not be found."


def test_the_shares_of_a_missing_server_are_not_found(call):
    answer = call("GET", f"/servers/{_NOWHERE}/shares")

    assert answer.status_code == 404
    assert _NOWHERE in answer.json()["itemNotFound"]["message"]
