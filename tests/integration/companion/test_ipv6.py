# SPDX-License-Identifier: Apache-2.0
"""What the Network API promises holds for IPv6 packets."""

import sys

import pytest

from services.companion.network import names
from tests.integration.companion.conftest import HTTP_GET, HTTP_LISTENER, until

# A guest asks for routers thrice; on a busy machine it may have to wait until they speak unasked.
SOON_S = 90
SLAAC = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
STATEFUL = {"ipv6_ra_mode": "dhcpv6-stateful", "ipv6_address_mode": "dhcpv6-stateful"}
LISTENER = HTTP_LISTENER.replace(
    'server = http.server.HTTPServer(("0.0.0.0"',
    "http.server.HTTPServer.address_family = __import__('socket').AF_INET6\n"
    'server = http.server.HTTPServer(("::"',
)
UDP_LISTENER = """
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.bind(("::", 7000))
print("ready")
while True:
    data, peer = s.recvfrom(100)
    print(data.decode(), peer[0], flush=True)
"""
UDP_SEND = """
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 0)); s.sendto(sys.argv[3].encode(), (sys.argv[2], 7000))
"""
# Asks for an address as a DHCPv6 client does first, and prints the one that it is offered.
SOLICIT = """
import socket, struct, sys
mac = bytes.fromhex(sys.argv[1].replace(":", ""))
def option(code, body): return struct.pack("!HH", code, len(body)) + body
duid = option(1, struct.pack("!HH", 3, 1) + mac)
asked = bytes((1, 1, 2, 3)) + duid + option(3, struct.pack("!III", 1, 0, 0)) + option(8, bytes(2))
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(("::", 546)); s.settimeout(1)
link = socket.if_nametoindex("eth0")
for _ in range(10):
    s.sendto(asked, ("ff02::1:2", 547, 0, link))
    try:
        reply = s.recv(2000)
        break
    except TimeoutError:
        continue
def find(options, code):
    while options:
        found, size = struct.unpack("!HH", options[:4])
        if found == code: return options[4:4 + size]
        options = options[4 + size:]
    raise SystemExit("no option %d" % code)
print(socket.inet_ntop(socket.AF_INET6, find(find(reply[4:], 3)[12:], 5)[:16]))
"""
# What tells all neighbours that this guest had another's address.
CLAIM = """
import socket, struct, sys
mac = bytes.fromhex(sys.argv[2].replace(":", ""))
target = socket.inet_pton(socket.AF_INET6, sys.argv[1])
said = struct.pack("!BBHI", 136, 0, 0, 0x20000000) + target + bytes((2, 1)) + mac
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
s.sendto(said, ("ff02::1", 0, 0, socket.if_nametoindex("eth0")))
"""


def six(guest):
    """The IPv6 address of a guest's port."""
    return next(ip["ip_address"] for ip in guest.port["fixed_ips"] if ":" in ip["ip_address"])


def addresses(guest):
    return guest.run("ip", "-6", "-o", "addr", "show", "dev", "eth0", "-tentative").stdout


@pytest.fixture
def network(cloud):
    """Makes a network with an IPv6 subnet."""

    def make(cidr="fd77:1::/64", **more):
        return cloud.network(cidr, ip_version=6, **more)

    return make


@pytest.fixture
def boot(cloud):
    """Boots a guest that has given itself the address of its port."""

    def boot(net, **attributes):
        guest = cloud.boot(net, **attributes)
        assert until(lambda: six(guest) in addresses(guest), timeout_s=SOON_S)
        return guest

    return boot


def reaches(guest, address):
    done = guest.run("ping", "-6", "-c", "1", "-W", "2", address, check=False)
    return done.returncode == 0


def test_a_guest_gives_itself_its_ports_address_and_has_a_way_out(cloud, network, boot, outside):
    guest = boot(network(**SLAAC))
    cloud.plane.run("ip", "addr", "add", "2001:db8::1/64", "dev", "up0", "nodad")
    outside.run("ip", "addr", "add", "2001:db8::2/64", "dev", "eth0", "nodad")
    outside.run("ip", "route", "add", "fd77:1::/64", "via", "2001:db8::1")

    assert "default via fe80::" in guest.run("ip", "-6", "route").stdout
    assert until(lambda: reaches(guest, "fd77:1::1"))
    assert until(lambda: reaches(guest, "2001:db8::2"))


