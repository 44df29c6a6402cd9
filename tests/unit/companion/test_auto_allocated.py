# SPDX-License-Identifier: Apache-2.0
"""Networks that projects get without saying more."""

import pytest

from tests.unit.companion.test_networks import V2, create, error, network

TOPOLOGY = f"{V2}/auto-allocated-topology"


@pytest.fixture
def external(cloud):
    net, _ = network(cloud, "203.0.113.0/24", name="public", **{"router:external": True})
    return net


def allocated(cloud, project="null", user="demo"):
    answer = cloud.get(f"{TOPOLOGY}/{project}", user=user)
    assert answer.status_code == 200, answer.text
    return answer.json["auto_allocated_topology"]


def test_a_project_gets_one_network_that_is_routed_outside(cloud, external):
    first, again = allocated(cloud), allocated(cloud, cloud.project_id("demo"))

    assert first == again
    assert first["tenant_id"] == cloud.project_id("demo")
    net = cloud.get(f"{V2}/networks/{first['id']}", user="demo").json["network"]
    [subnet] = cloud.get(f"{V2}/subnets?network_id={net['id']}", user="demo").json["subnets"]
    [router] = cloud.get(f"{V2}/routers", user="demo").json["routers"]
    ports = cloud.get(f"{V2}/ports?network_id={net['id']}", user="demo").json["ports"]
    assert net["subnets"] == [subnet["id"]]
    assert router["external_gateway_info"]["network_id"] == external["id"]
    assert [port["device_id"] for port in ports] == [router["id"]]


def test_networks_of_two_projects_have_different_addresses(cloud, external):
    of_demo, of_admin = allocated(cloud), allocated(cloud, user="admin")

    subnets = cloud.get(f"{V2}/subnets").json["subnets"]
    ours = [s["cidr"] for s in subnets if s["network_id"] in (of_demo["id"], of_admin["id"])]
    assert len(set(ours)) == 2


def test_a_dry_run_says_whether_it_would_work_and_makes_nothing(cloud):
    dry = f"{TOPOLOGY}/null?fields=dry-run"
    refused = cloud.get(dry, user="demo")
    network(cloud, "203.0.113.0/24", **{"router:external": True})
    passed = cloud.get(dry, user="demo")

    assert error(refused) == (409, "AutoAllocationFailure")
    assert passed.json["auto_allocated_topology"]["id"] == "dry-run=pass"
    assert cloud.get(f"{V2}/routers", user="demo").json["routers"] == []


def test_without_a_default_outside_nothing_is_left_behind(cloud, external):
    network(cloud, "198.51.100.0/24", name="other", **{"router:external": True})
    own = f"{V2}/networks?project_id={cloud.project_id('demo')}"
    before = cloud.get(own, user="demo").json

    refused = cloud.get(f"{TOPOLOGY}/null", user="demo")

    assert error(refused) == (409, "AutoAllocationFailure")
    assert cloud.get(own, user="demo").json == before
    cloud.put(f"{V2}/networks/{external['id']}", {"network": {"is_default": True}})
    assert allocated(cloud)["id"]


def test_it_goes_again_unless_ports_are_on_it(cloud, external):
    net = allocated(cloud)
    port = create(cloud, "ports", "demo", network_id=net["id"])

    in_use = cloud.delete(f"{TOPOLOGY}/null", user="demo")
    still = allocated(cloud)
    cloud.delete(f"{V2}/ports/{port['id']}", user="demo")
    gone = cloud.delete(f"{TOPOLOGY}/null", user="demo")

    assert error(in_use) == (409, "NetworkInUse")
    assert still == net
    assert gone.status_code == 204
    assert cloud.get(f"{V2}/routers", user="demo").json["routers"] == []
    assert cloud.get(f"{V2}/networks/{net['id']}", user="demo").status_code == 404
    assert cloud.delete(f"{TOPOLOGY}/null", user="demo").status_code == 404


def test_projects_are_apart(cloud, external):
    other = cloud.project_id("admin")

    assert cloud.get(f"{TOPOLOGY}/{other}", user="demo").status_code == 404
    assert cloud.delete(f"{TOPOLOGY}/{other}", user="demo").status_code == 404


def test_who_only_reads_gets_no_network_made(cloud, external):
    cloud.new_user("looker", role="reader")

    assert cloud.get(f"{TOPOLOGY}/null", user="looker").status_code == 403
