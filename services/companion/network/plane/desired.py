# SPDX-License-Identifier: Apache-2.0
"""What there should be on this host, read from the store in a fixed number of statements."""

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.engine import Connection

from services.companion.network import addresses, names
from services.companion.store import tables


@dataclass(frozen=True)
class Subnet:
    """A subnet of a bridge. `service_ip` is the host's address on it.

    `ra_mode`, `address_mode`: how IPv6 guests learn their addresses; None: by other means.
    """

    id: str
    cidr: str
    service_ip: str
    gateway_ip: str | None
    dhcp: bool
    dns: tuple[str, ...] = ()
    routes: tuple[tuple[str, str], ...] = ()
    ra_mode: str | None = None
    address_mode: str | None = None

    @property
    def version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.cidr else 4

    @property
    def interface(self) -> str:
        """The service address with its prefix length."""
        return f"{self.service_ip}/{ipaddress.ip_network(self.cidr).prefixlen}"


@dataclass(frozen=True)
class Bridge:
    """A network. `cut_off`: it has routers, and all are down: nothing is routed to or from it."""

    network_id: str
    mtu: int
    subnets: tuple[Subnet, ...] = ()
    floating_ips: tuple[str, ...] = ()
    cut_off: bool = False

    @property
    def name(self) -> str:
        """The device."""
        return names.bridge(self.network_id)

    @property
    def has_ipv6(self) -> bool:
        """Whether it carries IPv6."""
        return any(subnet.version == 6 for subnet in self.subnets)


@dataclass(frozen=True)
class Rule:
    """What a security group lets through; empty fields match everything."""

    direction: str
    protocol: str | None = None
    low: int | None = None
    high: int | None = None
    remote_prefix: str | None = None
    remote_group: str | None = None
    version: int = 4


@dataclass(frozen=True)
class Port:
    """A guest's place on a bridge. `guarded` False: it may send and get what it likes.

    `options`: what DHCP says to it alone: IP version, name or number, value.
    """

    id: str
    network_id: str
    mac: str
    ips: tuple[str, ...]
    guarded: bool = True
    pairs: tuple[tuple[str, str], ...] = ()
    rules: tuple[Rule, ...] = ()
    host_name: str = ""
    options: tuple[tuple[int, str, str], ...] = ()

    @property
    def has_ipv6(self) -> bool:
        """Whether it speaks IPv6, and so has a link-local address too."""
        return any(":" in address for address in (*self.ips, *(ip for ip, _ in self.pairs)))

    @property
    def link_local(self) -> str:
        """The link-local address that its MAC makes."""
        return addresses.from_mac("fe80::/64", self.mac)

    @property
    def tap(self) -> str:
        """The device."""
        return names.tap(self.id)


@dataclass(frozen=True)
class Desired:
    """All of it.

    `members`: addresses of each group that rules refer to. `routers`: networks that each joins
    that is up.
    `floating`: floating and fixed addresses of those that are in use.
    """

    bridges: tuple[Bridge, ...] = ()
    ports: tuple[Port, ...] = ()
    members: dict[str, tuple[str, ...]] = field(default_factory=dict)
    routers: tuple[frozenset[str], ...] = ()
    floating: tuple[tuple[str, str], ...] = ()


def read(conn: Connection, hosts: Iterable[str], dns_servers: Sequence[str] = ()) -> Desired:
    """What there should be on these hosts."""
    bridges = _bridges(conn, dns_servers)
    ports = _ports(conn, list(hosts))
    groups = {rule.remote_group for port in ports for rule in port.rules if rule.remote_group}
    return Desired(
        bridges=bridges,
        ports=ports,
        members=_members(conn, sorted(groups)),
        routers=_routers(conn),
        floating=_floating(conn),
    )


def _bridges(conn: Connection, dns_servers: Sequence[str]) -> tuple[Bridge, ...]:
    n, s = tables.networks.c, tables.subnets.c
    subnets: dict[str, list[Subnet]] = defaultdict(list)
    # IPv4 first: what is redirected goes to a device's first address.
    wanted = select(tables.subnets).order_by(s.ip_version, s.created_at, s.id)
    for row in conn.execute(wanted).mappings():
        subnets[row["network_id"]].append(_subnet(dict(row), dns_servers))
    f = tables.floatingips.c
    floating: dict[str, list[str]] = defaultdict(list)
    used = select(f.floating_network_id, f.floating_ip_address).where(f.port_id.is_not(None))
    for network_id, address in conn.execute(used.order_by(f.floating_ip_address)):
        floating[network_id].append(address)
    down = _behind_routers_that_are_down(conn)
    rows = conn.execute(select(n.id, n.mtu).order_by(n.id))
    return tuple(
        Bridge(row.id, row.mtu, tuple(subnets[row.id]), tuple(floating[row.id]), row.id in down)
        for row in rows
    )


