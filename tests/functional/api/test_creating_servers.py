# SPDX-License-Identifier: Apache-2.0
"""Every option of POST /servers, as the server shows it afterwards, and what is refused."""

import base64
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from tests.functional.api.conftest import Call
from tests.functional.cloud import Cloud, wait_for_status
from tests.functional.rabbitmq import wait_until

HOST, NODE = "OS-EXT-SRV-ATTR:host", "OS-EXT-SRV-ATTR:hypervisor_hostname"
NO_ID = "99999999-9999-4999-8999-999999999999"
Post = Callable[..., requests.Response]


@pytest.fixture(scope="module")
def image(cloud: Cloud) -> str:
    return str(next(each for each in cloud.connect().image.images() if each.name == "guest").id)


@pytest.fixture
def post(cloud: Cloud, call: Call, image: str) -> Iterator[Post]:
    """Asks for servers as the administrator, or as a `member`; they are gone afterwards."""
    session, made = requests.Session(), []
    session.headers["X-Auth-Token"] = cloud.connect().auth_token

    def send(
        *, version: str = "2.104", member: bool = False, hints: Any = None, **fields: Any
    ) -> requests.Response:
        plain = {"name": f"c-{uuid.uuid4().hex[:8]}", "imageRef": image, "flavorRef": "1"}
        if version != "2.1":
            plain["networks"] = "none"
        body: dict[str, Any] = {"server": plain | fields}
        if hints is not None:
            body["os:scheduler_hints"] = hints
        if not member:
            answer = call("POST", "/servers", json=body, version=version)
        else:
            answer = session.post(
                f"{cloud.compute_url}/v2.1/servers", json=body, timeout=30,
                headers={"OpenStack-API-Version": f"compute {version}"},
            )  # fmt: skip
        made.append(answer)
        return answer

    yield send
    uuids = [each.json()["server"]["id"] for each in made if "server" in each.json()]
    for server in uuids:
        call("DELETE", f"/servers/{server}")
    for server in uuids:
        wait_until(
            lambda server=server: call("GET", f"/servers/{server}").status_code == 404, "it is gone"
        )


@pytest.fixture
def built(cloud: Cloud, call: Call, post: Post) -> Callable[..., dict[str, Any]]:
    """A server as it is shown once it rests."""

    def create(**fields: Any) -> dict[str, Any]:
        answer = post(**fields)
        assert answer.status_code == 202, answer.text
        server = answer.json()["server"]["id"]
        wait_for_status(cloud.connect("admin"), server, "ACTIVE", "ERROR")
        return dict(call("GET", f"/servers/{server}").json()["server"])

    return create


def test_what_is_asked_of_a_server_is_shown_of_it(cloud, built):
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE2oUQ3Yg0zqKpj8mGQGkQ3yQ3bC6K0cJ0cS0m0mV0aB"
    admin = cloud.connect("admin").compute
    admin.create_keypair(name="asked", public_key=key)
    certificates = [str(uuid.uuid4()), str(uuid.uuid4())]
    wanted = {
        "name": "asked for", "description": "d", "tags": ["b", "a"], "metadata": {"k": "v"},
        "key_name": "asked", "config_drive": "true", "hostname": "web.example.org",
        "accessIPv4": "192.0.2.1", "accessIPv6": "2001:db8::1", "OS-DCF:diskConfig": "AUTO",
        "trusted_image_certificates": certificates, "availability_zone": "nova",
        "user_data": base64.b64encode(b"#!/bin/sh").decode(), "adminPass": "s3cret",
    }  # fmt: skip

    shown = built(**wanted)

    admin.delete_keypair("asked")
    assert shown["name"] == "asked for"
    assert shown["tags"] == ["a", "b"]
    assert shown["config_drive"] == "True"
    assert shown["OS-EXT-SRV-ATTR:hostname"] == "web.example.org"
    assert shown["OS-EXT-SRV-ATTR:user_data"] == wanted["user_data"]
    assert shown["OS-EXT-AZ:availability_zone"] == shown["pinned_availability_zone"] == "nova"
    for name in ("description", "metadata", "key_name", "accessIPv4", "accessIPv6",
                 "OS-DCF:diskConfig", "trusted_image_certificates"):  # fmt: skip
        assert shown[name] == wanted[name], name


