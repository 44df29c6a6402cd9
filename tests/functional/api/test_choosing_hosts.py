# SPDX-License-Identifier: Apache-2.0
"""Where servers go by hints, flavors and aggregates, in a cloud with every filter enabled."""

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from tests.functional.cloud import Cloud, wait_for_status

FILTERS = (
    "ComputeFilter", "AvailabilityZoneFilter", "CapacityFilter", "ComputeCapabilitiesFilter",
    "ImagePropertiesFilter", "RequestedHostFilter", "ServerGroupAntiAffinityFilter",
    "ServerGroupAffinityFilter", "DifferentHostFilter", "SameHostFilter",
    "SimpleCIDRAffinityFilter", "JsonFilter", "AggregateInstanceExtraSpecsFilter",
    "AggregateImagePropertiesIsolation", "AggregateMultiTenancyIsolation",
    "AggregateTypeAffinityFilter", "NumInstancesFilter", "IoOpsFilter",
    "AggregateNumInstancesFilter", "AggregateIoOpsFilter", "IsolatedHostsFilter",
)  # fmt: skip


@pytest.fixture(scope="module")
def picky(make_cloud: Callable[..., Cloud]) -> Iterator[Cloud]:
    options = f"""
        [scheduler]
        enabled_filters = {",".join(FILTERS)}
        max_io_ops_per_host = 50
        soft_affinity_weight_multiplier = 100
        soft_anti_affinity_weight_multiplier = 100
        [compute]
        traits = CUSTOM_LOCAL
    """
    made = make_cloud(options=options)
    try:
        made.start()
        made.seed()
        yield made
    finally:
        made.remove()


@pytest.fixture
def boot(picky: Cloud) -> Iterator[Callable[..., Any]]:
    """Boots a server of the demo project with these hints; it, once it rests."""
    demo, admin = picky.connect(), picky.connect("admin")
    image = next(iter(demo.image.images())).id
    made = []

    def create(flavor: str = "1", **hints: Any) -> Any:
        server = demo.compute.create_server(
            name="s", flavor_id=flavor, image_id=image, networks="none", scheduler_hints=hints
        )
        made.append(server)
        return wait_for_status(admin, server.id, "ACTIVE", "ERROR")

    yield create
    for each in made:
        demo.compute.delete_server(each)
    for each in made:
        demo.compute.wait_for_delete(each, interval=0.1)


@pytest.fixture
def ask(picky: Cloud) -> Callable[..., requests.Response]:
    session = requests.Session()
    session.headers["X-Auth-Token"] = picky.connect("admin").auth_token
    session.headers["OpenStack-API-Version"] = "compute 2.104"

    def send(method: str, path: str, body: Any = None) -> requests.Response:
        answer = session.request(method, f"{picky.compute_url}/v2.1{path}", json=body, timeout=30)
        assert answer.status_code < 300, answer.text
        return answer

    return send


@pytest.fixture
def aggregate(ask) -> Iterator[Callable[..., None]]:
    """Makes an aggregate of one host with metadata; gone after the test."""
    made = []

    def create(host: str, **metadata: str) -> None:
        body = {"aggregate": {"name": f"a-{uuid.uuid4()}"}}
        number = ask("POST", "/os-aggregates", body).json()["aggregate"]["id"]
        path = f"/os-aggregates/{number}"
        ask("POST", f"{path}/action", {"add_host": {"host": host}})
        ask("POST", f"{path}/action", {"set_metadata": {"metadata": metadata}})
        made.append((path, host))

    yield create
    for path, host in made:
        ask("POST", f"{path}/action", {"remove_host": {"host": host}})
        ask("DELETE", path)


@pytest.fixture
def flavor(ask) -> Callable[..., str]:
    """Makes a flavor with these extra specs; its id."""

    def create(**specs: str) -> str:
        body = {"name": f"f-{uuid.uuid4()}", "ram": 64, "vcpus": 1, "disk": 1}
        made = ask("POST", "/flavors", {"flavor": body}).json()["flavor"]["id"]
        ask("POST", f"/flavors/{made}/os-extra_specs", {"extra_specs": specs})
        return str(made)

    return create


def test_hints_that_name_servers_hold_without_a_word_of_the_operator(cloud, call):
    """In a cloud with the filters that are there by default."""
    demo = cloud.connect()
    image = next(iter(demo.image.images())).id
    made = []

    def boot(**hints: Any) -> str:
        made.append(demo.compute.create_server(
            name="s", flavor_id="1", image_id=image, networks="none", scheduler_hints=hints
        ))  # fmt: skip
        wait_for_status(demo, made[-1].id, "ACTIVE")
        shown = call("GET", f"/servers/{made[-1].id}").json()["server"]
        return str(shown["OS-EXT-SRV-ATTR:host"])

    hosts = [boot()]
    for _ in range(3):
        hosts += [boot(same_host=made[0].id), boot(different_host=[made[0].id])]
    for each in made:
        demo.compute.delete_server(each)
        demo.compute.wait_for_delete(each, interval=0.1)

    assert set(hosts[1::2]) == {hosts[0]}
    assert hosts[0] not in hosts[2::2]


def why(server: Any) -> str:
    return str(server.fault["message"])


