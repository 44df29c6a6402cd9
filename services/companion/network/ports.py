# SPDX-License-Identifier: Apache-2.0
"""Ports: a guest's place on a network."""

import secrets
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, false, insert, or_, select, true
from sqlalchemy import exc as sa
from sqlalchemy.engine import Connection

from common.clock import Clock
from services.companion.identity.callers import Caller
from services.companion.network import bindings, dhcp_options, fixed_ips, networks, security_groups
from services.companion.network.plane.keeper import Plane
from services.companion.network.port_events import (
    CHANGED,
    DELETED,
    PLUGGED,
    UNPLUGGED,
    PortEvents,
)
from services.companion.network.resource import (
    DESCRIPTION,
    NAME,
    PROJECT,
    Resource,
    Row,
    update_row,
)
from services.companion.store import tables
from services.companion.store.engine import Store
from services.companion.web import fields
from services.companion.web.faults import Fault
from services.companion.web.fields import Field, flag, list_of, mapping, nullable, text

_MAC_PREFIX = (0xFA, 0x16, 0x3E)
_MAC_TRIES = 16
# Behind names in DNS; what metadata has behind host names, too.
_DOMAIN = "novalocal"
_WHAT_SERVERS_SHOW = frozenset(("fixed_ips", "security_groups", "mac_address"))
_p = tables.ports.c


