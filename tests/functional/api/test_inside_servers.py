# SPDX-License-Identifier: Apache-2.0
"""What is inside servers, through real HTTP."""

import pytest
from sqlalchemy import create_engine, text

from tests.functional.rabbitmq import wait_until

HOST = "OS-EXT-SRV-ATTR:host"


@pytest.fixture(scope="module")
def server(cloud):
    demo = cloud.connect("demo")
    image = next(each for each in demo.image.images() if each.name == "guest")
    made = demo.compute.create_server(
        name="looked-into", flavor_id="1", image_id=image.id, networks="none"
    )
    yield demo.compute.wait_for_server(made, interval=0.1).id
    demo.compute.delete_server(made)
    demo.compute.wait_for_delete(made, interval=0.1)


def test_counters_come_from_the_host_in_the_form_of_the_microversion(call, server):
    new = call("GET", f"/servers/{server}/diagnostics").json()
    old = call("GET", f"/servers/{server}/diagnostics", version="2.47").json()

    assert (new["state"], new["num_cpus"], new["num_disks"]) == ("running", 1, 1)
    assert new["uptime"] >= 0
    assert old["vda_read"] == new["disk_details"][0]["read_bytes"]
    assert "cpu0_time" in old


def test_before_its_guest_is_there_a_server_has_no_console_and_no_host_is_named(cloud, call):
    demo = cloud.connect("demo")
    image = next(each for each in demo.image.images() if each.name == "guest")
    cloud.faults(delays_ms={"build": 60_000})
    made = demo.compute.create_server(
        name="slow", flavor_id="1", image_id=image.id, networks="none"
    )
    try:
        wait_until(
            lambda: call("GET", f"/servers/{made.id}").json()["server"][HOST], "it is placed"
        )
        answer = demo.compute.post(
            f"/servers/{made.id}/action", json={"os-getConsoleOutput": {}}, raise_exc=False
        )
    finally:
        demo.compute.delete_server(made)
        demo.compute.wait_for_delete(made, interval=0.1)
        cloud.faults()

    assert answer.status_code == 404
    assert answer.json()["itemNotFound"]["message"] == (
        f"Instance {made.id} has no guest on its host."
    )


def test_a_server_without_numa_nodes_has_none_in_its_topology(call, server):
    assert call("GET", f"/servers/{server}/topology").json() == {"nodes": [], "pagesize_kb": None}
    assert call("GET", f"/servers/{server}/topology", version="2.77").status_code == 404


def test_the_topology_is_what_the_flavor_asks_for(cloud, call):
    admin, demo = cloud.connect("admin"), cloud.connect("demo")
    flavor = admin.compute.create_flavor(name="numa", vcpus=4, ram=128, disk=1)
    specs = {"hw:numa_nodes": "2", "hw:cpu_threads": "2", "hw:mem_page_size": "large"}
    admin.compute.create_flavor_extra_specs(flavor, specs)
    image = next(each for each in demo.image.images() if each.name == "guest")
    made = demo.compute.create_server(
        name="numa", flavor_id=flavor.id, image_id=image.id, networks="none"
    )
    demo.compute.wait_for_server(made, interval=0.1)

    path = f"/servers/{made.id}/topology"
    shown = call("GET", path, headers={"X-Auth-Token": demo.auth_token}).json()
    shown_to_admin = call("GET", path).json()

    demo.compute.delete_server(made)
    demo.compute.wait_for_delete(made, interval=0.1)
    admin.compute.delete_flavor(flavor)
    assert shown == {
        "pagesize_kb": 2048,
        "nodes": [
            {"memory_mb": 64, "vcpu_set": [0, 1], "siblings": [[0, 1]]},
            {"memory_mb": 64, "vcpu_set": [2, 3], "siblings": [[2, 3]]},
        ],
    }
    # a fake host binds its guests to no CPU
    nodes = [node | {"cpu_pinning": {}} for node in shown["nodes"]]
    assert shown_to_admin == shown | {"nodes": nodes}


def test_the_password_that_a_guest_posted_is_shown_until_it_is_cleared(call, cloud, server):
    path = f"/servers/{server}/os-server-password"
    before = call("GET", path).json()
    engine = create_engine(cloud.database_url)
    with engine.begin() as conn:  # what the metadata service does for a guest's POST
        posted = text("UPDATE instances SET guest_password = 'c2VjcmV0' WHERE uuid = :uuid")
        conn.execute(posted, {"uuid": server})
    engine.dispose()

    shown = call("GET", path).json()
    cleared = call("DELETE", path)

    assert (before, shown) == ({"password": ""}, {"password": "c2VjcmV0"})
    assert cleared.status_code == 204
    assert call("GET", path).json() == {"password": ""}