def test_what_a_flavor_requires_holds_without_a_word_of_the_operator(boot, flavor):
    def ends(**specs: str) -> Any:
        return boot(flavor(**specs))

    assert ends(**{"trait:COMPUTE_STORAGE_VIRTIO_FS": "required"}).status == "ACTIVE"
    assert ends(**{"trait:CUSTOM_LOCAL": "required"}).status == "ACTIVE"  # as operators say
    refused = ends(**{"trait:COMPUTE_STORAGE_VIRTIO_FS": "forbidden"})
    assert "3 with the trait COMPUTE_STORAGE_VIRTIO_FS" in why(refused)
    assert "3 without the trait CUSTOM_SSD" in why(ends(**{"trait:CUSTOM_SSD": "required"}))


def test_servers_are_apart_from_or_together_with_those_that_they_name(boot):
    first = boot()

    second = boot(different_host=[first.id])
    third = boot(different_host=[first.id, second.id])
    fourth = boot(same_host=first.id)
    none_left = boot(different_host=[first.id, second.id, third.id])

    assert len({each.compute_host for each in (first, second, third)}) == 3
    assert fourth.compute_host == first.compute_host
    assert none_left.status == "ERROR"
    assert "3 used by instances that it is to be apart from" in why(none_left)


def test_nobody_learns_by_a_hint_where_the_servers_of_others_are(picky, boot):
    admin = picky.connect("admin")
    image = next(iter(admin.image.images())).id
    others = admin.compute.create_server(
        name="others", flavor_id="1", image_id=image, networks="none"
    )
    wait_for_status(admin, others.id, "ACTIVE")

    refused = boot(same_host=others.id)

    assert refused.status == "ERROR"
    assert "3 without the instances that it is to be with" in why(refused)
    admin.compute.delete_server(others)


def test_a_query_chooses_and_says_when_it_cannot_be_understood(boot):
    chosen = boot(query=json.dumps(["=", "$host", "fake2"]))
    broken = boot(query="[>=")
    nowhere = boot(query=json.dumps([">", "$free_ram_mb", 10**9]))

    assert chosen.compute_host == "fake2"
    assert "the query cannot be understood: it is no JSON" in why(broken)
    assert "3 that the query is not true of" in why(nowhere)


def test_hosts_near_an_address_are_chosen(boot):
    assert boot(build_near_host_ip="127.0.0.9", cidr="/8").status == "ACTIVE"
    assert "not near the address" in why(boot(build_near_host_ip="10.0.0.1"))


def test_a_flavor_goes_to_aggregates_and_hosts_with_what_it_wants(boot, flavor, aggregate):
    aggregate("fake3", disk="ssd,nvme")

    chosen = boot(flavor(disk="<in> ssd"))
    nowhere = boot(flavor(**{"aggregate_instance_extra_specs:disk": "tape"}))
    by_host = boot(flavor(**{"capabilities:hypervisor_hostname": "fake1"}))

    assert chosen.compute_host == "fake3"
    assert "3 in no aggregate that the flavor wants (disk tape)" in why(nowhere)
    assert by_host.compute_host == "fake1"


def test_aggregates_keep_hosts_for_projects_and_bound_their_instances(picky, boot, aggregate):
    admin = picky.connect("admin").current_project_id
    aggregate("fake1", filter_tenant_id=admin)
    aggregate("fake2", instance_type="other")
    aggregate("fake3", max_instances_per_host="1")

    assert boot().compute_host == "fake3"
    refused = why(boot())

    assert "1 in an aggregate that is for other projects" in refused
    assert "1 in an aggregate that is for other flavors" in refused
    assert "1 with too many instances (1 or more)" in refused


def test_a_move_heeds_the_flavor_that_it_is_to_get(picky, ask, boot, flavor, aggregate):
    server = boot(different_host=[])
    target = next(each for each in ("fake1", "fake2") if each != server.compute_host)
    aggregate(target, speed="10")
    wanted = flavor(speed=">= 5")

    ask("POST", f"/servers/{server.id}/action", {"resize": {"flavorRef": wanted}})
    moved = wait_for_status(picky.connect("admin"), server.id, "VERIFY_RESIZE")

    assert moved.compute_host == target


@pytest.mark.parametrize(("policy", "hosts"), [("soft-affinity", 1), ("soft-anti-affinity", 3)])
def test_members_of_one_request_see_one_another(picky, ask, policy, hosts):
    admin = picky.connect("admin")
    group = ask("POST", "/os-server-groups", {"server_group": {"name": "g", "policy": policy}})
    hints = {"group": group.json()["server_group"]["id"]}
    body = {
        "name": "m", "flavorRef": "1", "imageRef": next(iter(admin.image.images())).id,
        "networks": "none", "min_count": 3, "return_reservation_id": True,
    }  # fmt: skip

    made = ask("POST", "/servers", {"server": body, "os:scheduler_hints": hints}).json()
    path = f"/servers?reservation_id={made['reservation_id']}"
    uuids = [each["id"] for each in ask("GET", path).json()["servers"]]
    servers = [wait_for_status(admin, each, "ACTIVE") for each in uuids]

    assert len({each.compute_host for each in servers}) == hosts
    for each in servers:
        admin.compute.delete_server(each)
    for each in servers:
        admin.compute.wait_for_delete(each, interval=0.1)
