# SPDX-License-Identifier: Apache-2.0
"""Server groups through real HTTP: who may be where, also when members come at the same time."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from tests.functional.cloud import Cloud

Call = Callable[..., requests.Response]


@pytest.fixture
def admin(cloud: Cloud) -> Any:
    return cloud.connect("admin")


@pytest.fixture
def make(call: Call) -> Iterator[Callable[..., dict[str, Any]]]:
    """Makes server groups, and deletes them afterwards."""
    made: list[str] = []

    def create(**fields: Any) -> dict[str, Any]:
        answer = call("POST", "/os-server-groups", json={"server_group": {"name": "g", **fields}})
        assert answer.status_code == 200, answer.text
        made.append(answer.json()["server_group"]["id"])
        return dict(answer.json()["server_group"])

    yield create
    for each in made:
        call("DELETE", f"/os-server-groups/{each}")


@pytest.fixture
def boot(call: Call, admin: Any) -> Iterator[Callable[..., list[dict[str, Any]]]]:
    """Boots servers of a group at once; all of them as they are at the end."""
    reservations: list[str] = []

    def mine(reservation: str) -> list[dict[str, Any]]:
        found = call("GET", f"/servers/detail?reservation_id={reservation}").json()
        return list(found["servers"])

    def servers(group: str, number: int) -> list[dict[str, Any]]:
        image = next(iter(admin.image.images()))
        body = {
            "name": "member", "flavorRef": "1", "imageRef": image.id, "networks": "none",
            "min_count": number, "max_count": number, "return_reservation_id": True,
        }  # fmt: skip
        hints = {"group": group}
        made = call("POST", "/servers", json={"server": body, "os:scheduler_hints": hints})
        assert made.status_code == 202, made.text
        reservations.append(made.json()["reservation_id"])
        for server in mine(reservations[-1]):
            known = admin.compute.get_server(server["id"])
            admin.compute.wait_for_server(known, wait=30, interval=0.1)
        return mine(reservations[-1])

    yield servers
    for reservation in reservations:
        for server in mine(reservation):
            known = admin.compute.get_server(server["id"])
            call("DELETE", f"/servers/{known.id}")
            admin.compute.wait_for_delete(known, wait=30, interval=0.1)


def hosts_of(servers: list[dict[str, Any]]) -> list[str]:
    return [server["OS-EXT-SRV-ATTR:host"] for server in servers]


def test_members_of_one_request_go_to_different_hosts(call, make, boot):
    group = make(policy="anti-affinity")

    servers = boot(group["id"], 2)

    assert len(set(hosts_of(servers))) == 2
    assert {server["scheduler_hints"]["group"] for server in servers} == {group["id"]}
    shown = call("GET", f"/os-server-groups/{group['id']}").json()["server_group"]
    assert shown["members"] == sorted(server["id"] for server in servers)
    one = call("GET", f"/servers/{servers[0]['id']}").json()["server"]
    assert one["server_groups"] == [group["id"]]


def test_members_of_one_request_stay_together(make, boot):
    servers = boot(make(policy="affinity")["id"], 3)

    assert len(set(hosts_of(servers))) == 1


def test_a_group_is_shown_as_each_microversion_has_it(call, make):
    group = make(policy="anti-affinity", rules={"max_server_per_host": 2})

    def at(version: str) -> dict[str, Any]:
        answer = call("GET", f"/os-server-groups/{group['id']}", version=version)
        return dict(answer.json()["server_group"])

    assert (group["policy"], group["rules"]) == ("anti-affinity", {"max_server_per_host": 2})
    assert at("2.63")["policies"] == ["anti-affinity"]
    assert "project_id" not in at("2.12")


def test_what_a_group_cannot_be_is_refused(call, make):
    rules = {"name": "g", "policy": "affinity", "rules": {"max_server_per_host": 2}}

    assert call("POST", "/os-server-groups", json={"server_group": rules}).status_code == 400
    assert call("GET", f"/os-server-groups/{uuid.uuid4()}").status_code == 404
    assert call("DELETE", f"/os-server-groups/{uuid.uuid4()}").status_code == 404
