# SPDX-License-Identifier: Apache-2.0
"""What the Network API promises holds for packets."""

import os
import signal

from services.companion.network import names
from services.companion.network.plane import keeper
from tests.integration.companion.conftest import (
    GATE,
    HTTP_GET,
    HTTP_LISTENER,
    METADATA_PORT,
    OUTSIDE,
    UDP_LISTENER,
    until,
)

UDP_SEND = (
    "import socket,sys; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);"
    "s.bind((sys.argv[1],0)); s.sendto(sys.argv[4].encode(),(sys.argv[2],int(sys.argv[3])))"
)


def send(guest, source, target, word):
    guest.run("python3", "-c", UDP_SEND, source, target, "7000", word)


def test_a_guest_gets_its_ports_address_with_routes_and_mtu_by_dhcp(cloud, tmp_path):
    net = cloud.network("10.77.1.0/24", dns_nameservers=["192.0.2.53"])
    guest = cloud.boot(net)

    lease = guest.dhcp(tmp_path)

    assert lease["ip"] == guest.ip
    assert lease["router"] == "10.77.1.1"
    assert lease["mtu"] == "1500"
    assert lease["dns"] == "192.0.2.53"
    assert "169.254.169.254/32 10.77.1.1" in lease["staticroutes"]
    assert "0.0.0.0/0 10.77.1.1" in lease["staticroutes"]
    assert guest.pings("10.77.1.1")


def test_no_two_networks_that_are_carried_have_the_same_addresses(cloud):
    cloud.network("10.77.0.0/16")
    other = cloud.post("/network/v2.0/networks", {"network": {}}).json["network"]["id"]
    body = {"subnet": {"network_id": other, "cidr": "10.77.9.0/24", "ip_version": 4}}

    refused = cloud.post("/network/v2.0/subnets", body)

    assert refused.status_code == 400
    assert "overlaps with another subnet" in refused.json["NeutronError"]["message"]


def test_an_address_given_to_another_port_is_leased_to_its_guest(cloud, tmp_path):
    net = cloud.network("10.77.1.0/24")
    first = cloud.boot(net, fixed_ips=[{"ip_address": "10.77.1.50"}])
    first.dhcp(tmp_path)
    cloud.delete(f"/network/v2.0/ports/{first.port['id']}")
    first.close()

    second = cloud.boot(net, fixed_ips=[{"ip_address": "10.77.1.50"}])

    assert second.dhcp(tmp_path)["ip"] == "10.77.1.50"


def test_a_security_group_lets_in_what_it_says_and_nothing_else(cloud, tmp_path):
    net = cloud.network("10.77.1.0/24")
    group = cloud.group()
    one, two = cloud.boot(net), cloud.boot(net, security_groups=[group])
    for guest in (one, two):
        guest.dhcp(tmp_path)

    denied = one.pings(two.ip)
    back = two.pings(one.ip)
    rule = cloud.allow(group, protocol="icmp", remote_ip_prefix=f"{one.ip}/32")
    allowed = until(lambda: one.pings(two.ip))
    cloud.delete(f"/network/v2.0/security-group-rules/{rule['id']}")
    denied_again = until(lambda: not one.pings(two.ip))

    assert (denied, back, allowed, denied_again) == (False, False, True, True)


LINE_SERVER = """
import selectors, socket
chooser = selectors.DefaultSelector()
for port in (7001, 7002):
    listener = socket.create_server(("0.0.0.0", port))
    chooser.register(listener, selectors.EVENT_READ, "listener")
print("ready")
while True:
    for key, _ in chooser.select():
        if key.data == "listener":
            chooser.register(key.fileobj.accept()[0], selectors.EVENT_READ, "client")
        elif data := key.fileobj.recv(100):
            print(data.decode(), flush=True)
        else:
            chooser.unregister(key.fileobj)
"""
LINE_CLIENT = """
import socket, sys
one = socket.create_connection((sys.argv[1], 7001), 5)
one.sendall(b"before")
print("ready")
sys.stdin.readline()
one.sendall(b"after")
two = socket.create_connection((sys.argv[1], 7002), 5)
two.sendall(b"barrier")
print("sent", flush=True)
sys.stdin.readline()
"""


