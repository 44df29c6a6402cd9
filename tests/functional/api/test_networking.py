# SPDX-License-Identifier: Apache-2.0
"""Servers and their networks through real HTTP: groups, addresses, interfaces, events."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from tests.functional.cloud import Cloud
from tests.functional.rabbitmq import wait_until

Ask = Callable[..., requests.Response]


@pytest.fixture
def demo(cloud: Cloud) -> Any:
    return cloud.connect()


@pytest.fixture
def server(demo: Any) -> Iterator[str]:
    """A server of the demo project on the network `private`."""
    image = next(iter(demo.image.images()))
    network = demo.network.find_network("private")
    made = demo.compute.create_server(
        name="s", flavor_id="1", image_id=image.id, networks=[{"uuid": network.id}]
    )
    demo.compute.wait_for_server(made, wait=30, interval=0.1)
    yield made.id
    demo.compute.delete_server(made.id)
    demo.compute.wait_for_delete(made, wait=30, interval=0.1)


@pytest.fixture
def ask(cloud: Cloud, demo: Any, server: str) -> Ask:
    """Sends a request below the server's URL, as its owner."""
    session = requests.Session()
    session.headers["X-Auth-Token"] = demo.auth_token

    def send(
        method: str, path: str, body: Any = None, *, version: str = "2.104"
    ) -> requests.Response:
        return session.request(
            method, f"{cloud.compute_url}/v2.1/servers/{server}{path}", json=body, timeout=60,
            headers={"OpenStack-API-Version": f"compute {version}"},
        )  # fmt: skip

    return send


def shown(ask: Ask) -> dict[str, Any]:
    found: dict[str, Any] = ask("GET", "").json()["server"]
    return found


def addresses(ask: Ask) -> set[tuple[str, str]]:
    """(kind, address) pairs that the server shows."""
    networks = shown(ask)["addresses"].values()
    return {(each["OS-EXT-IPS:type"], each["addr"]) for entries in networks for each in entries}


def test_a_server_on_a_network_without_port_security_is_in_no_group(demo, call):
    network = demo.network.create_network(name="open", is_port_security_enabled=False)
    demo.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.78.0.0/24")
    image = next(iter(demo.image.images()))
    made = demo.compute.create_server(
        name="open", flavor_id="1", image_id=image.id, networks=[{"uuid": network.id}]
    )
    demo.compute.wait_for_server(made, wait=30, interval=0.1)

    server = call("GET", f"/servers/{made.id}").json()["server"]

    assert "security_groups" not in server
    demo.compute.delete_server(made.id)
    demo.compute.wait_for_delete(made, wait=30, interval=0.1)
    demo.network.delete_network(network.id)


def test_a_server_shows_the_groups_that_it_was_put_into(demo, server, ask, call):
    group = demo.network.create_security_group(name="web")

    added = ask("POST", "/action", {"addSecurityGroup": {"name": "web"}})
    in_use = call("DELETE", f"/os-security-groups/{group.id}", version="2.35")
    with_it = shown(ask)["security_groups"]
    listed = ask("GET", "/os-security-groups").json()["security_groups"]
    removed = ask("POST", "/action", {"removeSecurityGroup": {"name": group.id}})

    assert (added.status_code, removed.status_code) == (202, 202)
    assert in_use.status_code == 400
    assert with_it == [{"name": "default"}, {"name": "web"}]
    assert {each["name"] for each in listed} == {"default", "web"}
    assert shown(ask)["security_groups"] == [{"name": "default"}]
    again = ask("POST", "/action", {"removeSecurityGroup": {"name": group.id}})
    assert again.status_code == 404
    demo.network.delete_security_group(group)


def test_a_group_name_that_two_groups_have_is_a_conflict(demo, server, ask):
    groups = [demo.network.create_security_group(name="twin") for _ in range(2)]

    refused = ask("POST", "/action", {"addSecurityGroup": {"name": "twin"}})
    by_id = ask("POST", "/action", {"addSecurityGroup": {"name": groups[0].id}})
    unknown = ask("POST", "/action", {"addSecurityGroup": {"name": "nobody"}})

    assert (refused.status_code, by_id.status_code, unknown.status_code) == (409, 202, 404)
    ask("POST", "/action", {"removeSecurityGroup": {"name": groups[0].id}})
    for group in groups:
        demo.network.delete_security_group(group)