def _behind_routers_that_are_down(conn: Connection) -> frozenset[str]:
    p, r = tables.ports.c, tables.routers.c
    rows = conn.execute(
        select(p.network_id)
        .join_from(tables.ports, tables.routers, p.device_id == r.id)
        .where(p.device_owner == "network:router_interface")
        .group_by(p.network_id)
        .having(func.count().filter(r.admin_state_up) == 0)
    )
    return frozenset(row.network_id for row in rows)


def _subnet(row: dict[str, Any], dns_servers: Sequence[str]) -> Subnet:
    return Subnet(
        id=row["id"],
        cidr=row["cidr"],
        service_ip=addresses.service_address(row),
        gateway_ip=row["gateway_ip"],
        dhcp=row["enable_dhcp"],
        dns=tuple(row["dns_nameservers"] or _of_version(dns_servers, row["ip_version"])),
        routes=tuple((r["destination"], r["nexthop"]) for r in row["host_routes"]),
        ra_mode=row["ipv6_ra_mode"],
        address_mode=row["ipv6_address_mode"],
    )


def _of_version(servers: Sequence[str], version: int) -> list[str]:
    return [server for server in servers if ipaddress.ip_address(server).version == version]


def _ports(conn: Connection, hosts: list[str]) -> tuple[Port, ...]:
    p, b = tables.ports.c, tables.port_bindings.c
    here = select(b.port_id).where(b.host.in_(hosts))
    rows = conn.execute(
        select(tables.ports).where(p.id.in_(here), p.admin_state_up).order_by(p.id)
    ).mappings()
    ports = {row["id"]: row for row in rows}
    a = tables.port_addresses.c
    ips: dict[str, list[str]] = defaultdict(list)
    for row in conn.execute(
        select(a.port_id, a.ip_address).where(a.port_id.in_(here)).order_by(a.value)
    ):
        ips[row.port_id].append(row.ip_address)
    rules = _rules(conn, here)
    return tuple(
        Port(
            id=port_id,
            network_id=row["network_id"],
            mac=row["mac_address"],
            ips=tuple(ips[port_id]),
            guarded=row["port_security_enabled"],
            pairs=tuple(
                (pair["ip_address"], pair.get("mac_address", row["mac_address"]))
                for pair in row["allowed_address_pairs"]
                if "ip_address" in pair
            ),
            rules=tuple(rules[port_id]),
            host_name=row["dns_name"],
            options=tuple(
                (option.get("ip_version", 4), option["opt_name"], option["opt_value"])
                for option in row["extra_dhcp_opts"]
            ),
        )
        for port_id, row in ports.items()
    )


def _rules(conn: Connection, port_ids: Any) -> dict[str, list[Rule]]:
    g, r = tables.port_groups.c, tables.security_group_rules.c
    found: dict[str, list[Rule]] = defaultdict(list)
    rows = conn.execute(
        select(
            g.port_id, r.direction, r.protocol, r.port_range_min, r.port_range_max,
            r.remote_ip_prefix, r.remote_group_id,
            case((r.ethertype == "IPv6", 6), else_=4),
        )
        .join_from(
            tables.port_groups, tables.security_group_rules,
            g.security_group_id == r.security_group_id,
        )
        .where(g.port_id.in_(port_ids))
        .order_by(g.port_id, r.id)
    )  # fmt: skip
    for port_id, *values in rows:
        rule = Rule(*values)
        if rule not in found[port_id]:
            found[port_id].append(rule)
    return found


def _members(conn: Connection, group_ids: list[str]) -> dict[str, tuple[str, ...]]:
    g, a = tables.port_groups.c, tables.port_addresses.c
    found: dict[str, list[str]] = {group: [] for group in group_ids}
    rows = conn.execute(
        select(g.security_group_id, a.ip_address)
        .join_from(tables.port_groups, tables.port_addresses, g.port_id == a.port_id)
        .where(g.security_group_id.in_(group_ids))
        .order_by(a.value)
    )
    for group_id, address in rows:
        found[group_id].append(address)
    return {group: tuple(dict.fromkeys(members)) for group, members in found.items()}


def _routers(conn: Connection) -> tuple[frozenset[str], ...]:
    p, r = tables.ports.c, tables.routers.c
    joined: dict[str, set[str]] = defaultdict(set)
    wanted = (
        select(p.device_id, p.network_id)
        .join_from(tables.ports, tables.routers, p.device_id == r.id)
        .where(p.device_owner == "network:router_interface", r.admin_state_up)
    )
    for router_id, network_id in conn.execute(wanted.order_by(p.device_id)):
        joined[router_id].add(network_id)
    return tuple(frozenset(networks) for networks in joined.values())


def _floating(conn: Connection) -> tuple[tuple[str, str], ...]:
    f = tables.floatingips.c
    wanted = select(f.floating_ip_address, f.fixed_ip_address).where(f.port_id.is_not(None))
    return tuple((row[0], row[1]) for row in conn.execute(wanted.order_by(f.floating_ip_address)))
