# SPDX-License-Identifier: Apache-2.0
"""What nftables is told: one text that replaces all of our rules in one transaction.

Two tables share the work. The bridge table sees the tap a frame comes from and lets through only
the port's own addresses. So the inet table, which sees bridged packets through br_netfilter and
routed ones as usual, can tell ports by their addresses: by the source what may leave, by the
destination what may enter. What belongs to no known port is dropped. nft matches devices by name,
so rules may be there before a tap is.
"""

import ipaddress
from collections.abc import Container, Iterable, Sequence

from services.companion.network import names
from services.companion.network.plane.desired import Bridge, Desired, Port, Rule
from services.companion.network.protocols import ICMP, WITH_PORTS, protocol_number

TABLES = (("bridge", "kilonova"), ("inet", "kilonova"), ("ip", "kilonova"))
METADATA_ADDRESS = "169.254.169.254"
# On packets of ports without port security: they may leave with any source.
_UNGUARDED = "0x6b6e"
# Only what answers passes unasked, and errors about what passed. Who began is held to the rules
# with every packet, so a rule taken away ends the connections that it allowed.
_ANSWERS = ("ct direction reply ct state established", "ct state related")
# How IPv6 neighbours find one another. Who sends is held to its own addresses before that.
_NEIGHBOURS = (
    "nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, mld-listener-report, "
    "mld-listener-done, mld2-listener-report"
)
_FROM_ROUTERS = "nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, mld-listener-query"
_PROTOCOL_WORDS = {6: "tcp", 17: "udp", 33: "dccp", 132: "sctp", 136: "udplite"}


def render(desired: Desired, metadata_port: int) -> str:
    """The text for `nft -f -`."""
    lines = []
    for family, name in TABLES:
        # Adding before deleting makes the deletion right also where there is no table yet.
        lines += [f"add table {family} {name}", f"delete table {family} {name}"]
    lines += _table("bridge", _guard(desired))
    lines += _table("inet", _filter(desired, metadata_port))
    lines += _table("ip", _translate(desired, metadata_port))
    return "\n".join(lines) + "\n"


def purge() -> str:
    """The text that removes every rule of ours."""
    lines = []
    for family, name in TABLES:
        lines += [f"add table {family} {name}", f"delete table {family} {name}"]
    return "\n".join(lines) + "\n"


def _table(family: str, body: Iterable[str]) -> list[str]:
    return [f"table {family} kilonova {{", *(f"  {line}" for line in body), "}"]


def _chain(name: str, rules: Iterable[str], hook: str = "") -> list[str]:
    head = [f"  {hook}"] if hook else []
    return [f"chain {name} {{", *head, *(f"  {rule}" for rule in rules), "}"]


def _hook(kind: str, hook: str, priority: int) -> str:
    return f"type {kind} hook {hook} priority {priority}; policy accept;"


# --- bridge: who sends -------------------------------------------------------------------------


def _guard(desired: Desired) -> list[str]:
    lines: list[str] = []
    for port in desired.ports:
        if port.guarded and port.has_ipv6:
            lines += _chain(f"claims_{port.tap}", _own_claims(port))
        lines += _chain(f"from_{port.tap}", _own_addresses(port))
    jumps = [f'"{port.tap}" : jump from_{port.tap}' for port in desired.ports]
    rules = [f"iifname vmap {{ {', '.join(jumps)} }}"] if jumps else []
    return lines + _chain("from_guests", rules, _hook("filter", "prerouting", -300))


def _own_addresses(port: Port) -> list[str]:
    """A guest speaks with its own addresses, asks for a lease, and serves no DHCP."""
    if not port.guarded:
        return [f"meta mark set {_UNGUARDED} accept"]
    macs = _set([port.mac, *(mac for _, mac in port.pairs)])
    rules = [
        f"ether saddr != {macs} drop",
        f"arp saddr ether != {macs} drop",
        "ip saddr 0.0.0.0 udp sport 68 udp dport 67 return",
        "udp sport 67 udp dport 68 drop",
    ]
    if port.ips or port.pairs:
        # A guest that checks whether its address is free asks from 0.0.0.0.
        rules.append("arp operation request arp saddr ip 0.0.0.0 return")
    if port.has_ipv6:
        rules += [
            "icmpv6 type nd-router-advert drop",
            "udp sport 547 udp dport 546 drop",
            f"icmpv6 type nd-neighbor-advert jump claims_{port.tap}",
            "ip6 saddr :: icmpv6 type "
            "{ nd-neighbor-solicit, nd-router-solicit, mld2-listener-report } return",
        ]
    # One rule each, not a set: what a user gives as pairs may overlap, which sets refuse.
    for ip, mac in _own(port):
        if ":" in ip:
            rules.append(f"ip6 saddr {ip} ether saddr {mac} return")
        else:
            rules += [
                f"arp saddr ip {ip} ether saddr {mac} return",
                f"ip saddr {ip} ether saddr {mac} return",
            ]
    return [*rules, "drop"]