def test_a_server_without_ports_has_nothing_to_put_into_a_group(demo):
    image = next(iter(demo.image.images()))
    made = demo.compute.create_server(
        name="bare", flavor_id="1", image_id=image.id, networks="none"
    )
    demo.compute.wait_for_server(made, wait=30, interval=0.1)

    answers = [
        demo.compute.post(f"/servers/{made.id}/action", json={action: {"name": "default"}})
        for action in ("addSecurityGroup", "removeSecurityGroup")
    ]

    assert [answer.status_code for answer in answers] == [404, 404]
    said = {answer.json()["itemNotFound"]["message"] for answer in answers}
    assert said == {f"Instance {made.id} is the device of no port."}
    demo.compute.delete_server(made.id)
    demo.compute.wait_for_delete(made, wait=30, interval=0.1)


def test_a_floating_address_is_shown_while_it_stands_for_the_server(cloud, demo, server, ask):
    floating = demo.network.create_ip(floating_network_id=outside(cloud))
    address = floating.floating_ip_address

    added = ask("POST", "/action", {"addFloatingIp": {"address": address}}, version="2.43")
    with_it = addresses(ask)
    second = demo.network.create_ip(floating_network_id=outside(cloud))
    body = {"addFloatingIp": {"address": second.floating_ip_address}}
    refused = ask("POST", "/action", body, version="2.43")
    removed = ask("POST", "/action", {"removeFloatingIp": {"address": address}}, version="2.43")

    assert (added.status_code, removed.status_code) == (202, 202)
    assert ("floating", address) in with_it
    assert refused.status_code == 400
    assert ("floating", address) not in addresses(ask)
    again = ask("POST", "/action", {"removeFloatingIp": {"address": address}}, version="2.43")
    assert again.status_code == 409
    demo.network.delete_ip(floating)
    demo.network.delete_ip(second)


def outside(cloud: Cloud) -> str:
    """A network for floating addresses, routed to `private`."""
    admin = cloud.connect("admin").network
    found = admin.find_network("outside")
    if found is None:
        found = admin.create_network(name="outside", is_router_external=True)
        admin.create_subnet(network_id=found.id, ip_version=4, cidr="10.30.0.0/24")
        router = admin.create_router(name="way-out", external_gateway_info={"network_id": found.id})
        inside = admin.find_subnet("private", ignore_missing=False)
        admin.add_interface_to_router(router, subnet_id=inside.id)
    return str(found.id)


def interfaces(ask: Ask) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask("GET", "/os-interface").json()["interfaceAttachments"]
    return found


def test_an_interface_is_attached_with_its_address_and_tag_and_detached(demo, server, ask):
    network = demo.network.find_network("private")
    body = {
        "net_id": network.id, "fixed_ips": [{"ip_address": "10.20.77.7"}], "tag": "second",
    }  # fmt: skip

    made = ask("POST", "/os-interface", {"interfaceAttachment": body})

    assert made.status_code == 200, made.text
    made = made.json()["interfaceAttachment"]
    assert (made["port_state"], made["tag"]) == ("ACTIVE", "second")
    assert [ip["ip_address"] for ip in made["fixed_ips"]] == ["10.20.77.7"]
    assert interfaces(ask)[1] == made
    assert ("fixed", "10.20.77.7") in addresses(ask)
    assert ask("GET", f"/os-interface/{made['port_id']}").json()["interfaceAttachment"] == made

    taken = ask("POST", "/os-interface", {"interfaceAttachment": body})
    assert taken.status_code == 409, taken.text
    assert ask("DELETE", f"/os-interface/{made['port_id']}").status_code == 202
    wait_until(lambda: len(interfaces(ask)) == 1, "the port is gone")
    wait_until(lambda: ("fixed", "10.20.77.7") not in addresses(ask), "its address is gone")
    assert demo.network.find_port(made["port_id"]) is None
    assert ask("DELETE", f"/os-interface/{made['port_id']}").status_code == 404


def test_a_users_own_port_outlives_its_attachment(demo, server, ask):
    network = demo.network.find_network("private")
    port = demo.network.create_port(network_id=network.id)
    body = {"interfaceAttachment": {"port_id": port.id}}

    made = ask("POST", "/os-interface", body)
    again = ask("POST", "/os-interface", body)
    ask("DELETE", f"/os-interface/{port.id}")

    assert (made.status_code, again.status_code) == (200, 409)
    wait_until(lambda: not demo.network.get_port(port.id).device_id, "the port is free")
    demo.network.delete_port(port)


