# SPDX-License-Identifier: Apache-2.0
"""Security groups and their rules: what may reach a port, and what it may reach."""

import ipaddress
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import falcon
from sqlalchemy import delete, insert, select
from sqlalchemy import exc as sa
from sqlalchemy.engine import Connection

from common.ids import new_uuid
from services.companion.identity.callers import Caller, caller_of
from services.companion.network.protocols import ICMP, PROTOCOLS, WITH_PORTS, protocol_number
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
from services.companion.web import fields, query
from services.companion.web.faults import Fault
from services.companion.web.fields import BadValue, Field, flag, integer, nullable, one_of, text

DEFAULT = "default"
_g, _r = tables.security_groups.c, tables.security_group_rules.c


class SecurityGroups(Resource):
    """`/v2.0/security-groups`."""

    singular, plural, title = "security_group", "security_groups", "SecurityGroup"
    table = tables.security_groups
    fields = (NAME, DESCRIPTION, *PROJECT, Field("stateful", flag, default=True))

    def show_all(self, conn: Connection, rows: Sequence[Row], caller: Caller) -> list[Row]:
        """Groups with their rules."""
        rules: dict[str, list[Row]] = defaultdict(list)
        wanted = select(tables.security_group_rules).where(
            _r.security_group_id.in_([row["id"] for row in rows])
        )
        for rule in conn.execute(wanted.order_by(_r.created_at, _r.id)).mappings():
            rules[rule["security_group_id"]].append(show_rule(self, dict(rule)))
        return [
            {**self.standard(row), "security_group_rules": rules[row["id"]]} for row in rows
        ]  # fmt: skip

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The groups; every project has a default one as soon as somebody looks."""
        caller, asked = caller_of(req), query.values(req)
        owner = (asked.get("project_id") or asked.get("tenant_id") or [caller.project_id or ""])[0]
        if owner and (caller.is_admin or owner == caller.project_id):
            self._make_default(owner)
        super().on_get(req, resp)

    def _make_default(self, project_id: str) -> None:
        with self._store.read() as conn:
            known = _find_default(conn, project_id)
        if known is None:
            with self._store.write() as conn:
                default_group(conn, project_id, self.now())

    def create(self, conn: Connection, caller: Caller, row: Row) -> None:
        """A new group, which lets everything out."""
        default_group(conn, row["project_id"], self.now())
        if row["name"] == DEFAULT:
            words = "Default security group already exists."
            raise Fault(409, words, kind="SecurityGroupDefaultAlreadyExists")
        insert_row(conn, self.table, row)
        _insert_first_rules(conn, row, self.now())

    def change(self, conn: Connection, caller: Caller, row: Row, values: Row) -> None:
        """Another name or description; `default` keeps its name."""
        renamed = values.get("name", row["name"]) != row["name"]
        if renamed and DEFAULT in (row["name"], values["name"]):
            raise Fault(409, "Updating default security group not allowed.",
                        kind="SecurityGroupCannotUpdateDefault")  # fmt: skip
        update_row(conn, self.table, row["id"], values)

    def remove(self, conn: Connection, caller: Caller, row: Row) -> None:
        """No group, while no port has it; the default one only by an administrator."""
        if row["name"] == DEFAULT and not caller.is_admin:
            raise Fault(409, "Insufficient rights for removing default security group.",
                        kind="SecurityGroupCannotRemoveDefault")  # fmt: skip
        ports = tables.port_groups.c
        if conn.scalar(select(ports.port_id).where(ports.security_group_id == row["id"]).limit(1)):
            words = f"Security Group {row['id']} in use."
            raise Fault(409, words, kind="SecurityGroupInUse")
        conn.execute(delete(self.table).where(_g.id == row["id"]))


def _protocol(value: Any) -> str | None:
    if value in (None, "any", ""):
        return None
    word = str(value).lower() if isinstance(value, int | str) else ""
    if word in PROTOCOLS or (word.isascii() and word.isdigit() and int(word[:4]) <= 255):
        return word
    raise BadValue(f"{fields.shown(value)} is no protocol by name or number (0 to 255).")


def _remote_prefix(value: Any) -> str:
    """A network; one with bits that its mask takes away is kept as given, which clients expect."""
    network = fields.prefix(value)
    return str(value) if "/" in str(value) else network


class SecurityGroupRules(Resource):
    """`/v2.0/security-group-rules`."""

    singular, plural, title = (
        "security_group_rule", "security_group_rules", "SecurityGroupRule",
    )  # fmt: skip
    table = tables.security_group_rules
    fields = (
        DESCRIPTION, *PROJECT,
        Field("security_group_id", text(64, 1), required=True, update=False),
        Field("direction", one_of("ingress", "egress"), required=True, update=False),
        Field("ethertype", one_of("IPv4", "IPv6"), default="IPv4", update=False),
        Field("protocol", _protocol, default=None, update=False),
        Field("port_range_min", nullable(integer(0, 65535)), default=None, update=False),
        Field("port_range_max", nullable(integer(0, 65535)), default=None, update=False),
        Field("remote_ip_prefix", nullable(_remote_prefix), default=None, update=False),
        Field("remote_group_id", nullable(text(64, 1)), default=None, update=False),
        Field("remote_address_group_id", nullable(text(0)), update=False),
    )  # fmt: skip

    def show_all(self, conn: Connection, rows: Sequence[Row], caller: Caller) -> list[Row]:
        """Rules."""
        return [show_rule(self, row) for row in rows]

    def create(self, conn: Connection, caller: Caller, row: Row) -> None:
        """A new rule of a group; the same one twice is refused."""
        _check_rule(row)
        group = _find_group(conn, caller, row["security_group_id"])
        if row["remote_group_id"] is not None:
            _find_group(conn, caller, row["remote_group_id"])
        row["project_id"] = group.project_id
        same = (
            "security_group_id", "direction", "ethertype", "protocol", "port_range_min",
            "port_range_max", "remote_ip_prefix", "remote_group_id",
        )  # fmt: skip
        known = conn.scalar(select(_r.id).where(*(_r[name].is_(row[name]) for name in same)))
        if known is not None:
            words = f"Security group rule already exists. Rule id is {known}."
            raise Fault(409, words, kind="SecurityGroupRuleExists")
        insert_row(conn, self.table, row)

    def change(self, conn: Connection, caller: Caller, row: Row, values: Row) -> None:
        """Another description."""
        update_row(conn, self.table, row["id"], values)

    def remove(self, conn: Connection, caller: Caller, row: Row) -> None:
        """No rule."""
        conn.execute(delete(self.table).where(_r.id == row["id"]))


def show_rule(resource: Resource, row: Row) -> Row:
    """A rule as the API shows it."""
    return {
        **resource.standard(row),
        "remote_address_group_id": None,
        "belongs_to_default_sg": None,
    }


def _check_rule(row: Row) -> None:
    low, high, protocol = row["port_range_min"], row["port_range_max"], row["protocol"]
    number = protocol_number(protocol)
    if low is not None or high is not None:
        if number in ICMP:
            if low is None or low > 255 or (high or 0) > 255:
                raise Fault(400, "ICMP type and code are from 0 to 255; a code needs a type.",
                            kind="SecurityGroupInvalidIcmpValue")  # fmt: skip
        elif number not in WITH_PORTS:
            raise Fault(400, "A range of ports needs a protocol that has ports.",
                        kind="SecurityGroupProtocolRequiredWithPorts")  # fmt: skip
        elif low is None or high is None or low > high:
            raise Fault(400, "For TCP/UDP protocols, port_range_min must be <= port_range_max",
                        kind="SecurityGroupInvalidPortRange")  # fmt: skip
    if row["remote_ip_prefix"] is not None:
        if row["remote_group_id"] is not None:
            raise Fault(400, "Only remote_ip_prefix or remote_group_id may be provided.",
                        kind="SecurityGroupMultipleRemoteEntites")  # fmt: skip
        version = ipaddress.ip_network(row["remote_ip_prefix"], strict=False).version
        if f"IPv{version}" != row["ethertype"]:
            words = f"Conflicting value ethertype {row['ethertype']} for CIDR"
            raise Fault(400, words, kind="SecurityGroupRuleParameterConflict")
    if number == PROTOCOLS["ipv6-icmp"] and row["ethertype"] == "IPv4":
        raise Fault(400, "ICMPv6 is of ethertype IPv6.", kind="SecurityGroupEthertypeConflict")


def _find_group(conn: Connection, caller: Caller, group_id: str) -> Any:
    row = conn.execute(select(_g.id, _g.project_id).where(_g.id == group_id)).one_or_none()
    if row is None or not (caller.is_admin or row.project_id == caller.project_id):
        words = f"Security group {fields.shown(group_id)} does not exist"
        raise Fault(404, words, kind="SecurityGroupNotFound")
    return row


def _find_default(conn: Connection, project_id: str) -> str | None:
    wanted = select(_g.id).where(_g.project_id == project_id, _g.name == DEFAULT)
    return conn.scalar(wanted)


def default_group(conn: Connection, project_id: str, now: str) -> str:
    """The id of the project's default group, made when missing."""
    known = _find_default(conn, project_id)
    if known is not None:
        return known
    row = {
        "id": new_uuid(), "project_id": project_id, "name": DEFAULT,
        "description": "Default security group", "created_at": now, "updated_at": now,
    }  # fmt: skip
    conn.execute(insert(tables.security_groups).values(row))
    _insert_first_rules(conn, row, now)
    for ethertype in ("IPv4", "IPv6"):
        _insert_rule(conn, row, now, "ingress", ethertype, remote_group_id=row["id"])
    return row["id"]


