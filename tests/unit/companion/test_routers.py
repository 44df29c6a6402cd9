# SPDX-License-Identifier: Apache-2.0
"""Routers and floating IPs, and who may make others believe things."""

import pytest

from tests.unit.companion.test_networks import V2, create, error, network


@pytest.fixture
def external(cloud):
    net, _ = network(cloud, "203.0.113.0/24", name="public", **{"router:external": True})
    return net


def test_a_router_joins_a_subnet_by_its_gateways_address(cloud, external):
    net, subnet = network(cloud, user="demo")
    gateway = {"network_id": external["id"]}
    router = create(cloud, "routers", "demo", name="r", external_gateway_info=gateway)
    path = f"{V2}/routers/{router['id']}"

    joined = cloud.put(f"{path}/add_router_interface", {"subnet_id": subnet["id"]}, user="demo")

    assert joined.json["subnet_id"] == subnet["id"]
    [port] = cloud.get(f"{V2}/ports?network_id={net['id']}", user="demo").json["ports"]
    assert (port["device_owner"], port["device_id"]) == ("network:router_interface", router["id"])
    assert port["fixed_ips"][0]["ip_address"] == "10.1.0.1"
    [ip] = router["external_gateway_info"]["external_fixed_ips"]
    assert ip["ip_address"].startswith("203.0.113.")
    again = cloud.put(f"{path}/add_router_interface", {"subnet_id": subnet["id"]}, user="demo")
    assert again.status_code == 409
    assert error(cloud.delete(path, user="demo")) == (409, "RouterInUse")
    left = cloud.put(f"{path}/remove_router_interface", {"subnet_id": subnet["id"]}, user="demo")
    assert left.status_code == 200
    assert cloud.delete(path, user="demo").status_code == 204
    assert cloud.get(f"{V2}/ports").json["ports"] == []


def test_a_router_joins_no_two_subnets_with_the_same_addresses(cloud):
    _, one = network(cloud, "10.1.0.0/16")
    _, other = network(cloud, "10.1.9.0/24")
    router = create(cloud, "routers")
    join = f"{V2}/routers/{router['id']}/add_router_interface"
    cloud.put(join, {"subnet_id": one["id"]})

    refused = cloud.put(join, {"subnet_id": other["id"]})

    assert error(refused) == (400, "BadRequest")
    assert f"overlaps with cidr 10.1.0.0/16 of subnet {one['id']}" in refused.text


@pytest.mark.parametrize("body", [{}, {"subnet_id": 5}, [], {"subnet_id": "a", "port_id": "b"}])
def test_joining_nothing_is_refused(cloud, body):
    router = create(cloud, "routers")

    answer = cloud.put(f"{V2}/routers/{router['id']}/add_router_interface", body)

    assert answer.status_code == 400


def test_only_an_external_network_is_a_gateway(cloud):
    net, _ = network(cloud)
    body = {"router": {"external_gateway_info": {"network_id": net["id"]}}}

    assert cloud.post(f"{V2}/routers", body).status_code == 400


def test_a_floating_ip_stands_for_a_port_and_is_freed_again(cloud, external):
    net, subnet = network(cloud, user="demo")
    port = create(cloud, "ports", "demo", network_id=net["id"])
    router = create(cloud, "routers", "demo")
    join = f"{V2}/routers/{router['id']}/add_router_interface"
    cloud.put(join, {"subnet_id": subnet["id"]}, user="demo")
    fip = create(cloud, "floatingips", "demo", floating_network_id=external["id"])
    path = f"{V2}/floatingips/{fip['id']}"

    used = cloud.put(path, {"floatingip": {"port_id": port["id"]}}, user="demo").json["floatingip"]
    fixed = port["fixed_ips"][0]["ip_address"]
    query = f"fixed_ip_address={fixed}&port_id={port['id']}"
    found = cloud.get(f"{V2}/floatingips?{query}").json["floatingips"]
    free = cloud.put(path, {"floatingip": {"port_id": None}}, user="demo").json["floatingip"]

    assert fip["status"] == free["status"] == "DOWN"
    assert (used["status"], used["fixed_ip_address"]) == ("ACTIVE", fixed)
    assert used["router_id"] == router["id"]
    assert [f["id"] for f in found] == [fip["id"]]
    assert free["fixed_ip_address"] is None
    assert cloud.delete(path, user="demo").status_code == 204
    assert cloud.get(f"{V2}/floatingips").json["floatingips"] == []


def test_a_floating_ip_outlives_its_port(cloud, external):
    net, _ = network(cloud)
    port = create(cloud, "ports", network_id=net["id"])
    fip = create(cloud, "floatingips", floating_network_id=external["id"], port_id=port["id"])

    cloud.delete(f"{V2}/ports/{port['id']}")

    shown = cloud.get(f"{V2}/floatingips/{fip['id']}").json["floatingip"]
    assert (shown["status"], shown["port_id"], shown["fixed_ip_address"]) == ("DOWN", None, None)


def test_a_floating_ip_for_a_strangers_port_is_refused(cloud, external):
    cloud.new_user("eve")
    net, _ = network(cloud, user="demo")
    port = create(cloud, "ports", "demo", network_id=net["id"])
    body = {"floating_network_id": external["id"], "port_id": port["id"]}

    answer = cloud.post(f"{V2}/floatingips", {"floatingip": body}, user="eve")

    assert error(answer) == (404, "PortNotFound")


@pytest.mark.parametrize("trust", [
    {"port_security_enabled": False}, {"mac_address": "fa:16:3e:00:00:01"},
    {"allowed_address_pairs": [{"ip_address": "0.0.0.0/0"}]},
    {"device_owner": "network:router_interface"},
])  # fmt: skip
def test_mere_users_of_a_network_cannot_deceive_the_others(cloud, trust):
    net, _ = network(cloud, shared=True)
    port = create(cloud, "ports", "demo", network_id=net["id"])

    new = cloud.post(f"{V2}/ports", {"port": {"network_id": net["id"], **trust}}, user="demo")
    old = cloud.put(f"{V2}/ports/{port['id']}", {"port": trust}, user="demo")

    assert (new.status_code, old.status_code) == (403, 403)


def test_nobody_takes_the_gateways_address_by_calling_a_guest_a_router(cloud):
    net, subnet = network(cloud, user="demo")
    gateway = {"subnet_id": subnet["id"], "ip_address": subnet["gateway_ip"]}
    body = {"network_id": net["id"], "device_owner": "network:router_x", "fixed_ips": [gateway]}

    assert cloud.post(f"{V2}/ports", {"port": body}, user="demo").status_code == 403
