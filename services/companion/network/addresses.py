# SPDX-License-Identifier: Apache-2.0
"""Addresses of subnets: which exist, which are free, which comes next.

All arithmetic is on numbers; the store keeps them as 32 hexadecimal digits, so both versions sort.
"""

import ipaddress
from collections.abc import Iterator
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.engine import Connection

from services.companion.store import tables
from services.companion.web.faults import Fault

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Row = dict[str, Any]

_WINDOW = 256


def key(address: str | Address) -> str:
    """The sortable form of an address."""
    return f"{int(ipaddress.ip_address(address)):032x}"


def service_address(subnet: Row) -> str:
    """The address that the host itself has on the subnet: the gateway's, or the last one."""
    network = ipaddress.ip_network(subnet["cidr"])
    last = network.broadcast_address - (1 if network.version == 4 else 0)
    return str(subnet["gateway_ip"] or last)


def from_mac(cidr: str, mac: str) -> str:
    """The address in an IPv6 network that a guest with this MAC gives itself (EUI-64)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    own = bytes((octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]))
    network = ipaddress.IPv6Network(cidr)
    return str(network.network_address + int.from_bytes(own, "big"))


def default_pools(network: Network, gateway: str | None) -> list[dict[str, str]]:
    """Every address of the network that is not its ends' or the gateway's."""
    least, most = usable_range(network)
    if gateway is None:
        return [{"start": str(least), "end": str(most - 1)}]
    middle = ipaddress.ip_address(gateway)
    parts = [(least, middle - 1), (middle + 1, most)]
    if not least <= middle <= most:
        parts = [(least, most)]
    return [{"start": str(a), "end": str(b)} for a, b in parts if int(a) <= int(b)]


def usable_range(network: Network) -> tuple[Any, Any]:
    """First and last address that a guest may have."""
    last = network.broadcast_address - (1 if network.version == 4 else 0)
    return network.network_address + 1, last


def next_free(conn: Connection, subnet: Row) -> str:
    """An address that nobody has, the first behind the one given out last.

    Raises Fault 409 when the pools are exhausted.
    """
    own = key(service_address(subnet))
    for start, end in _windows(subnet):
        taken = _taken(conn, subnet["id"], start, end)
        for number in range(start, end + 1):
            candidate = f"{number:032x}"
            if candidate not in taken and candidate != own:
                ours = tables.subnets.c.id == subnet["id"]
                conn.execute(update(tables.subnets).where(ours).values(cursor=candidate))
                return _text(number, subnet["ip_version"])
    raise Fault(
        409,
        f"No more IP addresses available on network {subnet['network_id']}.",
        kind="IpAddressGenerationFailure",
    )


def _windows(subnet: Row) -> Iterator[tuple[int, int]]:
    """The pools in pieces, beginning behind the cursor and ending with what is before it."""
    cursor = int(subnet["cursor"] or "0", 16)
    pools = [
        (int(ipaddress.ip_address(p["start"])), int(ipaddress.ip_address(p["end"])))
        for p in subnet["allocation_pools"]
    ]
    behind = [(max(start, cursor + 1), end) for start, end in pools]
    before = [(start, min(end, cursor)) for start, end in pools]
    for first, last in [*behind, *before]:
        for start in range(first, last + 1, _WINDOW):
            yield start, min(last, start + _WINDOW - 1)


def _taken(conn: Connection, subnet_id: str, start: int, end: int) -> set[str]:
    a = tables.port_addresses.c
    between = a.value.between(f"{start:032x}", f"{end:032x}")
    return set(conn.scalars(select(a.value).where(a.subnet_id == subnet_id, between)))


def _text(number: int, version: int) -> str:
    kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    return str(kind(number))
