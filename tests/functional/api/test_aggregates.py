# SPDX-License-Identifier: Apache-2.0
"""Host aggregates and the zones that they make, through real HTTP."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from tests.functional.cloud import Cloud
from tests.functional.rabbitmq import wait_until

Call = Callable[..., requests.Response]
Make = Callable[..., dict[str, Any]]


@pytest.fixture
def make(call: Call) -> Iterator[Make]:
    """Makes aggregates, and removes them with their hosts afterwards."""
    made: list[int] = []

    def create(**fields: Any) -> dict[str, Any]:
        body = {"name": f"a-{uuid.uuid4()}", **fields}
        answer = call("POST", "/os-aggregates", json={"aggregate": body})
        assert answer.status_code == 200, answer.text
        made.append(answer.json()["aggregate"]["id"])
        return dict(answer.json()["aggregate"])

    yield create
    for number in made:
        found = call("GET", f"/os-aggregates/{number}")
        if found.status_code == 404:
            continue
        for host in found.json()["aggregate"]["hosts"]:
            act(call, number, "remove_host", host=host)
        call("DELETE", f"/os-aggregates/{number}")


def act(call: Call, aggregate: int, name: str, **fields: Any) -> requests.Response:
    return call("POST", f"/os-aggregates/{aggregate}/action", json={name: fields})


@pytest.fixture
def host(call: Call) -> str:
    """A compute host that has no servers and no zone."""
    for each in call("GET", "/os-hypervisors/detail?with_servers=true").json()["hypervisors"]:
        if not each.get("servers"):
            return str(each["service"]["host"])
    raise AssertionError("every host has servers")


def test_a_host_gets_the_zone_of_its_aggregate_and_loses_it_again(call, make, host):
    zone = f"z-{uuid.uuid4()}"
    made = make(availability_zone=zone)
    assert made["availability_zone"] == zone

    shown = act(call, made["id"], "add_host", host=host).json()["aggregate"]
    zones = call("GET", "/os-availability-zone/detail").json()["availabilityZoneInfo"]
    gone = call("PUT", f"/os-aggregates/{made['id']}", json={
        "aggregate": {"availability_zone": None},
    }).json()["aggregate"]  # fmt: skip
    after = call("GET", "/os-availability-zone").json()["availabilityZoneInfo"]

    assert (shown["hosts"], shown["metadata"]) == ([host], {"availability_zone": zone})
    assert host in next(each for each in zones if each["zoneName"] == zone)["hosts"]
    assert (gone["availability_zone"], gone["metadata"]) == (None, {})
    assert zone not in [each["zoneName"] for each in after]


def test_a_host_is_in_one_zone_only(call, make, host):
    first = make(availability_zone=f"z-{uuid.uuid4()}")
    second = make(availability_zone=f"z-{uuid.uuid4()}")
    third = make()
    act(call, first["id"], "add_host", host=host)
    act(call, third["id"], "add_host", host=host)

    refused = act(call, second["id"], "add_host", host=host)
    renamed = act(call, third["id"], "set_metadata", metadata={"availability_zone": "other"})

    assert refused.status_code == 409
    assert first["availability_zone"] in refused.json()["conflictingRequest"]["message"]
    assert renamed.status_code == 400
    assert call("GET", f"/os-aggregates/{second['id']}").json()["aggregate"]["hosts"] == []


def test_what_cannot_be_done_to_an_aggregate_has_its_own_code(call, make, host):
    made, other = make(), make()
    act(call, made["id"], "add_host", host=host)

    codes = {
        "twice": act(call, made["id"], "add_host", host=host).status_code,
        "not in it": act(call, other["id"], "remove_host", host=host).status_code,
        "no such host": act(call, made["id"], "add_host", host="nowhere").status_code,
        "has hosts": call("DELETE", f"/os-aggregates/{made['id']}").status_code,
        "no such aggregate": call("GET", "/os-aggregates/999999").status_code,
        "a negative one": call("GET", "/os-aggregates/-1").status_code,
        "no number": call("GET", "/os-aggregates/one").status_code,
        "name": call("POST", "/os-aggregates", json={"aggregate": {"name": made["name"]}})
        .status_code,
        "renamed": call("PUT", f"/os-aggregates/{other['id']}", json={
            "aggregate": {"name": made["name"]},
        }).status_code,
    }  # fmt: skip

    assert codes == {
        "twice": 409, "not in it": 404, "no such host": 404, "has hosts": 400,
        "no such aggregate": 404, "a negative one": 404, "no number": 400, "name": 409,
        "renamed": 409,
    }  # fmt: skip


@pytest.fixture
def images(cloud: Cloud) -> Callable[[], set[str]]:
    """What the fake hosts have cached ahead, as `host.image`."""
    folder = cloud.folder / "state" / "images"
    return lambda: {file.name for file in folder.iterdir()} if folder.exists() else set()


def test_images_are_cached_by_the_hosts_of_an_aggregate_that_are_up(
    call, cloud, make, host, images, away
):
    made, image = make(), next(iter(cloud.connect().image.images())).id
    for each in (host, away):
        act(call, made["id"], "add_host", host=each)
    cache = [{"id": str(uuid.uuid4())}, {"id": image}]  # the first one is nowhere

    answer = call("POST", f"/os-aggregates/{made['id']}/images", json={"cache": cache})

    assert (answer.status_code, answer.content) == (202, b"")
    wait_until(lambda: f"{host}.{image}" in images(), "the image is cached")
    assert images() == {f"{host}.{image}"}


@pytest.fixture
def away(call: Call, host: str) -> Iterator[str]:
    """Another host than `host`, which is down."""
    other = next(each for each in ("fake1", "fake2", "fake3") if each != host)
    shown = call("GET", f"/os-services?host={other}&binary=nova-compute").json()["services"]
    path = f"/os-services/{shown[0]['id']}"
    call("PUT", path, json={"forced_down": True})
    yield other
    call("PUT", path, json={"forced_down": False})


def test_what_cannot_be_asked_of_image_caches_is_refused(call, make):
    made, image = make(), str(uuid.uuid4())

    def ask(aggregate: Any, *images: str, version: str = "2.81") -> requests.Response:
        body = {"cache": [{"id": each} for each in images]}
        return call("POST", f"/os-aggregates/{aggregate}/images", json=body, version=version)

    twice = ask(made["id"], image, image)

    assert twice.status_code == 400
    assert image in twice.json()["badRequest"]["message"]
    assert ask(made["id"]).status_code == 400
    assert ask(made["id"], "no-uuid").status_code == 400
    assert ask(999999, image).status_code == 404
    assert ask(made["id"], image, version="2.80").status_code == 404


def test_metadata_items_are_set_and_removed_by_null(call, make):
    made = make()
    act(call, made["id"], "set_metadata", metadata={"a": "1", "b": "2"})

    after = act(call, made["id"], "set_metadata", metadata={"a": None, "c": "3"})

    assert after.json()["aggregate"]["metadata"] == {"b": "2", "c": "3"}