def test_a_rule_taken_away_ends_the_connections_it_allowed(cloud, tmp_path):
    net = cloud.network("10.77.1.0/24")
    group = cloud.group()
    first, _ = (
        cloud.allow(group, protocol="tcp", port_range_min=port, port_range_max=port)
        for port in (7001, 7002)
    )
    server, client = cloud.boot(net, security_groups=[group]), cloud.boot(net)
    for guest in (server, client):
        guest.dhcp(tmp_path)
    lines = server.python(LINE_SERVER).stdout
    writer = client.python(LINE_CLIENT, server.ip)
    assert lines.readline() == "before\n"

    cloud.delete(f"/network/v2.0/security-group-rules/{first['id']}")
    assert until(lambda: "7001" not in cloud.rules())
    writer.stdin.write("\n")
    writer.stdin.flush()

    assert lines.readline() == "barrier\n"


def test_members_of_the_default_group_reach_one_another(cloud, tmp_path):
    net = cloud.network("10.77.1.0/24")
    one, two = cloud.boot(net), cloud.boot(net)
    for guest in (one, two):
        guest.dhcp(tmp_path)

    assert until(lambda: one.pings(two.ip))
    assert until(lambda: two.pings(one.ip))


def test_replies_come_back_without_a_rule_for_them(cloud, tmp_path):
    net = cloud.network("10.77.1.0/24")
    closed = cloud.boot(net, security_groups=[cloud.group()])
    opened = cloud.boot(net, security_groups=[cloud.group({"protocol": "icmp"})])
    for guest in (closed, opened):
        guest.dhcp(tmp_path)

    assert closed.pings(opened.ip)
    assert not opened.pings(closed.ip)


def test_a_range_of_ports_is_let_in_and_its_neighbours_are_not(cloud, tmp_path):
    net = cloud.network("10.77.1.0/24")
    rule = {"protocol": "tcp", "port_range_min": 8000, "port_range_max": 8001}
    server = cloud.boot(net, security_groups=[cloud.group(rule)])
    client = cloud.boot(net)
    for guest in (server, client):
        guest.dhcp(tmp_path)
    for port in (8001, 8002):
        server.python(HTTP_LISTENER, port)

    assert client.get(f"http://{server.ip}:8001/") == client.ip
    assert client.get(f"http://{server.ip}:8002/") == ""


def test_a_guest_cannot_send_with_anothers_address_or_mac(cloud, tmp_path):
    net = cloud.network("10.77.1.0/24")
    liar, victim, target = (cloud.boot(net) for _ in range(3))
    for guest in (liar, target):
        guest.dhcp(tmp_path)
    listener = target.python(UDP_LISTENER, 7000)
    liar.run("ip", "addr", "add", f"{victim.ip}/24", "dev", "eth0")

    send(liar, victim.ip, target.ip, "spoofed-ip")
    liar.run("ip", "link", "set", "eth0", "address", victim.port["mac_address"])
    send(liar, liar.ip, target.ip, "spoofed-mac")
    liar.run("ip", "link", "set", "eth0", "address", liar.port["mac_address"])
    liar.run("ip", "addr", "del", f"{victim.ip}/24", "dev", "eth0")
    send(liar, liar.ip, target.ip, "honest")

    assert listener.stdout.readline() == f"honest {liar.ip}\n"


def test_a_port_without_port_security_may_send_as_it_likes(cloud, tmp_path):
    net = cloud.network("10.77.1.0/24")
    router = cloud.boot(net, port_security_enabled=False)
    target = cloud.boot(net, security_groups=[cloud.group({"protocol": "udp"})])
    for guest in (router, target):
        guest.dhcp(tmp_path)
    listener = target.python(UDP_LISTENER, 7000)
    router.run("ip", "addr", "add", "10.77.1.200/24", "dev", "eth0")

    send(router, "10.77.1.200", target.ip, "routed")

    assert listener.stdout.readline() == "routed 10.77.1.200\n"


def test_the_metadata_service_sees_the_guests_own_address(cloud, tmp_path):
    net, other = cloud.network("10.77.1.0/24"), cloud.network("10.77.2.0/24")
    one, two = cloud.boot(net), cloud.boot(other)
    cloud.plane.python(HTTP_LISTENER, METADATA_PORT)
    for guest in (one, two):
        guest.dhcp(tmp_path)
        assert guest.get("http://169.254.169.254/openstack") == guest.ip
        [port] = cloud.get(
            f"/network/v2.0/ports?fixed_ips=ip_address%3D{guest.ip}", user="kilonova"
        ).json["ports"]  # fmt: skip
        assert port["id"] == guest.port["id"]