def test_hints_are_kept_and_shown_as_they_were_given(built):
    hints = {"different_host": [NO_ID], "query": '["=", "$host", "fake1"]', "own": ["word"],
             "build_near_host_ip": "10.0.0.1", "cidr": "/8"}  # fmt: skip

    assert built(hints=hints)["scheduler_hints"] == hints


def test_many_servers_are_numbered_and_found_by_their_reservation(cloud, call, post):
    answer = post(name="many", min_count=2, max_count=3, return_reservation_id=True)

    assert list(answer.json()) == ["reservation_id"]
    assert "Location" not in answer.headers
    path = f"/servers?reservation_id={answer.json()['reservation_id']}&sort_key=display_name"
    shown = call("GET", f"{path}&sort_dir=asc").json()["servers"]
    assert [each["name"] for each in shown] == ["many-1", "many-2", "many-3"]
    for each in shown:
        wait_for_status(cloud.connect("admin"), each["id"], "ACTIVE")
        call("DELETE", f"/servers/{each['id']}")


def test_one_server_says_where_it_is(cloud, post):
    answer = post(version="2.37")

    server = answer.json()["server"]
    assert answer.headers["Location"] == f"{cloud.compute_url}/v2.1/servers/{server['id']}"
    assert server["adminPass"]


@pytest.mark.parametrize(
    "fields",
    [
        {"availability_zone": "nova:fake2"}, {"availability_zone": "nova:fake2:fake2"},
        {"availability_zone": "nova::fake2"}, {"availability_zone": ":fake2"},
        {"host": "fake2"}, {"hypervisor_hostname": "fake2"},
        {"host": "fake2", "hypervisor_hostname": "fake2", "availability_zone": "nova"},
    ],
)  # fmt: skip
def test_a_host_or_node_that_is_named_is_used(built, fields):
    shown = built(**fields)

    assert (shown["status"], shown[HOST], shown[NODE]) == ("ACTIVE", "fake2", "fake2")


@pytest.fixture
def disabled(call: Call) -> Iterator[str]:
    """A host that the scheduler chooses for nothing."""
    path = next(
        f"/os-services/{each['id']}"
        for each in call("GET", "/os-services?binary=nova-compute").json()["services"]
        if each["host"] == "fake3"
    )
    call("PUT", path, json={"status": "disabled"})
    yield "fake3"
    call("PUT", path, json={"status": "enabled"})


def test_a_host_in_the_zones_place_is_forced_and_one_of_its_own_is_not(built, disabled):
    forced = built(availability_zone=f"nova:{disabled}")
    asked = built(host=disabled)
    elsewhere = built(availability_zone="nova:nowhere")

    assert (forced["status"], forced[HOST]) == ("ACTIVE", disabled)
    assert asked["status"] == elsewhere["status"] == "ERROR"
    assert "1 disabled" in asked["fault"]["message"]
    assert "not the requested host" in elsewhere["fault"]["message"]


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"host": "nowhere"}, 400, "nowhere"), ({"hypervisor_hostname": "nowhere"}, 400, "nowhere"),
        ({"host": "fake1", "hypervisor_hostname": "fake2"}, 400, "could not be found"),
        ({"host": "fake1", "availability_zone": "nova:fake1"}, 400, "availability_zone"),
        ({"availability_zone": "nowhere"}, 400, "availability zone is not available"),
        ({"availability_zone": "nowhere", "host": "fake1"}, 400, "zone is not available"),
        ({"availability_zone": "a:b:c:d"}, 400, "availability_zone"),
        ({"flavorRef": "none"}, 400, "none"), ({"imageRef": NO_ID}, 400, NO_ID),
        ({"key_name": "none"}, 400, "key_name"), ({"networks": [{"uuid": NO_ID}]}, 400, NO_ID),
        ({"networks": [{"port": NO_ID}]}, 400, NO_ID),
        ({"security_groups": [{"name": "none"}], "networks": "auto"}, 400, "none"),
        ({"min_count": 3, "max_count": 2}, 400, "min_count"),
        ({"min_count": 2, "hostname": "one"}, 400, "hostname"),
        ({"user_data": "nonsense!"}, 400, "base 64"), ({"hostname": "a b"}, 400, "hostname"),
        ({"user_data": "A" * 65536}, 400, "is too long"),
        ({"tags": ["a/b"]}, 400, "a/b"), ({"tags": [str(n) for n in range(51)]}, 400, "tags"),
        ({"trusted_image_certificates": []}, 400, "trusted"), ({"metadata": {"": "x"}}, 400, ""),
        ({"personality": []}, 400, "personality"), ({"hints": {"group": NO_ID}}, 400, NO_ID),
    ],
)  # fmt: skip
def test_what_cannot_be_made_is_refused_with_its_reason(post, fields, status, words):
    answer = post(**fields)

    assert answer.status_code == status, answer.text
    assert words in answer.text