class Ports(Resource):
    """`/v2.0/ports`."""

    singular, plural, title = "port", "ports", "Port"
    table = tables.ports
    fields = (
        NAME, DESCRIPTION, *PROJECT,
        Field("network_id", fields.uuid, required=True, update=False),
        Field("admin_state_up", flag, default=True),
        Field("mac_address", fields.mac),
        Field("fixed_ips", list_of(fields.struct(subnet_id=fields.uuid,
                                                 ip_address=fields.address), 20)),
        Field("device_id", nullable(text(255)), default=""),
        Field("device_owner", nullable(text(255)), default=""),
        Field("security_groups", list_of(text(64, 1), 50)),
        Field("allowed_address_pairs", list_of(fields.struct(
            ip_address=fields.prefix, mac_address=fields.mac), 10), default=list),
        Field("extra_dhcp_opts", list_of(dhcp_options.option, 20), default=list),
        Field("port_security_enabled", flag),
        Field("dns_name", nullable(text(255)), default=""),
        Field("binding:host_id", nullable(text(255)), default="", admin=True),
        Field("binding:profile", nullable(mapping), default=dict, admin=True),
        Field("binding:vnic_type", text(64, 1), default="normal"),
        Field("propagate_uplink_status", nullable(flag), default=None),
        Field("qos_policy_id", nullable(text(0))),
        Field("tags", list_of(text(), 0)),
        Field("hints", nullable(mapping)),
    )  # fmt: skip
    filters = {
        "fixed_ips": fixed_ips.match,
        "security_groups": lambda values: _p.id.in_(
            select(tables.port_groups.c.port_id).where(
                tables.port_groups.c.security_group_id.in_(values)
            )
        ),
        "security_group_ids": lambda values: _p.id.in_(
            select(tables.port_groups.c.port_id).where(
                tables.port_groups.c.security_group_id.in_(values)
            )
        ),
        "binding:host_id": bindings.on_hosts,
        "device_owner": lambda values: or_(false(), *(_owner(value) for value in values)),
        "mac_address": lambda values: _p.mac_address.in_([v.lower() for v in values]),
    }

    def __init__(
        self, store: Store, clock: Clock, plane: Plane, events: PortEvents, *, plugs: bool
    ) -> None:
        super().__init__(store, clock, plane)
        self._events = events
        self._plugs = plugs

    def show_all(self, conn: Connection, rows: Sequence[Row], caller: Caller) -> list[Row]:
        """Ports with addresses, groups and their active binding."""
        ids = [row["id"] for row in rows]
        addresses = fixed_ips.of_ports(conn, ids)
        bound = bindings.active(conn, ids)
        g = tables.port_groups.c
        groups: dict[str, list[str]] = defaultdict(list)
        for row in conn.execute(select(tables.port_groups).where(g.port_id.in_(ids))):
            groups[row.port_id].append(row.security_group_id)
        return [
            {
                **self.standard(row),
                **bindings.shown(row, bound.get(row["id"]), for_admin=caller.reads_everything
                                 or caller.is_service),
                "fixed_ips": addresses[row["id"]],
                "security_groups": groups[row["id"]],
                "status": bindings.status(row, bound.get(row["id"]), plugs=self._plugs),
                "dns_assignment": _dns_assignment(row, addresses[row["id"]]),
                "qos_policy_id": None,
                "ip_allocation": "immediate",
            }
            for row in rows
        ]  # fmt: skip

    def create(self, conn: Connection, caller: Caller, row: Row) -> None:
        """A new port with its addresses, groups and binding."""
        network = self._network(conn, caller, row["network_id"])
        _tidy(row)
        _refuse_trust(caller, network, row)
        row.setdefault("port_security_enabled", network["port_security_enabled"])
        row["extra_dhcp_opts"] = dhcp_options.merged([], row["extra_dhcp_opts"])
        insert_port(conn, row)
        fixed_ips.assign(conn, row, row.get("fixed_ips"))
        self._set_groups(conn, caller, row, row.get("security_groups"))
        if row["binding:host_id"]:
            bindings.bind(conn, row, row["binding:host_id"], row["binding:profile"] or {})
            self._tell_plugged(row)

    def change(self, conn: Connection, caller: Caller, row: Row, values: Row) -> None:
        """A changed port."""
        _tidy(values)
        _refuse_trust(caller, self._network(conn, caller, row["network_id"]), values)
        if "extra_dhcp_opts" in values:
            values["extra_dhcp_opts"] = dhcp_options.merged(
                row["extra_dhcp_opts"], values["extra_dhcp_opts"]
            )
        merged = {**row, **values}
        try:
            update_row(conn, self.table, row["id"], values)
        except sa.IntegrityError as clash:
            raise _mac_in_use(merged) from clash
        if "fixed_ips" in values:
            fixed_ips.replace(conn, merged, values["fixed_ips"])
        if "security_groups" in values or "port_security_enabled" in values:
            groups = values.get("security_groups")
            if "security_groups" in values or not merged["port_security_enabled"]:
                self._set_groups(conn, caller, merged, groups)
        if "binding:host_id" in values or "binding:profile" in values:
            was_bound = bool(bindings.active(conn, [row["id"]]))
            _rebind(conn, merged, values)
            is_bound = bool(bindings.active(conn, [row["id"]]))
            if is_bound and not was_bound:
                self._tell_plugged(merged)
            elif was_bound and not is_bound:
                self._events.tell(UNPLUGGED, row)
        if values.keys() & _WHAT_SERVERS_SHOW:
            self._events.tell(CHANGED, merged)

    def remove(self, conn: Connection, caller: Caller, row: Row) -> None:
        """No port; its addresses are free."""
        if row["device_owner"] == "network:router_interface" and not caller.is_admin:
            raise Fault(
                409,
                f"Port {row['id']} cannot be deleted directly via the port API: "
                "has device owner network:router_interface.",
                kind="ServicePortInUse",
            )
        conn.execute(delete(self.table).where(_p.id == row["id"]))
        self._events.tell(DELETED, row)

    def visible(self, caller: Caller) -> ColumnElement[bool]:
        """The own project's, and those on the own networks."""
        if caller.reads_everything or caller.is_service:
            return true()
        n = tables.networks.c
        own = caller.project_id or ""
        return or_(_p.project_id == own, _p.network_id.in_(select(n.id).where(n.project_id == own)))

    def _condition(self, name: str, values: Sequence[str]) -> ColumnElement[bool]:
        if name == "status":
            return bindings.with_status(values, plugs=self._plugs)
        return super()._condition(name, values)

    def _tell_plugged(self, port: Row) -> None:
        if self._plugs:
            self._events.tell(PLUGGED, port)

    def _network(self, conn: Connection, caller: Caller, network_id: str) -> Row:
        n = tables.networks.c
        wanted = select(tables.networks).where(n.id == network_id, networks.may_use(caller))
        found = conn.execute(wanted).mappings().one_or_none()
        if found is None:
            words = f"Network {network_id} could not be found."
            raise Fault(404, words, kind="NetworkNotFound")
        if found["router:external"] and not (
            caller.is_admin or found["shared"] or found["project_id"] == caller.project_id
        ):
            raise Fault(403, "Ports on an external network need an administrator.")
        return dict(found)

    def _set_groups(
        self, conn: Connection, caller: Caller, row: Row, wanted: list[str] | None
    ) -> None:
        if not row["port_security_enabled"] and wanted:
            raise Fault(
                409,
                "Port Security must be enabled in order to have allowed address pairs or security "
                "groups on a port.",
                kind="PortSecurityAndIPRequiredForSecurityGroups",
            )
        if wanted is None and row["port_security_enabled"]:
            if row["device_owner"].startswith(bindings.OWN_PREFIX):
                wanted = []
            else:
                wanted = [security_groups.default_group(conn, row["project_id"], self.now())]
        security_groups.set_groups(conn, row, wanted or [], caller)


