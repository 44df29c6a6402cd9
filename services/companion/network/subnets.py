# SPDX-License-Identifier: Apache-2.0
"""Subnets: addresses of a network.

No two subnets of a network may overlap. All networks of a host share its routing table: where they
are carried, not only stored, no two subnets of any networks may overlap, nor may an IPv4 one cover
what the host itself is connected to.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from sqlalchemy import ColumnElement, delete, select, true
from sqlalchemy.engine import Connection

from services.companion.identity.callers import Caller
from services.companion.network import addresses, networks
from services.companion.network.resource import (
    DESCRIPTION,
    NAME,
    PROJECT,
    Resource,
    Row,
    insert_row,
    update_row,
)
from services.companion.store import tables
from services.companion.web import fields
from services.companion.web.faults import Fault
from services.companion.web.fields import Field, flag, integer, list_of, nullable, one_of, text

_POOL = fields.struct(start=fields.address, end=fields.address)
_ROUTE = fields.struct(destination=fields.cidr, nexthop=fields.address)
_LEAST_PREFIX, _MOST_PREFIX = 8, {4: 30, 6: 126}
_MODES = one_of("slaac", "dhcpv6-stateful", "dhcpv6-stateless")


class Subnets(Resource):
    """`/v2.0/subnets`."""

    singular, plural, title = "subnet", "subnets", "Subnet"
    table = tables.subnets
    fields = (
        NAME, DESCRIPTION, *PROJECT,
        Field("network_id", fields.uuid, required=True, update=False),
        Field("ip_version", integer(4, 6), required=True, update=False),
        Field("cidr", fields.cidr, required=True, update=False),
        Field("gateway_ip", nullable(fields.address)),
        Field("enable_dhcp", flag, default=True),
        Field("allocation_pools", list_of(_POOL, 32)),
        Field("dns_nameservers", list_of(fields.address, 5), default=list),
        Field("host_routes", list_of(_ROUTE, 20), default=list),
        Field("ipv6_ra_mode", nullable(_MODES), default=None, update=False),
        Field("ipv6_address_mode", nullable(_MODES), default=None, update=False),
        Field("subnetpool_id", nullable(text(0)), update=False),
        Field("use_default_subnetpool", one_of(), update=False),
        Field("prefixlen", one_of(), update=False),
        Field("segment_id", nullable(text(0))),
        Field("service_types", list_of(text(), 0)),
    )  # fmt: skip

    def visible(self, caller: Caller) -> ColumnElement[bool]:
        """Subnets of the networks that the caller sees."""
        if caller.reads_everything:
            return true()
        n = tables.networks.c
        return self.table.c.network_id.in_(select(n.id).where(networks.may_use(caller)))

    def show_all(self, conn: Connection, rows: Sequence[Row], caller: Caller) -> list[Row]:
        """Subnets."""
        return [
            {
                **{k: v for k, v in self.standard(row).items() if k != "cursor"},
                "subnetpool_id": None,
                "segment_id": None,
                "service_types": [],
                "dns_publish_fixed_ip": False,
            }
            for row in rows
        ]

    def create(self, conn: Connection, caller: Caller, row: Row) -> None:
        """A new subnet; its project is its network's."""
        n = tables.networks.c
        owner = conn.execute(
            select(n.id, n.project_id).where(n.id == row["network_id"], networks.may_use(caller))
        ).one_or_none()
        if owner is None:
            words = f"Network {row['network_id']} could not be found."
            raise Fault(404, words, kind="NetworkNotFound")
        if owner.project_id != caller.project_id and not caller.is_admin:
            raise Fault(403, "Only the network's project may give it subnets.")
        network = _network_of(row)
        s = tables.subnets.c
        near = true() if self._plane.is_one_table else s.network_id == row["network_id"]
        known = [ipaddress.ip_network(cidr) for cidr in conn.scalars(select(s.cidr).where(near))]
        _refuse_overlap(row["network_id"], network, known)
        if "gateway_ip" not in row:
            row["gateway_ip"] = str(network.network_address + 1)
        _check_gateway(network, row["gateway_ip"])
        _check_members(network, row)
        if not row.get("allocation_pools"):
            row["allocation_pools"] = addresses.default_pools(network, row["gateway_ip"])
        _check_pools(network, row)
        insert_row(conn, self.table, {**row, "project_id": owner.project_id})

    def change(self, conn: Connection, caller: Caller, row: Row, values: Row) -> None:
        """A changed subnet; a gateway that a port has taken is refused."""
        network = ipaddress.ip_network(row["cidr"])
        merged = {**row, **values}
        _check_gateway(network, merged["gateway_ip"])
        _check_members(network, merged)
        if "allocation_pools" in values or values.get("gateway_ip"):
            _check_pools(network, merged)
        a = tables.port_addresses.c
        own = addresses.key(addresses.service_address(merged))
        if own != addresses.key(addresses.service_address(row)) and conn.scalar(
            select(a.port_id).where(a.subnet_id == row["id"], a.value == own)
        ):
            raise Fault(409, "A port has this address.", kind="GatewayIpInUse")
        update_row(conn, self.table, row["id"], values)

    def remove(self, conn: Connection, caller: Caller, row: Row) -> None:
        """No subnet, while no port has an address of it."""
        a = tables.port_addresses.c
        if conn.scalar(select(a.port_id).where(a.subnet_id == row["id"]).limit(1)):
            raise Fault(
                409,
                f"Unable to complete operation on subnet {row['id']}: One or more ports have an "
                "IP allocation from this subnet.",
                kind="SubnetInUse",
            )
        conn.execute(delete(self.table).where(self.table.c.id == row["id"]))

    def new_row(self, caller: Caller, given: Any) -> Row:
        """The row of a new subnet, which does not cover what the host is connected to."""
        row = super().new_row(caller, given)
        network = _network_of(row)
        if network.version == 4:
            # Asked here, before the transaction: programs run for it.
            _refuse_overlap(row["network_id"], network, self._plane.foreign_networks())
        return row


