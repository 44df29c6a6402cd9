# SPDX-License-Identifier: Apache-2.0
"""The words that nftables and dnsmasq are told."""

from pathlib import Path

from services.companion.network.plane import dhcp, ruleset
from services.companion.network.plane.desired import Bridge, Desired, Port, Rule, Subnet

NETWORK, OTHER = "11111111-aaaa-4000-8000-000000000001", "22222222-aaaa-4000-8000-000000000002"
PORT = "33333333-aaaa-4000-8000-000000000003"
MAC, IP = "fa:16:3e:00:00:01", "10.0.0.5"
SUBNET = Subnet("s", "10.0.0.0/24", "10.0.0.1", "10.0.0.1", True)


def port(**attributes):
    return Port(**{"id": PORT, "network_id": NETWORK, "mac": MAC, "ips": (IP,), **attributes})


BRIDGES = (Bridge(NETWORK, 1500, (SUBNET,)),)


def rules(*ports, bridges=BRIDGES, **more):
    return ruleset.render(Desired(bridges, ports, **more), 8775)


def test_without_networks_there_is_nothing_but_empty_tables():
    text = ruleset.render(Desired(), 8775)

    assert "drop" not in text
    assert "hook prerouting" in text


def test_the_whole_is_replaced_in_one_transaction():
    lines = rules().splitlines()

    assert lines[:2] == ["add table bridge kilonova", "delete table bridge kilonova"]


def test_a_rule_says_protocol_ports_and_remote():
    text = rules(port(rules=(
        Rule("ingress", "tcp", 22, 23, "192.0.2.0/24"), Rule("ingress", "icmp", 8, 0),
        Rule("egress", "47"), Rule("ingress", remote_group="g-1"), Rule("ingress", "udp"),
        Rule("ingress", "sctp", 5, 5, "0.0.0.0/0"),
    )), members={"g-1": (IP,)})  # fmt: skip

    for line in (
        "ip saddr 192.0.2.0/24 tcp dport 22-23 return", "icmp type 8 icmp code 0 return",
        "meta l4proto 47 return", "ip saddr @group_g1 return", "meta l4proto 17 return",
        "set group_g1 { type ipv4_addr; elements = { 10.0.0.5 }; }",
        "meta nfproto ipv4 sctp dport 5-5 return",
    ):  # fmt: skip
        assert line in text


def test_a_port_without_port_security_has_no_rules_of_its_own():
    text = rules(port(guarded=False))

    assert "meta mark set 0x6b6e accept" in text
    assert "chain in_tap" not in text


def test_networks_are_apart_unless_a_router_joins_them():
    second = Subnet("s2", "10.0.1.0/24", "10.0.1.1", "10.0.1.1", True)
    both = (Bridge(NETWORK, 1500, (SUBNET,)), Bridge(OTHER, 1500, (second,)))

    apart = rules(bridges=both)
    joined = rules(bridges=both, routers=(frozenset((NETWORK, OTHER)),))

    assert 'oifname { "br22222222-aa" } drop' in apart
    assert 'oifname { "br22222222-aa" } drop' not in joined


def test_a_network_whose_routers_are_down_is_cut_off_both_ways():
    text = rules(port(), bridges=(Bridge(NETWORK, 1500, (SUBNET,), cut_off=True),))

    assert 'oifname != "br11111111-aa" drop' in text
    assert 'iifname != "br11111111-aa" drop' in text


def test_a_subnet_without_gateway_has_no_way_outside():
    closed = Subnet("s", "10.0.0.0/24", "10.0.0.254", None, True)

    assert "masquerade" in rules()
    assert "masquerade" not in rules(bridges=(Bridge(NETWORK, 1500, (closed,)),))


def test_dhcp_gives_each_port_its_address_and_a_harmless_name():
    lines = dhcp.hosts_file([port(host_name="Web-1"), port(host_name="a,b\nc", ips=("10.0.0.6",))])

    tag = "set:tap33333333-aa"
    assert lines == f"{MAC},{tag},10.0.0.5,web-1\n{MAC},{tag},10.0.0.6,host-10-0-0-6\n"


def test_dhcp_knows_a_ports_own_options_by_its_tag():
    options = ((4, "bootfile-name", "x"), (6, "59", "y"))

    lines = dhcp.options_file([port(options=options)])

    tag = "tag:tap33333333-aa"
    assert lines == f"{tag},option:bootfile-name,x\n{tag},option6:59,y\n"


def test_a_rule_for_ipv6_says_so():
    six = port(ips=("fd00::5",), rules=(
        Rule("ingress", "tcp", 22, 23, "2001:db8::/32", version=6),
        Rule("ingress", "icmp", 128, 0, version=6), Rule("egress", "58", version=6),
        Rule("ingress", remote_group="g-1", version=6),
    ))  # fmt: skip

    text = rules(six, members={"g-1": (IP, "fd00::5")})

    for line in (
        "ip6 saddr 2001:db8::/32 tcp dport 22-23 return", "icmpv6 type 128 icmpv6 code 0 return",
        "meta l4proto 58 return", "ip6 saddr @group6_g1 return",
        "set group6_g1 { type ipv6_addr; elements = { fd00::5 }; }",
        "set group_g1 { type ipv4_addr; elements = { 10.0.0.5 }; }",
    ):  # fmt: skip
        assert line in text


def test_router_advertisements_say_how_addresses_are_made():
    def words(mode):
        six = Subnet("s", "fd00::/64", "fd00::1", "fd00::1", True, ("fd00::53",), (), mode, mode)
        return dhcp.command(Bridge(NETWORK, 1400, (six,)), Path("/x"))

    for mode, kind in (
        ("slaac", "ra-only"), ("dhcpv6-stateless", "ra-stateless"), ("dhcpv6-stateful", "static"),
    ):  # fmt: skip
        assert f"--dhcp-range=set:subnet0,fd00::,{kind},64,86400s" in words(mode)
        assert "--ra-param=br11111111-aa,mtu:1400,200,1800" in words(mode)
        assert "--dhcp-option=tag:subnet0,option6:dns-server,[fd00::53]" in words(mode)
    assert "--enable-ra" not in words(None)
    assert "--dhcp-range=set:subnet0,fd00::,static,64,86400s" in words(None)


def test_dhcp_tells_routes_name_servers_and_mtu():
    subnet = Subnet("s", "10.0.0.0/24", "10.0.0.1", "10.0.0.1", True, ("192.0.2.1",),
                    (("192.0.2.0/24", "10.0.0.9"),))  # fmt: skip

    words = dhcp.command(Bridge(NETWORK, 1400, (subnet,)), Path("/x"))

    assert "--dhcp-range=set:subnet0,10.0.0.0,static,255.255.255.0,86400s" in words
    assert "--dhcp-option=26,1400" in words
    assert "--dhcp-option=tag:subnet0,6,192.0.2.1" in words
    assert (
        "--dhcp-option=tag:subnet0,121,169.254.169.254/32,10.0.0.1,192.0.2.0/24,10.0.0.9,"
        "0.0.0.0/0,10.0.0.1"
    ) in words


def test_without_a_gateway_dhcp_gives_the_way_to_the_metadata_alone():
    subnet = Subnet("s", "10.0.0.0/24", "10.0.0.254", None, True)

    words = dhcp.command(Bridge(NETWORK, 1500, (subnet,)), Path("/x"))

    assert "--dhcp-option=tag:subnet0,3" in words
    assert "--dhcp-option=tag:subnet0,121,169.254.169.254/32,10.0.0.254" in words