def test_ports_have_the_servers_name_in_dns(demo, server, ask):
    network = demo.network.find_network("private")
    own = demo.network.create_port(network_id=network.id)

    ask("POST", "/os-interface", {"interfaceAttachment": {"port_id": own.id}})

    made = [port for port in demo.network.ports(device_id=server) if port.id != own.id]
    assert [port.dns_name for port in made] == ["s"]
    assert made[0].dns_assignment[0]["fqdn"] == "s.novalocal."
    assert demo.network.get_port(own.id).dns_name == "s"
    ask("DELETE", f"/os-interface/{own.id}")
    wait_until(lambda: not demo.network.get_port(own.id).device_id, "the port is free")
    assert not demo.network.get_port(own.id).dns_name
    demo.network.delete_port(own)


def test_a_port_with_another_name_in_dns_is_refused(demo, server, ask):
    network = demo.network.find_network("private")
    port = demo.network.create_port(network_id=network.id, dns_name="another")

    refused = ask("POST", "/os-interface", {"interfaceAttachment": {"port_id": port.id}})

    assert refused.status_code == 400
    said = refused.json()["badRequest"]["message"]
    assert "Value another assigned to dns_name attribute does not match" in said
    assert not demo.network.get_port(port.id).device_id
    demo.network.delete_port(port)


def test_what_a_host_refuses_to_attach_leaves_no_port(cloud, demo, server, ask):
    cloud.faults(faults=["attach_interface:1:HypervisorError"])
    try:
        refused = ask("POST", "/os-interface", {})
    finally:
        cloud.faults()

    assert refused.status_code == 500
    said = refused.json()["computeFault"]["message"]
    assert said == f"Failed to attach network adapter device to {server}"
    assert len(interfaces(ask)) == 1
    actions = ask("GET", "/os-instance-actions").json()["instanceActions"]
    assert actions[0]["action"] == "attach_interface"
    assert actions[0]["message"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"net_id": "net", "port_id": "net"}, 400),
        ({"fixed_ips": [{"ip_address": "10.20.0.9"}]}, 400),
        ({"net_id": "00000000-0000-0000-0000-000000000001"}, 404),
        ({"port_id": "00000000-0000-0000-0000-000000000001"}, 404),
    ],
)
def test_an_interface_that_cannot_be_is_refused(demo, server, ask, body, status):
    network = demo.network.find_network("private")
    body = {key: network.id if value == "net" else value for key, value in body.items()}

    refused = ask("POST", "/os-interface", {"interfaceAttachment": body})

    assert refused.status_code == status, refused.text


def test_a_port_takes_more_addresses_and_gives_them_back(demo, server, ask):
    network = demo.network.find_network("private")
    before = addresses(ask)

    body = {"addFixedIp": {"networkId": network.id}}
    added = ask("POST", "/action", body, version="2.43")
    [(_, address)] = addresses(ask) - before
    removed = ask("POST", "/action", {"removeFixedIp": {"address": address}}, version="2.43")
    again = ask("POST", "/action", {"removeFixedIp": {"address": address}}, version="2.43")

    assert (added.status_code, removed.status_code, again.status_code) == (202, 202, 400)
    assert addresses(ask) == before


def test_what_happens_to_a_port_shows_on_its_server(demo, server, ask):
    [port] = [demo.network.get_port(each["port_id"]) for each in interfaces(ask)]
    [ip] = port.fixed_ips

    wanted = [ip, {"subnet_id": ip["subnet_id"], "ip_address": "10.20.78.8"}]
    demo.network.update_port(port, fixed_ips=wanted)
    wait_until(lambda: ("fixed", "10.20.78.8") in addresses(ask), "the new address shows")
    demo.network.delete_port(port)

    wait_until(lambda: not addresses(ask), "the addresses of the port are gone")
    actions = ask("GET", "/os-instance-actions").json()["instanceActions"]
    assert [each["action"] for each in actions][0] == "detach_interface"


def test_events_are_answered_one_by_one(call, server):
    def event(**fields):
        return {"name": "network-changed", "server_uuid": server, **fields}

    def post(*events, **options):
        return call("POST", "/os-server-external-events", json={"events": events}, **options)

    nobody = "00000000-0000-0000-0000-000000000001"
    good = post(event())
    mixed = post(event(), event(server_uuid=nobody), event(name="volume-extended"))
    too_new = post(event(name="volume-extended", tag="v"), version="2.50")

    assert (good.status_code, mixed.status_code, too_new.status_code) == (200, 207, 400)
    assert good.json()["events"] == [event(status="completed", code=200)]
    assert [(each["code"], each["status"]) for each in mixed.json()["events"]] == [
        (200, "completed"), (404, "failed"), (400, "failed"),
    ]  # fmt: skip