def _own(port: Port) -> list[tuple[str, str]]:
    """Addresses and prefixes that a guest may send from, each with the MAC that goes with it."""
    own = [(ip, port.mac) for ip in port.ips] + list(port.pairs)
    return [*own, (port.link_local, port.mac)] if port.has_ipv6 else own


def _own_claims(port: Port) -> list[str]:
    """A guest tells its neighbours of its own IPv6 addresses only, whatever it sends from."""
    rules = []
    for ip, _ in _own(port):
        if ":" in ip:
            network = ipaddress.IPv6Network(ip, strict=False)
            # nft looks at whole bytes; of a prefix between two bytes nothing is claimed
            if network.prefixlen and network.prefixlen % 8 == 0:
                head = int(network.network_address) >> 128 - network.prefixlen
                rules.append(f"@th,64,{network.prefixlen} {head:#x} return")
    return [*rules, "drop"]


# --- inet: what may pass -----------------------------------------------------------------------


def _filter(desired: Desired, metadata_port: int) -> list[str]:
    lines: list[str] = []
    for group_id, members in desired.members.items():
        for version, kind in ((4, "ipv4_addr"), (6, "ipv6_addr")):
            some = [ip for ip in members if (":" in ip) == (version == 6)]
            elements = f" elements = {_set(some)};" if some else ""
            lines.append(f"set {_group(group_id, version)} {{ type {kind};{elements} }}")
    for port in desired.ports:
        if port.guarded:
            lines += _chain(f"out_{port.tap}", [*_rules(port, "egress"), "drop"])
            lines += _chain(f"in_{port.tap}", [*_rules(port, "ingress"), "drop"])
    bridges = [bridge for bridge in desired.bridges if bridge.subnets]
    if not bridges:
        return lines
    for bridge in bridges:
        ports = [port for port in desired.ports if port.network_id == bridge.network_id]
        peers = {names.bridge(n) for r in desired.routers if bridge.network_id in r for n in r}
        for word, direction in (("leave", "out"), ("enter", "in")):
            rules = _by_address(bridge, ports, bridges, peers, direction)
            lines += _chain(f"{word}_{bridge.name}", rules)
    ours = _set(f'"{bridge.name}"' for bridge in bridges)
    six = any(bridge.has_ipv6 for bridge in bridges)
    leave = _set(f'"{b.name}" : jump leave_{b.name}' for b in bridges)
    enter = _set(f'"{b.name}" : jump enter_{b.name}' for b in bridges)
    lines += _chain(
        "pass",
        [
            *(f"{side} {ours} {a} accept" for side in ("iifname", "oifname") for a in _ANSWERS),
            *([f"iifname {ours} icmpv6 type {{ {_NEIGHBOURS} }} accept"] if six else []),
            f"iifname {ours} ct state invalid drop",
            f"meta mark != {_UNGUARDED} iifname vmap {leave}",
            f"oifname vmap {enter}",
        ],
        _hook("filter", "forward", 0),
    )
    lines += _chain(
        "to_host",
        [
            f"iifname != {ours} accept",
            "ct state established,related accept",
            "udp sport 68 udp dport 67 accept",
            "icmp type echo-request accept",
            *(_for_ipv6_routers() if six else []),
            # Only what asked for the metadata address was sent on to this port.
            f"tcp dport {metadata_port} ct status dnat accept",
            "drop",
        ],
        _hook("filter", "input", 0),
    )
    lines += _chain(
        "from_host",
        [
            *(f"oifname {ours} {answers} accept" for answers in _ANSWERS),
            f"oifname {ours} udp sport 67 udp dport 68 accept",
            *(_from_ipv6_routers(ours) if six else []),
            f"oifname vmap {enter}",
        ],
        _hook("filter", "output", 0),
    )
    return lines


def _for_ipv6_routers() -> list[str]:
    return [
        f"icmpv6 type {{ {_NEIGHBOURS}, echo-request }} accept",
        "udp sport 546 udp dport 547 accept",
    ]


def _from_ipv6_routers(ours: str) -> list[str]:
    return [
        f"oifname {ours} icmpv6 type {{ {_FROM_ROUTERS} }} accept",
        f"oifname {ours} udp sport 547 udp dport 546 accept",
    ]