def _insert_first_rules(conn: Connection, group: Row, now: str) -> None:
    for ethertype in ("IPv4", "IPv6"):
        _insert_rule(conn, group, now, "egress", ethertype)


def _insert_rule(
    conn: Connection, group: Row, now: str, direction: str, ethertype: str, **more: Any
) -> None:
    conn.execute(
        insert(tables.security_group_rules).values(
            id=new_uuid(), project_id=group["project_id"], created_at=now, updated_at=now,
            security_group_id=group["id"], direction=direction, ethertype=ethertype, **more,
        )
    )  # fmt: skip


def set_groups(conn: Connection, port: Row, wanted: Sequence[str], caller: Caller) -> None:
    """Make `wanted` the port's groups. Raises Fault 404 for one that does not exist."""
    table = tables.port_groups
    conn.execute(delete(table).where(table.c.port_id == port["id"]))
    for group_id in dict.fromkeys(wanted):
        if not (caller.is_admin or caller.is_service):
            _find_group(conn, caller, group_id)
        row = {"port_id": port["id"], "security_group_id": group_id}
        try:
            conn.execute(insert(table).values(row))
        except sa.IntegrityError as missing:
            words = f"Security group {fields.shown(group_id)} does not exist"
            raise Fault(404, words, kind="SecurityGroupNotFound") from missing
