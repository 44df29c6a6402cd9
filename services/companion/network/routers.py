# SPDX-License-Identifier: Apache-2.0
"""Routers: they join networks, and say through which network the outside is reached.

Every network with a gateway has a way outside on this host, router or not: what a router adds is
that its networks reach one another, and what clients expect to see. A router that is down takes
the way outside from networks that have no other.
"""

import ipaddress
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import falcon
from sqlalchemy import delete, select
from sqlalchemy.engine import Connection

from common.ids import new_uuid
from services.companion.identity.callers import Caller, caller_of
from services.companion.network import fixed_ips, networks
from services.companion.network.ports import insert_port
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
from services.companion.web.body import answer, read_json
from services.companion.web.faults import Fault
from services.companion.web.fields import Field, flag, list_of, mapping, nullable, text

INTERFACE, GATEWAY = "network:router_interface", "network:router_gateway"
_p = tables.ports.c


class Routers(Resource):
    """`/v2.0/routers`."""

    singular, plural, title = "router", "routers", "Router"
    table = tables.routers
    fields = (
        NAME, DESCRIPTION, *PROJECT,
        Field("admin_state_up", flag, default=True),
        Field("external_gateway_info", nullable(mapping), default=None),
        Field("distributed", nullable(flag), default=None, admin=True),
        Field("ha", nullable(flag), default=None, admin=True),
        Field("routes", list_of(mapping, 0)),
        Field("availability_zone_hints", list_of(text(), 0)),
    )  # fmt: skip

    def show_all(self, conn: Connection, rows: Sequence[Row], caller: Caller) -> list[Row]:
        """Routers with their gateways' addresses."""
        ids = [row["id"] for row in rows]
        gateways = {
            port.device_id: port.id
            for port in conn.execute(
                select(_p.device_id, _p.id).where(
                    _p.device_id.in_(ids), _p.device_owner == GATEWAY
                )
            )
        }  # fmt: skip
        addresses = fixed_ips.of_ports(conn, list(gateways.values()))
        shown = []
        for row in rows:
            info = row["external_gateway_info"]
            if info is not None:
                info = {**info, "external_fixed_ips": addresses[gateways.get(row["id"], "")]}
            shown.append(
                {
                    **self.standard(row), "status": "ACTIVE", "external_gateway_info": info,
                    "distributed": False, "ha": False, "availability_zones": [],
                    "availability_zone_hints": [], "flavor_id": None,
                }
            )  # fmt: skip
        return shown

    def create(self, conn: Connection, caller: Caller, row: Row) -> None:
        """A new router."""
        info = row["external_gateway_info"] or None
        row["external_gateway_info"] = None
        insert_row(conn, self.table, row)
        self._set_gateway(conn, caller, row, info)

    def change(self, conn: Connection, caller: Caller, row: Row, values: Row) -> None:
        """A changed router; another or no gateway."""
        if "external_gateway_info" in values:
            info = values.pop("external_gateway_info") or None
            self._set_gateway(conn, caller, row, info)
        update_row(conn, self.table, row["id"], values)

    def remove(self, conn: Connection, caller: Caller, row: Row) -> None:
        """No router, while it joins nothing."""
        interface = select(_p.id).where(_p.device_id == row["id"], _p.device_owner == INTERFACE)
        if conn.scalar(interface.limit(1)):
            words = f"Router {row['id']} still has ports"
            raise Fault(409, words, kind="RouterInUse")
        conn.execute(delete(tables.ports).where(_p.device_id == row["id"]))
        conn.execute(delete(self.table).where(self.table.c.id == row["id"]))

    def on_put_join(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """`add_router_interface`: join a subnet, by its gateway's address or by a port."""
        caller, given = caller_of(req), _given(read_json(req))
        with self._store.write() as conn:
            router = self.find_own(conn, caller, item_id)
            if "port_id" in given:
                port = self._adopt(conn, caller, router, given["port_id"])
            else:
                port = self.join(conn, caller, router, given["subnet_id"])
            shown = _interface(conn, router, port)
        self._plane.wake()
        answer(resp, shown)

    def on_put_leave(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """`remove_router_interface`: leave a subnet."""
        caller, given = caller_of(req), _given(read_json(req))
        with self._store.write() as conn:
            router = self.find_own(conn, caller, item_id)
            wanted = select(tables.ports).where(
                _p.device_id == router["id"], _p.device_owner == INTERFACE
            )
            if "port_id" in given:
                wanted = wanted.where(_p.id == given["port_id"])
            else:
                a = tables.port_addresses.c
                there = select(a.port_id).where(a.subnet_id == given["subnet_id"])
                wanted = wanted.where(_p.id.in_(there))
            port = conn.execute(wanted).mappings().first()
            if port is None:
                words = f"Router {router['id']} has no interface on this subnet or port."
                raise Fault(404, words, kind="RouterInterfaceNotFoundForSubnet")
            shown = _interface(conn, router, dict(port))
            conn.execute(delete(tables.ports).where(_p.id == port["id"]))
        self._plane.wake()
        answer(resp, shown)

    def _set_gateway(self, conn: Connection, caller: Caller, row: Row, info: Row | None) -> None:
        conn.execute(
            delete(tables.ports).where(_p.device_id == row["id"], _p.device_owner == GATEWAY)
        )
        if info is not None:
            network = external_network(conn, caller, info.get("network_id"))
            self._new_port(conn, row, GATEWAY, network["id"], None)
            snat = info.get("enable_snat", True)
            info = {"network_id": network["id"], "enable_snat": bool(snat)}
        update_row(conn, self.table, row["id"], {"external_gateway_info": info})

    def join(self, conn: Connection, caller: Caller, router: Row, subnet_id: str) -> Row:
        """The port by which a router is on a subnet from now on. Raises Fault 400, 404, 409."""
        s, n = tables.subnets.c, tables.networks.c
        usable = select(n.id).where(networks.may_use(caller))
        subnet = conn.execute(
            select(tables.subnets).where(s.id == subnet_id, s.network_id.in_(usable))
        ).mappings().one_or_none()  # fmt: skip
        if subnet is None:
            words = f"Subnet {fields.shown(subnet_id)} could not be found."
            raise Fault(404, words, kind="SubnetNotFound")
        if subnet["gateway_ip"] is None:
            words = f"Subnet for router interface must have a gateway IP: {subnet_id}"
            raise Fault(400, words, kind="BadRequest")
        _refuse_overlap(conn, router, dict(subnet))
        address = [{"subnet_id": subnet["id"], "ip_address": subnet["gateway_ip"]}]
        return self._new_port(conn, router, INTERFACE, subnet["network_id"], address)

    def _adopt(self, conn: Connection, caller: Caller, router: Row, port_id: str) -> Row:
        port = conn.execute(select(tables.ports).where(_p.id == port_id)).mappings().one_or_none()
        if port is None or not (caller.is_admin or port["project_id"] == caller.project_id):
            raise Fault(404, f"Port {fields.shown(port_id)} could not be found.",
                        kind="PortNotFound")  # fmt: skip
        if port["device_id"]:
            raise Fault(409, f"Port {port_id} is in use.", kind="PortInUse")
        owner = {"device_id": router["id"], "device_owner": INTERFACE}
        update_row(conn, tables.ports, port_id, owner)
        return {**port, **owner}

    def _new_port(
        self, conn: Connection, router: Row, owner: str, network_id: str, ips: Any
    ) -> Row:
        return service_port(
            conn, self.now(), network_id=network_id, project_id=router["project_id"],
            device_id=router["id"], device_owner=owner, ips=ips,
        )  # fmt: skip


def _refuse_overlap(conn: Connection, router: Row, wanted: Row) -> None:
    """A router routes between its subnets: each address of them is in one only."""
    s, a = tables.subnets.c, tables.port_addresses.c
    joined = (
        select(s.id, s.cidr)
        .join_from(tables.subnets, tables.port_addresses, a.subnet_id == s.id)
        .join(tables.ports, _p.id == a.port_id)
        .where(_p.device_id == router["id"], _p.device_owner == INTERFACE, s.id != wanted["id"])
    )
    network = ipaddress.ip_network(wanted["cidr"])
    for other_id, cidr in conn.execute(joined):
        if network.overlaps(ipaddress.ip_network(cidr)):
            raise Fault(
                400,
                f"Bad router request: Cidr {network} of subnet {wanted['id']} overlaps with cidr "
                f"{cidr} of subnet {other_id}.",
                kind="BadRequest",
            )


def service_port(
    conn: Connection, now: str, *, network_id: str, project_id: str, device_id: str,
    device_owner: str, ips: list[dict[str, str]] | None,
) -> Row:  # fmt: skip
    """A port of the network service itself; no guest is ever on it."""
    row = {
        "id": new_uuid(), "name": "", "project_id": project_id, "created_at": now,
        "updated_at": now, "network_id": network_id, "device_id": device_id,
        "device_owner": device_owner, "port_security_enabled": False,
        "binding:vnic_type": "normal",
    }  # fmt: skip
    insert_port(conn, row)
    fixed_ips.assign(conn, row, ips)
    return row


def external_network(conn: Connection, caller: Caller, network_id: Any) -> Row:
    """An external network that the caller may use. Raises Fault 400 or 404."""
    n = tables.networks.c
    wanted = select(tables.networks).where(n.id == str(network_id), networks.may_use(caller))
    network = conn.execute(wanted).mappings().one_or_none()
    if network is None:
        words = f"Network {fields.shown(network_id)} could not be found."
        raise Fault(404, words, kind="NetworkNotFound")
    if not network["router:external"]:
        words = f"Network {network['id']} is not a valid external network."
        raise Fault(400, words, kind="BadRequest")
    return dict(network)


def router_of(conn: Connection, port_ids: Sequence[str]) -> dict[str, str]:
    """The router on the network of each port."""
    interface, port = tables.ports.alias("interface"), tables.ports.alias("port")
    found: dict[str, str] = defaultdict(str)
    rows = conn.execute(
        select(port.c.id, interface.c.device_id)
        .join_from(port, interface, port.c.network_id == interface.c.network_id)
        .where(port.c.id.in_(port_ids), interface.c.device_owner == INTERFACE)
    )
    for port_id, router_id in rows:
        found[port_id] = router_id
    return found


def _given(body: Any) -> dict[str, str]:
    """`subnet_id` or `port_id`, exactly one. Raises Fault 400."""
    if isinstance(body, dict):
        given = {k: body[k] for k in ("subnet_id", "port_id") if isinstance(body.get(k), str)}
        if len(given) == 1:
            return given
    raise Fault(400, "Either subnet_id or port_id must be given.", kind="BadRequest")


def _interface(conn: Connection, router: Row, port: Row) -> Row:
    subnets = [ip["subnet_id"] for ip in fixed_ips.of_ports(conn, [port["id"]])[port["id"]]]
    return {
        "id": router["id"],
        "tenant_id": router["project_id"], "project_id": router["project_id"],
        "port_id": port["id"], "network_id": port["network_id"],
        "subnet_id": next(iter(subnets), ""),        "subnet_ids": subnets, "tags": [],
    }  # fmt: skip