def test_guests_reach_nothing_else_of_the_host(cloud, tmp_path):
    net = cloud.network("10.77.1.0/24")
    guest = cloud.boot(net)
    guest.dhcp(tmp_path)
    for port in (METADATA_PORT, 9999):
        cloud.plane.python(HTTP_LISTENER, port)

    assert guest.get("http://10.77.1.1:9999/") == ""
    assert guest.get(f"http://10.77.1.1:{METADATA_PORT}/") == ""


def test_guests_reach_the_outside_with_a_translated_address(cloud, outside, tmp_path):
    net = cloud.network("10.77.1.0/24")
    guest = cloud.boot(net)
    guest.dhcp(tmp_path)
    outside.python(HTTP_LISTENER, 8080)

    assert guest.get(f"http://{OUTSIDE}:8080/") == GATE
    assert guest.pings(OUTSIDE)


def test_the_outside_reaches_only_what_a_group_lets_in(cloud, outside, tmp_path):
    net = cloud.network("10.77.1.0/24")
    closed = cloud.boot(net)
    opened = cloud.boot(net, security_groups=[cloud.group({"protocol": "icmp"})])
    for guest in (closed, opened):
        guest.dhcp(tmp_path)
    outside.run("ip", "route", "add", "10.77.1.0/24", "via", GATE)

    def ping(ip):
        return outside.run("ping", "-c", "1", "-W", "1", ip, check=False).returncode == 0

    assert ping(opened.ip)
    assert not ping(closed.ip)


def test_networks_do_not_reach_one_another(cloud, tmp_path):
    everyone = cloud.group({"protocol": "icmp"})
    one = cloud.boot(cloud.network("10.77.1.0/24"), security_groups=[everyone])
    two = cloud.boot(cloud.network("10.77.2.0/24"), security_groups=[everyone])
    for guest in (one, two):
        guest.dhcp(tmp_path)

    assert one.pings("10.77.1.1")
    assert not one.pings(two.ip)


def test_a_subnet_may_not_cover_what_the_host_is_connected_to(cloud, outside):
    net = cloud.post("/network/v2.0/networks", {"network": {}}).json["network"]
    body = {"network_id": net["id"], "cidr": "198.51.100.0/25", "ip_version": 4}

    assert cloud.post("/network/v2.0/subnets", {"subnet": body}).status_code == 400


def test_dhcp_that_dies_is_started_again(cloud, tmp_path):
    net = cloud.network("10.77.1.0/24")
    guest = cloud.boot(net)
    [pid] = until(cloud.dnsmasq_pids)

    os.kill(pid, signal.SIGKILL)

    assert until(lambda: cloud.dnsmasq_pids() not in ([], [pid]))
    assert guest.dhcp(tmp_path)["ip"] == guest.ip


def test_a_start_repairs_what_was_lost_and_keeps_guests(cloud, links, tmp_path):
    net = cloud.network("10.77.1.0/24")
    one, two = cloud.boot(net), cloud.boot(net)
    for guest in (one, two):
        guest.dhcp(tmp_path)
    bridge = names.bridge(net["id"])
    cloud.plane.run("nft", "flush", "ruleset")
    cloud.plane.run("ip", "addr", "flush", "dev", bridge)

    cloud.restart()

    assert until(lambda: one.tap in cloud.rules())
    assert until(lambda: one.pings("10.77.1.1"))
    assert one.pings(two.ip)
    assert links()[one.tap]["master"] == bridge
    assert until(cloud.dnsmasq_pids)


def test_a_deleted_network_leaves_no_device_rule_or_process(cloud, links):
    net = cloud.network("10.77.1.0/24")
    bridge = names.bridge(net["id"])
    assert until(lambda: bridge in links())
    assert until(cloud.dnsmasq_pids)

    cloud.delete(f"/network/v2.0/networks/{net['id']}")

    assert until(lambda: bridge not in links())
    assert until(lambda: not cloud.dnsmasq_pids())
    assert bridge not in cloud.rules()


def test_purging_removes_ours_and_nothing_else(cloud, links):
    net = cloud.network("10.77.1.0/24")
    assert until(lambda: names.bridge(net["id"]) in links())
    assert until(cloud.dnsmasq_pids)
    cloud.plane.run("ip", "link", "add", "brother", "type", "bridge")
    cloud.plane.run("nft", "add", "table", "ip", "others")
    cloud.companion.stop()

    keeper.purge(cloud.settings.plane)

    assert set(links()) == {"lo", "brother"}
    assert cloud.rules().split() == ["table", "ip", "others", "{", "}"]
    assert cloud.dnsmasq_pids() == []


