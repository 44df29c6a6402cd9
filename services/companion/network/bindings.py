# SPDX-License-Identifier: Apache-2.0
"""Where a port is: `binding:*`, and the bindings of a live migration."""

from collections.abc import Sequence
from typing import Any

import falcon
from sqlalchemy import ColumnElement, delete, false, insert, not_, or_, select, update
from sqlalchemy import exc as sa
from sqlalchemy.engine import Connection

from services.companion.identity.callers import Caller, caller_of
from services.companion.network import names
from services.companion.network.plane.keeper import Plane
from services.companion.store import tables
from services.companion.store.engine import Store
from services.companion.web import fields
from services.companion.web.body import answer, read_object
from services.companion.web.faults import Fault
from services.companion.web.fields import Field, mapping, nullable, text

Row = dict[str, Any]
ACTIVE, INACTIVE, DOWN = "ACTIVE", "INACTIVE", "DOWN"
# Routers, floating IPs: no guest is behind them.
OWN_PREFIX = "network:"
_b = tables.port_bindings.c


def active(conn: Connection, port_ids: Sequence[str]) -> dict[str, Row]:
    """The active binding of each port that has one."""
    wanted = select(tables.port_bindings).where(_b.port_id.in_(port_ids), _b.status == ACTIVE)
    return {row["port_id"]: dict(row) for row in conn.execute(wanted).mappings()}


def on_hosts(hosts: Sequence[str]) -> ColumnElement[bool]:
    """Ports bound to one of the hosts."""
    bound = select(_b.port_id).where(_b.host.in_(hosts), _b.status == ACTIVE)
    return tables.ports.c.id.in_(bound)


def with_status(values: Sequence[str], *, plugs: bool) -> ColumnElement[bool]:
    """Ports of one of the statuses: ACTIVE when bound or the network service's own, else DOWN.

    Without `plugs` nothing plugs what is bound.
    """
    up: ColumnElement[bool] = tables.ports.c.device_owner.startswith(OWN_PREFIX)
    if plugs:
        bound = select(_b.port_id).where(_b.status == ACTIVE)
        up = or_(up, tables.ports.c.id.in_(bound))
    wanted = [condition for word, condition in ((ACTIVE, up), (DOWN, not_(up))) if word in values]
    return or_(false(), *wanted)


def status(port: Row, binding: Row | None, *, plugs: bool) -> str:
    """The status of one port, as by `with_status`."""
    own = port["device_owner"].startswith(OWN_PREFIX)
    return ACTIVE if (binding and plugs) or own else DOWN


def bind(conn: Connection, port: Row, host: str, profile: Row) -> None:
    """Make `host` the port's one place. Again: the profile is what was said last."""
    unbind(conn, port["id"])
    row = {
        "port_id": port["id"], "host": host, "status": ACTIVE, "profile": profile,
        "vnic_type": port["binding:vnic_type"],
    }  # fmt: skip
    conn.execute(insert(tables.port_bindings).values(row))


def unbind(conn: Connection, port_id: str) -> None:
    """The port is nowhere."""
    conn.execute(delete(tables.port_bindings).where(_b.port_id == port_id))


def shown(port: Row, binding: Row | None, *, for_admin: bool) -> Row:
    """The `binding:` attributes of a port; where it is, only administrators see."""
    visible: Row = {"binding:vnic_type": port["binding:vnic_type"]}
    if for_admin:
        visible |= {
            "binding:host_id": binding["host"] if binding else "",
            "binding:profile": binding["profile"] if binding else {},
            "binding:vif_type": "bridge" if binding else "unbound",
            "binding:vif_details": _details(port) if binding else {},
        }
    return visible


def _details(port: Row) -> Row:
    return {
        "bridge_name": names.bridge(port["network_id"]),
        "port_filter": True,
        "connectivity": "l2",
    }


_FIELDS = (
    Field("host", text(255, 1), required=True, update=False),
    Field("profile", nullable(mapping), default=dict),
    Field("vnic_type", text(64, 1), default="normal"),
)