def _refuse_overlap(
    network_id: str, wanted: addresses.Network, known: Iterable[addresses.Network]
) -> None:
    for other in known:
        if other.version == wanted.version and other.overlaps(wanted):
            raise Fault(
                400,
                f"Invalid input for operation: Requested subnet with cidr: {wanted} for "
                f"network: {network_id} overlaps with another subnet.",
                kind="InvalidInput",
            )


def _network_of(row: Row) -> addresses.Network:
    network = ipaddress.ip_network(row["cidr"])
    if row["ip_version"] != network.version:
        raise Fault(400, f"cidr {network} is not of IP version {row['ip_version']}.",
                    kind="InvalidInput")  # fmt: skip
    if not _LEAST_PREFIX <= network.prefixlen <= _MOST_PREFIX[network.version]:
        raise Fault(400, f"cidr {network} is too large or too small.", kind="InvalidInput")
    odd = (
        network.is_loopback, network.is_multicast, network.is_link_local, network.is_unspecified,
        network.version == 4 and network.overlaps(ipaddress.ip_network("0.0.0.0/8")),
        network.version == 4 and network.overlaps(ipaddress.ip_network("127.0.0.0/8")),
        network.version == 4 and network.overlaps(ipaddress.ip_network("169.254.0.0/16")),
        network.version == 4 and network.overlaps(ipaddress.ip_network("224.0.0.0/3")),
    )  # fmt: skip
    if any(odd):
        raise Fault(400, f"cidr {network} is of no use for guests.", kind="InvalidInput")
    return network


def _check_gateway(network: addresses.Network, gateway: str | None) -> None:
    if gateway is None:
        return
    least, most = addresses.usable_range(network)
    address = ipaddress.ip_address(gateway)
    if address.version != network.version or not int(least) <= int(address) <= int(most):
        raise Fault(400, f"Gateway is not valid on subnet: {gateway}.", kind="InvalidInput")


def _check_members(network: addresses.Network, row: Row) -> None:
    for server in row["dns_nameservers"]:
        if ipaddress.ip_address(server).version != network.version:
            raise Fault(400, f"{server} is of the other IP version.", kind="InvalidInput")
    for route in row["host_routes"]:
        if set(route) != {"destination", "nexthop"}:
            raise Fault(400, "A host route has a destination and a nexthop.", kind="InvalidInput")
        versions = {
            ipaddress.ip_network(route["destination"]).version,
            ipaddress.ip_address(route["nexthop"]).version,
        }
        if versions != {network.version}:
            raise Fault(400, "A host route is of the other IP version.", kind="InvalidInput")


def _check_pools(network: addresses.Network, row: Row) -> None:
    least, most = addresses.usable_range(network)
    spans = []
    for pool in row["allocation_pools"]:
        if set(pool) != {"start", "end"}:
            raise Fault(400, "An allocation pool has start and end.", kind="InvalidInput")
        start, end = (ipaddress.ip_address(pool[name]) for name in ("start", "end"))
        inside = start.version == end.version == network.version
        if not inside or not int(least) <= int(start) <= int(end) <= int(most):
            raise Fault(400, "An allocation pool is outside of the subnet.",
                        kind="OutOfBoundsAllocationPool")  # fmt: skip
        spans.append((int(start), int(end)))
    spans.sort()
    if any(a[1] >= b[0] for a, b in pairwise(spans)):
        raise Fault(409, "Allocation pools overlap.", kind="OverlappingAllocationPools")
    if row["gateway_ip"]:
        gateway = int(ipaddress.ip_address(row["gateway_ip"]))
        if any(start <= gateway <= end for start, end in spans):
            raise Fault(409, "The gateway's address is in an allocation pool.",
                        kind="GatewayConflictWithAllocationPools")  # fmt: skip
