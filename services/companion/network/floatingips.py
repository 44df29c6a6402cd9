# SPDX-License-Identifier: Apache-2.0
"""Floating IPs: addresses of an external network that stand for a port's."""

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.engine import Connection

from common.clock import Clock
from services.companion.identity.callers import Caller
from services.companion.network import fixed_ips
from services.companion.network.plane.keeper import Plane
from services.companion.network.port_events import CHANGED, PortEvents
from services.companion.network.resource import (
    DESCRIPTION,
    PROJECT,
    Resource,
    Row,
    insert_row,
    update_row,
)
from services.companion.network.routers import external_network, router_of, service_port
from services.companion.store import tables
from services.companion.store.engine import Store
from services.companion.web import fields
from services.companion.web.faults import Fault
from services.companion.web.fields import Field, nullable, text

_f, _p = tables.floatingips.c, tables.ports.c
OWNER = "network:floatingip"


class FloatingIps(Resource):
    """`/v2.0/floatingips`."""

    singular, plural, title = "floatingip", "floatingips", "FloatingIP"
    table = tables.floatingips
    fields = (
        DESCRIPTION, *PROJECT,
        Field("floating_network_id", fields.uuid, required=True, update=False),
        Field("floating_ip_address", nullable(fields.address), default=None, update=False,
              admin=True),
        Field("subnet_id", nullable(fields.uuid), default=None, update=False),
        Field("port_id", nullable(fields.uuid), default=None),
        Field("fixed_ip_address", nullable(fields.address), default=None),
        Field("dns_name", text(0)), Field("dns_domain", text(0)),
    )  # fmt: skip

    def __init__(self, store: Store, clock: Clock, plane: Plane, events: PortEvents) -> None:
        super().__init__(store, clock, plane)
        self._events = events

    def show_all(self, conn: Connection, rows: Sequence[Row], caller: Caller) -> list[Row]:
        """Floating IPs; ACTIVE while they stand for a port."""
        routers = router_of(conn, [row["port_id"] for row in rows if row["port_id"]])
        hidden = ("owner_port_id", "name")
        return [
            {
                **{k: v for k, v in self.standard(row).items() if k not in hidden},
                "status": "ACTIVE" if row["port_id"] else "DOWN",
                "fixed_ip_address": row["fixed_ip_address"] if row["port_id"] else None,
                "router_id": routers.get(row["port_id"] or "") or None,
                "port_details": None,
            }
            for row in rows
        ]

    def create(self, conn: Connection, caller: Caller, row: Row) -> None:
        """A new one, for a port or for later."""
        network = external_network(conn, caller, row["floating_network_id"])
        wanted = {
            name: row[key]
            for name, key in (("ip_address", "floating_ip_address"), ("subnet_id", "subnet_id"))
            if row[key] is not None
        }
        owner = service_port(
            conn, self.now(), network_id=network["id"], project_id="", device_id=row["id"],
            device_owner=OWNER, ips=[wanted] if wanted else None,
        )  # fmt: skip
        given = fixed_ips.of_ports(conn, [owner["id"]])[owner["id"]]
        if not given:
            words = f"Network {network['id']} has no subnet to take a floating IP from."
            raise Fault(409, words, kind="IpAddressGenerationFailure")
        row |= {"owner_port_id": owner["id"], "floating_ip_address": given[0]["ip_address"]}
        self._point(conn, caller, row, row)
        insert_row(conn, self.table, row)
        self._tell(conn, row["port_id"])

    def change(self, conn: Connection, caller: Caller, row: Row, values: Row) -> None:
        """Another port, or none."""
        if "port_id" in values or "fixed_ip_address" in values:
            merged = {**row, "fixed_ip_address": None, **values}
            self._point(conn, caller, merged, values)
        update_row(conn, self.table, row["id"], values)
        for port_id in {row["port_id"], values.get("port_id", row["port_id"])}:
            self._tell(conn, port_id)

    def remove(self, conn: Connection, caller: Caller, row: Row) -> None:
        """The address is free again."""
        self._tell(conn, row["port_id"])
        conn.execute(delete(tables.ports).where(_p.id == row["owner_port_id"]))

    def _tell(self, conn: Connection, port_id: str | None) -> None:
        """The server behind a port has one address more or less."""
        wanted = select(_p.id, _p.device_id, _p.device_owner).where(_p.id == port_id)
        port = conn.execute(wanted).mappings().one_or_none()
        if port is not None:
            self._events.tell(CHANGED, dict(port))

    def _point(self, conn: Connection, caller: Caller, row: Row, values: Row) -> None:
        """Set `fixed_ip_address` of `values` to the address that `row` shall stand for."""
        port_id = row["port_id"]
        if port_id is None:
            values["fixed_ip_address"] = None
            return
        port = conn.execute(select(_p.id, _p.project_id).where(_p.id == port_id)).one_or_none()
        if port is None or not (caller.is_admin or port.project_id == caller.project_id):
            raise Fault(404, f"Port {port_id} could not be found.", kind="PortNotFound")
        own = [ip["ip_address"] for ip in fixed_ips.of_ports(conn, [port_id])[port_id]]
        own = [ip for ip in own if ":" not in ip]
        wanted = row["fixed_ip_address"] or next(iter(own), None)
        if wanted not in own or wanted is None:
            words = f"Port {port_id} does not have fixed ip {wanted}."
            raise Fault(400, words, kind="BadRequest")
        taken = select(_f.id).where(
            _f.port_id == port_id, _f.fixed_ip_address == wanted, _f.id != row["id"]
        )
        if conn.scalar(taken):
            words = f"Fixed IP {wanted} of port {port_id} has a floating IP already."
            raise Fault(409, words, kind="FloatingIPPortAlreadyAssociated")
        values["fixed_ip_address"] = wanted