class PortBindings:
    """`/v2.0/ports/{port}/bindings[/{host}[/activate]]`: for services and administrators."""

    def __init__(self, store: Store, plane: Plane) -> None:
        self._store = store
        self._plane = plane

    def on_get(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """Every binding of the port."""
        with self._store.read() as conn:
            port = _find_port(conn, caller_of(req), item_id)
            rows = conn.execute(
                select(tables.port_bindings).where(_b.port_id == port["id"]).order_by(_b.host)
            ).mappings()
            bindings = [_show(port, dict(row)) for row in rows]
        answer(resp, {"bindings": bindings})

    def on_post(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """One more, inactive beside an active one."""
        values = fields.on_create(_FIELDS, read_object(req, "binding"))
        with self._store.write() as conn:
            port = _find_port(conn, caller_of(req), item_id)
            status = INACTIVE if active(conn, [port["id"]]) else ACTIVE
            row = {**values, "profile": values["profile"] or {}, "port_id": port["id"],
                   "status": status}  # fmt: skip
            try:
                conn.execute(insert(tables.port_bindings).values(row))
            except sa.IntegrityError as clash:
                words = f"Binding for port {port['id']} on host {row['host']} already exists."
                raise Fault(409, words, kind="PortBindingAlreadyExists") from clash
        self._plane.wake()
        answer(resp, {"binding": _show(port, row)}, 201)

    def on_get_one(
        self, req: falcon.Request, resp: falcon.Response, item_id: str, host: str
    ) -> None:
        """One binding."""
        with self._store.read() as conn:
            port = _find_port(conn, caller_of(req), item_id)
            row = _find(conn, port["id"], host)
        answer(resp, {"binding": _show(port, row)})

    def on_put_one(
        self, req: falcon.Request, resp: falcon.Response, item_id: str, host: str
    ) -> None:
        """Another profile or VNIC type."""
        values = fields.on_update(_FIELDS, read_object(req, "binding"))
        with self._store.write() as conn:
            port = _find_port(conn, caller_of(req), item_id)
            row = _find(conn, port["id"], host) | values
            row["profile"] = row["profile"] or {}
            ours = (_b.port_id == port["id"]) & (_b.host == host)
            conn.execute(update(tables.port_bindings).where(ours).values(row))
        answer(resp, {"binding": _show(port, row)})

    def on_delete_one(
        self, req: falcon.Request, resp: falcon.Response, item_id: str, host: str
    ) -> None:
        """One binding less."""
        with self._store.write() as conn:
            port = _find_port(conn, caller_of(req), item_id)
            _find(conn, port["id"], host)
            ours = (_b.port_id == port["id"]) & (_b.host == host)
            conn.execute(delete(tables.port_bindings).where(ours))
        self._plane.wake()
        resp.status = 204

    def on_put_activate(
        self, req: falcon.Request, resp: falcon.Response, item_id: str, host: str
    ) -> None:
        """This binding is the active one, the other inactive."""
        with self._store.write() as conn:
            port = _find_port(conn, caller_of(req), item_id)
            row = _find(conn, port["id"], host)
            if row["status"] == ACTIVE:
                words = f"Binding for port {port['id']} on host {host} is already active."
                raise Fault(409, words, kind="PortBindingAlreadyActive")
            for condition, status in ((_b.host != host, INACTIVE), (_b.host == host, ACTIVE)):
                ours = (_b.port_id == port["id"]) & condition
                conn.execute(update(tables.port_bindings).where(ours).values(status=status))
        self._plane.wake()
        answer(resp, {"binding": _show(port, {**row, "status": ACTIVE})})


def _find_port(conn: Connection, caller: Caller, port_id: str) -> Row:
    if not caller.is_service:
        raise Fault(403, "Bindings are for services and administrators.")
    p = tables.ports.c
    row = conn.execute(select(tables.ports).where(p.id == port_id)).mappings().one_or_none()
    if row is None:
        words = f"Port {fields.shown(port_id)} could not be found."
        raise Fault(404, words, kind="PortNotFound")
    return dict(row)


def _find(conn: Connection, port_id: str, host: str) -> Row:
    wanted = select(tables.port_bindings).where(_b.port_id == port_id, _b.host == host)
    row = conn.execute(wanted).mappings().one_or_none()
    if row is None:
        words = f"Binding for port {port_id} on host {fields.shown(host)} could not be found."
        raise Fault(404, words, kind="PortBindingNotFound")
    return dict(row)


def _show(port: Row, row: Row) -> Row:
    shown_row = {k: v for k, v in row.items() if k != "port_id"}
    return {**shown_row, "vif_type": "bridge", "vif_details": _details(port)}