def _by_address(
    bridge: Bridge,
    ports: Sequence[Port],
    bridges: Sequence[Bridge],
    peers: Container[str],
    direction: str,
) -> list[str]:
    """Find the port by its address; without one there is nothing to let through."""
    verdicts: dict[str, list[str]] = {"ip": [], "ip6": []}
    pairs = []
    side = "saddr" if direction == "out" else "daddr"
    for port in ports:
        goto = f"goto {direction}_{port.tap}" if port.guarded else "return"
        for ip in (*port.ips, *([port.link_local] if port.has_ipv6 else [])):
            verdicts[_family(ip)].append(f"{ip} : {goto}")
        # Several ports may share a pair's address: the first one's rules hold.
        pairs += [f"{_family(ip)} {side} {ip} {goto}" for ip, _ in port.pairs]
    rules = [f"{family} {side} vmap {_set(found)}" for family, found in verdicts.items() if found]
    rules += pairs
    if bridge.cut_off:
        far_side = "oifname" if direction == "out" else "iifname"
        return [f'{far_side} != "{bridge.name}" drop', *rules, "drop"]
    others = [f'"{other.name}"' for other in bridges if other is not bridge]
    others = [name for name in others if name.strip('"') not in peers]
    if direction == "out" and others:
        # Networks are apart although one kernel routes for all of them; a router joins them, and
        # a floating IP is reached from everywhere.
        rules.insert(0, f"ct status & dnat == 0 oifname {_set(others)} drop")
    return [*rules, "drop"]


def _rules(port: Port, direction: str) -> list[str]:
    side = "daddr" if direction == "egress" else "saddr"
    lines = (_rule(rule, side) for rule in port.rules if rule.direction == direction)
    return list(dict.fromkeys(lines))


def _rule(rule: Rule, side: str) -> str:
    words = [f"meta nfproto ipv{rule.version}"]
    family, icmp = ("ip", "icmp") if rule.version == 4 else ("ip6", "icmpv6")
    if rule.remote_prefix and not rule.remote_prefix.endswith("/0"):
        # kept as it was given, with bits that the mask takes away
        words.append(f"{family} {side} {ipaddress.ip_network(rule.remote_prefix, strict=False)}")
    if rule.remote_group:
        words.append(f"{family} {side} @{_group(rule.remote_group, rule.version)}")
    number = protocol_number(rule.protocol)
    if number in ICMP and rule.version == 6:
        number = 58  # `icmp` in a rule for IPv6 means its own
    if number == (1 if rule.version == 4 else 58) and rule.low is not None:
        code = f" {icmp} code {rule.high}" if rule.high is not None else ""
        words.append(f"{icmp} type {rule.low}{code}")
    elif number in WITH_PORTS and rule.low is not None:
        words.append(f"{_PROTOCOL_WORDS[number]} dport {rule.low}-{rule.high}")
    elif number is not None:
        words.append(f"meta l4proto {number}")
    return " ".join([*words, "return"])


# --- ip: whose address is seen -----------------------------------------------------------------


def _translate(desired: Desired, metadata_port: int) -> list[str]:
    bridges = [bridge for bridge in desired.bridges if bridge.subnets]
    if not bridges:
        return []
    ours = _set(f'"{bridge.name}"' for bridge in bridges)
    masquerade = [
        f"ip saddr {subnet.cidr} oifname != {ours} masquerade"
        for bridge in bridges
        for subnet in bridge.subnets
        if subnet.gateway_ip and subnet.version == 4
    ]
    redirect = (
        f"iifname {ours} ip daddr {METADATA_ADDRESS} tcp dport 80 redirect to :{metadata_port}"
    )
    inward = [f"ip daddr {floating} dnat to {fixed}" for floating, fixed in desired.floating]
    outward = [
        f"ip saddr {fixed} oifname != {ours} snat to {floating}"
        for floating, fixed in desired.floating
    ]
    return [
        *_chain("inward", [redirect, *inward], _hook("nat", "prerouting", -100)),
        *_chain("from_host", inward, _hook("nat", "output", -100)),
        *_chain("outward", [*outward, *masquerade], _hook("nat", "postrouting", 100)),
    ]


def _family(ip: str) -> str:
    return "ip6" if ":" in ip else "ip"


def _group(group_id: str, version: int) -> str:
    return ("group_" if version == 4 else "group6_") + group_id.replace("-", "")


def _set(items: Iterable[str]) -> str:
    return f"{{ {', '.join(dict.fromkeys(items))} }}"