def test_a_guest_is_offered_its_ports_address_by_dhcp(cloud, network):
    guest = cloud.boot(network(**STATEFUL))
    assert until(lambda: "fe80::" in addresses(guest))

    offered = guest.run(sys.executable, "-c", SOLICIT, guest.port["mac_address"]).stdout

    assert offered.strip() == six(guest)


def test_groups_let_in_what_they_say_and_nothing_else(cloud, network, boot):
    net = network(**SLAAC)
    tcp = {"ethertype": "IPv6", "protocol": "tcp", "port_range_min": 8000, "port_range_max": 8001}
    icmp = {"ethertype": "IPv6", "protocol": "ipv6-icmp"}
    server = boot(net, security_groups=[cloud.group(tcp)])
    client = boot(net, security_groups=[cloud.group(icmp)])
    for port in (8001, 8002):
        server.python(LISTENER, port)

    def get(port):
        url = f"http://[{six(server)}]:{port}/"
        return client.run(sys.executable, "-c", HTTP_GET, url, check=False).stdout.strip()

    assert until(lambda: get(8001)) == six(client)
    assert get(8002) == ""
    assert reaches(server, six(client))
    assert not reaches(client, six(server))


def test_members_of_the_default_group_reach_one_another(network, boot):
    net = network(**SLAAC)
    one, two = boot(net), boot(net)

    assert until(lambda: reaches(one, six(two)))
    assert until(lambda: reaches(two, six(one)))


def test_a_guest_cannot_send_with_anothers_address_or_mac(cloud, network, boot):
    net = network(**SLAAC)
    udp = {"ethertype": "IPv6", "protocol": "udp"}
    liar, victim = boot(net), boot(net)
    target = boot(net, security_groups=[cloud.group(udp)])
    heard = target.python(UDP_LISTENER)
    assert until(lambda: reaches(liar, "fd77:1::1"))
    victim.run("ip", "link", "set", "eth0", "down")
    liar.run("ip", "addr", "add", f"{six(victim)}/64", "dev", "eth0", "nodad")

    def send(source, word):
        liar.run(sys.executable, "-c", UDP_SEND, source, six(target), word)

    send(six(victim), "spoofed-address")
    liar.run("ip", "addr", "del", f"{six(victim)}/64", "dev", "eth0")
    send(six(liar), "honest")

    assert heard.stdout.readline() == f"honest {six(liar)}\n"


def test_a_guest_cannot_tell_neighbours_that_it_had_anothers_address(cloud, network, boot):
    net = network(**SLAAC)
    liar, victim, neighbour = (boot(net) for _ in range(3))
    assert until(lambda: reaches(neighbour, six(victim)))
    assert until(lambda: reaches(neighbour, six(liar)))

    liar.run(sys.executable, "-c", CLAIM, six(victim), liar.port["mac_address"])

    # what the liar sends after it has arrived, so the claim has not
    assert reaches(liar, six(neighbour))
    known = neighbour.run("ip", "-6", "neigh", "show", six(victim)).stdout
    assert victim.port["mac_address"] in known
    assert reaches(neighbour, six(victim))


def test_networks_do_not_reach_one_another_until_a_router_joins_them(cloud, network, boot):
    everyone = cloud.group({"ethertype": "IPv6", "protocol": "ipv6-icmp"})
    one, two = (
        boot(network(f"fd77:{n}::/64", **SLAAC), security_groups=[everyone]) for n in (1, 2)
    )
    assert until(lambda: reaches(one, "fd77:1::1"))
    assert not reaches(one, six(two))

    router = cloud.post("/network/v2.0/routers", {"router": {}}).json["router"]
    for guest in (one, two):
        subnet = {"subnet_id": guest.port["fixed_ips"][0]["subnet_id"]}
        cloud.put(f"/network/v2.0/routers/{router['id']}/add_router_interface", subnet)

    assert until(lambda: reaches(one, six(two)))


def test_both_ip_versions_live_on_one_network(cloud, tmp_path):
    net = cloud.network("10.77.1.0/24")
    subnet = {"network_id": net["id"], "cidr": "fd77:1::/64", "ip_version": 6, **SLAAC}
    assert cloud.post("/network/v2.0/subnets", {"subnet": subnet}).status_code == 201
    guest = cloud.boot(net)

    assert guest.dhcp(tmp_path)["ip"] == "10.77.1.2"
    assert until(lambda: six(guest) in addresses(guest), timeout_s=SOON_S)
    assert guest.pings("10.77.1.1")
    assert until(lambda: reaches(guest, "fd77:1::1"))
    assert names.bridge(net["id"]) in cloud.rules()
    assert cloud.companion.plane.problems() == {}