def insert_port(conn: Connection, row: Row) -> None:
    """Insert a port with the MAC it names, or a free one. Raises Fault 409 or 503."""
    columns = {k: v for k, v in row.items() if k in tables.ports.c}
    for _ in range(_MAC_TRIES):
        mac = row.get("mac_address") or _random_mac()
        try:
            conn.execute(insert(tables.ports).values({**columns, "mac_address": mac}))
        except sa.IntegrityError as clash:
            if row.get("mac_address"):
                raise _mac_in_use(row) from clash
            continue
        row["mac_address"] = mac
        return
    raise Fault(503, "No free MAC address was found.", kind="MacAddressGenerationFailure")


def _refuse_trust(caller: Caller, network: Row, values: Row) -> None:
    """Raise Fault 403 for what could deceive others on a network, said by a mere user of it."""
    if caller.is_service:
        return
    if values.get("device_owner", "").startswith(bindings.OWN_PREFIX):
        raise Fault(403, "Ports of the network service itself need an administrator.")
    if network["project_id"] == caller.project_id:
        return
    trusting = ("mac_address", "allowed_address_pairs")
    if any(values.get(name) for name in trusting) or values.get("port_security_enabled") is False:
        raise Fault(
            403,
            "mac_address, allowed_address_pairs and port_security_enabled are for the network's "
            "own project.",
        )


def _tidy(values: Row) -> None:
    """Null is the empty text, for the columns that are texts."""
    for name in ("device_id", "device_owner", "dns_name"):
        if name in values and values[name] is None:
            values[name] = ""


def _dns_assignment(port: Row, fixed: list[dict[str, str]]) -> list[dict[str, str]]:
    """What the port's addresses are called: as it is, or by the address where it has no name."""
    found = []
    for ip in (each["ip_address"] for each in fixed):
        name = port["dns_name"] or "host-" + ip.replace(".", "-").replace(":", "-")
        found.append({"ip_address": ip, "hostname": name, "fqdn": f"{name}.{_DOMAIN}."})
    return found


def _rebind(conn: Connection, port: Row, values: Row) -> None:
    """What Nova does to a port: bind it to a host, or free it with an empty one."""
    known = bindings.active(conn, [port["id"]]).get(port["id"])
    host = values.get("binding:host_id", known["host"] if known else "")
    profile: Any = values.get("binding:profile", known["profile"] if known else {})
    if host:
        bindings.bind(conn, port, host, profile or {})
    else:
        bindings.unbind(conn, port["id"])


def _random_mac() -> str:
    return ":".join(f"{byte:02x}" for byte in (*_MAC_PREFIX, *secrets.token_bytes(3)))


def _mac_in_use(row: Row) -> Fault:
    return Fault(
        409,
        f"Unable to complete operation for network {row['network_id']}. The mac address "
        f"{row['mac_address']} is in use.",
        kind="MacAddressInUse",
    )


def _owner(value: str) -> ColumnElement[bool]:
    if value.endswith(":") and value.count(":") == 1:
        return _p.device_owner.startswith(value, autoescape=True)
    return _p.device_owner == value