def test_a_router_lets_its_networks_reach_one_another(cloud, tmp_path):
    everyone = cloud.group({"protocol": "icmp"})
    nets = [cloud.network(f"10.77.{n}.0/24") for n in (1, 2)]
    one, two = (cloud.boot(net, security_groups=[everyone]) for net in nets)
    for guest in (one, two):
        guest.dhcp(tmp_path)
    router = cloud.post("/network/v2.0/routers", {"router": {}}).json["router"]
    for guest in (one, two):
        subnet = {"subnet_id": guest.port["fixed_ips"][0]["subnet_id"]}
        cloud.put(f"/network/v2.0/routers/{router['id']}/add_router_interface", subnet)

    assert until(lambda: one.pings(two.ip))
    assert two.pings(one.ip)


def test_a_router_that_is_down_cuts_its_networks_off(cloud, outside, tmp_path):
    group = cloud.group({"protocol": "icmp"})
    net = cloud.network("10.77.1.0/24")
    one, two = (cloud.boot(net, security_groups=[group]) for _ in range(2))
    for guest in (one, two):
        guest.dhcp(tmp_path)
    router = cloud.post("/network/v2.0/routers", {"router": {}}).json["router"]
    subnet = {"subnet_id": one.port["fixed_ips"][0]["subnet_id"]}
    cloud.put(f"/network/v2.0/routers/{router['id']}/add_router_interface", subnet)
    assert until(lambda: one.pings(OUTSIDE))

    cloud.put(f"/network/v2.0/routers/{router['id']}", {"router": {"admin_state_up": False}})

    assert until(lambda: not one.pings(OUTSIDE))
    assert one.pings(two.ip)
    cloud.put(f"/network/v2.0/routers/{router['id']}", {"router": {"admin_state_up": True}})
    assert until(lambda: one.pings(OUTSIDE))


def test_a_floating_ip_is_the_guest_to_the_outside(cloud, outside, tmp_path):
    body = {"network": {"router:external": True}}
    public = cloud.post("/network/v2.0/networks", body).json["network"]
    subnet = {"network_id": public["id"], "cidr": "203.0.113.0/24", "ip_version": 4}
    cloud.post("/network/v2.0/subnets", {"subnet": subnet})
    group = cloud.group({"protocol": "tcp", "port_range_min": 80, "port_range_max": 80})
    guest = cloud.boot(cloud.network("10.77.1.0/24"), security_groups=[group])
    guest.dhcp(tmp_path)
    guest.python(HTTP_LISTENER, 80)
    outside.python(HTTP_LISTENER, 8080)
    outside.run("ip", "route", "add", "203.0.113.0/24", "via", GATE)

    body = {"floating_network_id": public["id"], "port_id": guest.port["id"]}
    made = cloud.post("/network/v2.0/floatingips", {"floatingip": body}).json["floatingip"]
    address = made["floating_ip_address"]

    def fetch(namespace):
        words = ("python3", "-c", HTTP_GET, f"http://{address}/")
        return namespace.run(*words, check=False).stdout.strip()

    assert until(lambda: fetch(outside)) == OUTSIDE
    assert fetch(cloud.plane)
    assert guest.get(f"http://{OUTSIDE}:8080/") == address


def test_address_pairs_that_overlap_break_nothing(cloud, tmp_path):
    net = cloud.network("10.77.1.0/24")
    pairs = [{"ip_address": "10.77.1.200"}, {"ip_address": "10.77.1.128/25"}]
    one, two = (cloud.boot(net, allowed_address_pairs=pairs) for _ in range(2))
    target = cloud.boot(net, security_groups=[cloud.group({"protocol": "udp"})])
    for guest in (one, two, target):
        guest.dhcp(tmp_path)
    listener = target.python(UDP_LISTENER, 7000)
    two.run("ip", "addr", "add", "10.77.1.200/24", "dev", "eth0")

    send(two, "10.77.1.200", target.ip, "paired")

    assert listener.stdout.readline() == "paired 10.77.1.200\n"
    assert cloud.companion.plane.problems() == {}


def test_a_port_has_dhcp_options_of_its_own(cloud, tmp_path):
    net = cloud.network("10.77.1.0/24")
    options = [
        {"opt_name": "bootfile-name", "opt_value": "one.img"},
        {"opt_name": "no-such-option", "opt_value": "x"},
    ]
    one, two = cloud.boot(net, extra_dhcp_opts=options), cloud.boot(net)

    assert one.dhcp(tmp_path)["boot_file"] == "one.img"
    assert "boot_file" not in two.dhcp(tmp_path)
    assert cloud.companion.plane.problems() == {}
