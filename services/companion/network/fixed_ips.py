# SPDX-License-Identifier: Apache-2.0
"""Addresses of ports."""

import ipaddress
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, false, insert, or_, select
from sqlalchemy import exc as sa
from sqlalchemy.engine import Connection

from services.companion.network import addresses
from services.companion.store import tables
from services.companion.web.faults import Fault

Row = dict[str, Any]
_a = tables.port_addresses.c


def of_ports(conn: Connection, port_ids: Sequence[str]) -> dict[str, list[dict[str, str]]]:
    """`fixed_ips` of each port, in the order of the addresses."""
    found: dict[str, list[dict[str, str]]] = defaultdict(list)
    wanted = select(tables.port_addresses).where(_a.port_id.in_(port_ids)).order_by(_a.value)
    for row in conn.execute(wanted):
        found[row.port_id].append({"subnet_id": row.subnet_id, "ip_address": row.ip_address})
    return found


def match(values: Sequence[str]) -> ColumnElement[bool]:
    """The filter `fixed_ips=ip_address=X` or `subnet_id=X`: ports that match any of the values."""
    conditions: list[ColumnElement[bool]] = [false()]
    for value in values:
        name, _, wanted = value.partition("=")
        if name == "ip_address":
            conditions.append(_a.ip_address == _usual(wanted))
        elif name == "ip_address_substr":
            conditions.append(_a.ip_address.contains(wanted, autoescape=True))
        elif name == "subnet_id":
            conditions.append(_a.subnet_id == wanted)
    return tables.ports.c.id.in_(select(_a.port_id).where(or_(*conditions)))


def _usual(address: str) -> str:
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


def assign(conn: Connection, port: Row, wanted: list[dict[str, str]] | None) -> None:
    """Give a new port the addresses it asks for; one of the network's when it says nothing.

    Raises Fault 400 (no such subnet, not of it), 409 (taken, exhausted).
    """
    s = tables.subnets.c
    query = select(tables.subnets).where(s.network_id == port["network_id"])
    subnets = [dict(row) for row in conn.execute(query.order_by(s.created_at, s.id)).mappings()]
    if wanted is None:
        _assign_any(conn, port, subnets)
        return
    for item in wanted:
        subnet = _subnet_for(item, subnets)
        address = item.get("ip_address")
        if address is None:
            address = _new_address(conn, port, subnet)
        _insert(conn, port, subnet, address)


def replace(conn: Connection, port: Row, wanted: list[dict[str, str]]) -> None:
    """Make `wanted` the port's addresses, keeping those it has already."""
    known = of_ports(conn, [port["id"]])[port["id"]]
    kept: list[dict[str, str]] = []
    missing: list[dict[str, str]] = []
    for item in wanted:
        same = next((k for k in known if k not in kept and item.items() <= k.items()), None)
        if same is None:
            missing.append(item)
        else:
            kept.append(same)
    for gone in (k for k in known if k not in kept):
        conn.execute(
            delete(tables.port_addresses).where(
                _a.subnet_id == gone["subnet_id"], _a.value == addresses.key(gone["ip_address"])
            )
        )
    assign(conn, port, missing)


def _assign_any(conn: Connection, port: Row, subnets: list[Row]) -> None:
    """One of each IP version, from the first subnet with room, and one of every subnet in which
    guests give themselves addresses.
    """
    for version in (4, 6):
        candidates = [s for s in subnets if s["ip_version"] == version and not _is_by_mac(s)]
        for subnet in candidates:
            try:
                _insert(conn, port, subnet, addresses.next_free(conn, subnet))
            except Fault:
                if subnet is candidates[-1]:
                    raise
            else:
                break
    # A router's or a service's own port is where it is put.
    if not str(port.get("device_owner")).startswith("network:"):
        for subnet in filter(_is_by_mac, subnets):
            _insert(conn, port, subnet, _new_address(conn, port, subnet))


def _is_by_mac(subnet: Row) -> bool:
    """Whether a guest's MAC decides what its address is."""
    return subnet["ipv6_address_mode"] in ("slaac", "dhcpv6-stateless")


def _new_address(conn: Connection, port: Row, subnet: Row) -> str:
    if _is_by_mac(subnet) and not str(port.get("device_owner")).startswith("network:"):
        return addresses.from_mac(subnet["cidr"], port["mac_address"])
    return addresses.next_free(conn, subnet)


def _subnet_for(item: dict[str, str], subnets: list[Row]) -> Row:
    address = item.get("ip_address")
    chosen = [s for s in subnets if s["id"] == item.get("subnet_id", s["id"])]
    if address is not None:
        inside = ipaddress.ip_address(address)
        chosen = [s for s in chosen if inside in ipaddress.ip_network(s["cidr"])]
    if chosen:
        return chosen[0]
    if address is not None:
        words = f"IP address {address} is not a valid IP for any of the subnets on the network."
        raise Fault(400, words, kind="InvalidIpForNetwork")
    raise Fault(400, "Failed to create port on network: the fixed IP names a subnet that is not of "
                "the network.", kind="InvalidInput")  # fmt: skip


def _insert(conn: Connection, port: Row, subnet: Row, address: str) -> None:
    network = ipaddress.ip_network(subnet["cidr"])
    least, most = addresses.usable_range(network)
    if not int(least) <= int(ipaddress.ip_address(address)) <= int(most):
        raise Fault(400, f"IP address {address} is not a valid IP for the specified subnet.",
                    kind="InvalidIpForSubnet")  # fmt: skip
    taken = Fault(
        409,
        f"IP address {address} already allocated in subnet {subnet['id']}",
        kind="IpAddressAlreadyAllocated",
    )
    # Only a router's port may have the address that the host itself holds.
    is_router = str(port.get("device_owner")).startswith("network:router")
    if address == addresses.service_address(subnet) and not is_router:
        raise taken
    row = {
        "subnet_id": subnet["id"],
        "value": addresses.key(address),
        "ip_address": address,
        "port_id": port["id"],
    }
    try:
        conn.execute(insert(tables.port_addresses).values(row))
    except sa.IntegrityError as clash:
        raise taken from clash