def test_a_server_that_no_hosts_disk_has_room_for_says_so(cloud, built):
    cloud.faults(faults=["build:1:DiskFull"])
    try:
        shown = built()
    finally:
        cloud.faults()

    assert shown["status"] == "ERROR"
    assert "build fails here" in shown["fault"]["message"]
    assert shown["id"] not in {instance for _, instance in cloud.guests()}


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"availability_zone": "nova:fake1"}, "os_compute_api:servers:create:forced_host"),
        ({"host": "fake1"}, "compute:servers:create:requested_destination"),
    ],
)
def test_members_choose_no_host(post, fields, rule):
    refused = post(member=True, **fields)

    assert refused.status_code == 403
    assert rule in refused.json()["forbidden"]["message"]


@pytest.mark.parametrize(
    ("field", "value", "since"),
    [
        ("description", "d", 19), ("tags", ["t"], 52), ("trusted_image_certificates", ["c"], 63),
        ("host", "fake1", 74), ("hypervisor_hostname", "fake1", 74), ("hostname", "abc", 90),
        ("hostname", "abc.example.org", 94), ("networks", "none", 37),
    ],
)  # fmt: skip
def test_options_are_there_from_their_microversion_on(post, field, value, since):
    before = {} if field == "networks" or since > 37 else {"networks": []}

    refused = post(version=f"2.{since - 1}", **before | {field: value})
    accepted = post(version=f"2.{since}", **before | {field: value})

    assert refused.status_code == 400, refused.text
    assert accepted.status_code == 202, accepted.text


def test_a_flavor_without_disk_is_for_those_whom_policy_lets(cloud, built, post):
    admin = cloud.connect("admin").compute
    flavor = admin.create_flavor(name="diskless", ram=64, vcpus=1, disk=0)

    refused = post(member=True, flavorRef=flavor.id)
    shown = built(flavorRef=flavor.id)

    admin.delete_flavor(flavor)
    assert refused.status_code == 403
    assert refused.json()["forbidden"]["message"] == (
        "Only volume-backed servers are allowed for flavors with zero disk."
    )
    assert shown["status"] == "ACTIVE"


def test_what_no_host_can_give_is_refused_before_anything_is_made(cloud: Cloud, call: Call, post):
    images = cloud.connect().image
    odd = images.create_image(
        name="odd", data=b"x", disk_format="raw", container_format="bare", wait=True,
        validate_checksum=False, hw_disk_bus="drum",
    )  # fmt: skip
    flavor = {"name": "split", "id": "split", "ram": 64, "vcpus": 1, "disk": 1}
    assert call("POST", "/flavors", json={"flavor": flavor}).status_code == 200
    specs = {"extra_specs": {"hw:numa_nodes": "3"}}
    assert call("POST", "/flavors/split/os-extra_specs", json=specs).status_code == 200
    server = post(member=True).json()["server"]["id"]
    wait_for_status(cloud.connect(), server, "ACTIVE")
    path = f"/servers/{server}/action"
    try:
        by_image = post(member=True, imageRef=odd.id)
        by_flavor = post(member=True, flavorRef="split")
        rebuilt = call("POST", path, json={"rebuild": {"imageRef": odd.id}})
        resized = call("POST", path, json={"resize": {"flavorRef": "split"}})
    finally:
        call("DELETE", "/flavors/split")
        images.delete_image(odd)

    for refused, word in (
        (by_image, "hw_disk_bus=drum"), (by_flavor, "do not split evenly into 3 nodes"),
        (rebuilt, "hw_disk_bus=drum"), (resized, "do not split evenly into 3 nodes"),
    ):  # fmt: skip
        assert refused.status_code == 400, refused.text
        assert word in refused.json()["badRequest"]["message"]
