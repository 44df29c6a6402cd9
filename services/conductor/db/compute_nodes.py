# SPDX-License-Identifier: Apache-2.0
"""Compute nodes: what hosts report, with what is claimed of them and how their service is.

Claims themselves are taken in services/conductor/claims.py.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    RowMapping,
    Text,
    any_,
    bindparam,
    cast,
    func,
    literal,
    select,
    update,
)
from sqlalchemy import exc as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.dialects.postgresql import TEXT as PG_TEXT
from sqlalchemy.engine import Connection

from common.errors import Conflict, HostNotFound, Invalid
from common.objects.compute_node import ComputeNode, HostReport
from common.objects.resources import Resources
from services.conductor.db.aggregates import ids_of, zone_of
from services.conductor.db.services import COMPUTE, is_up
from services.conductor.db.tables import compute_nodes, instances, services

_n = compute_nodes.c
_s = services.c
_i = instances.c
_decode_report = msgspec.json.Decoder(HostReport).decode

_building = (
    select(_i.host, func.count().label("building"))
    .where(_i.task_state.is_not(None), _i.deleted_at.is_(None), _i.host.is_not(None))
    .group_by(_i.host)
    .subquery("building")
)
_FIELDS: list[ColumnElement[Any]] = [
    _n.id, cast(_n.report, Text).label("report"), _n.vcpus_claimed, _n.memory_claimed_mib,
    _n.disk_claimed_gib, _n.instances, _n.generation, _n.service_id,
    _s.uuid.label("service_uuid"), _s.disabled, _s.disabled_reason, _s.forced_down,
    is_up(_s).label("is_up"), zone_of(_n.host).label("availability_zone"),
    ids_of(_n.host).label("aggregates"), _n.created_at, _n.updated_at,
]  # fmt: skip
_ALL = (
    select(*_FIELDS, func.coalesce(_building.c.building, 0).label("building"))
    .select_from(
        compute_nodes.join(services, _s.id == _n.service_id).outerjoin(
            _building, _building.c.host == _n.host
        )
    )
    .order_by(_n.id)
)
# A delta is made at each claim: it does without counting what is under way on the host.
_SOME = (
    select(*_FIELDS, literal(0).label("building"))
    .select_from(compute_nodes.join(services, _s.id == _n.service_id))
    .where(_n.uuid == any_(bindparam("uuids", type_=ARRAY(PG_TEXT))))
)
_claimed = {"vcpus_claimed": "vcpus", "memory_claimed_mib": "memory_mib",
            "disk_claimed_gib": "disk_gib"}  # fmt: skip


def _node(row: RowMapping) -> ComputeNode:
    values = dict(row)
    values["report"] = _decode_report(values["report"])
    values["claimed"] = Resources(**{ours: values.pop(name) for name, ours in _claimed.items()})
    values["aggregates"] = tuple(sorted(values["aggregates"]))
    return ComputeNode(**values)


def list_nodes(
    conn: Connection,
    *,
    down_after_s: float,
    hostname_pattern: str | None = None,
    limit: int | None = None,
    marker: str | None = None,
) -> list[ComputeNode]:
    """Compute nodes by id; `hostname_pattern` is a substring of the node's name.

    `marker` is the id or uuid of the last one seen. Raises: Invalid (unknown marker).
    """
    query = _ALL
    if hostname_pattern is not None:
        query = query.where(_n.node.contains(hostname_pattern, autoescape=True))
    if marker is not None:
        number = conn.execute(select(_n.id).where(_named(marker))).scalar_one_or_none()
        if number is None:
            raise Invalid(f"marker [{marker}] not found")
        query = query.where(_n.id > number)
    if limit is not None:
        query = query.limit(limit)
    rows = conn.execute(query, {"down_after_s": down_after_s}).mappings()
    return [_node(row) for row in rows]


def get(conn: Connection, node: str, *, down_after_s: float) -> ComputeNode:
    """One compute node by id or uuid. Raises: HostNotFound."""
    values = {"down_after_s": down_after_s}
    row = conn.execute(_ALL.where(_named(node)), values).mappings().one_or_none()
    if row is None:
        raise HostNotFound(host=node)
    return _node(row)


def some(conn: Connection, uuids: Sequence[str], *, down_after_s: float) -> list[ComputeNode]:
    """Those compute nodes of `uuids` that are there, in any order."""
    values = {"uuids": list(uuids), "down_after_s": down_after_s}
    rows = conn.execute(_SOME, values).mappings()
    return [_node(row) for row in rows]


def _named(node: str) -> ColumnElement[bool]:
    # A serial has 31 bits: a longer number is nobody's id, and no error either.
    if node.isdecimal() and len(node) < 10:
        return _n.id == int(node)
    return _n.uuid == node


def put(conn: Connection, reports: Sequence[HostReport]) -> None:
    """Make or refresh the nodes of reports whose services are there: one statement.

    Claims stay; each node's generation grows. Raises: Conflict (a host came back with another
    uuid, as after the loss of its state folder).
    """
    hosts = {report.host for report in reports}
    ids = {
        row.host: row.id
        for row in conn.execute(
            select(_s.host, _s.id).where(_s.binary == COMPUTE, _s.host.in_(sorted(hosts)))
        )
    }
    statement = insert(compute_nodes).values(
        [_row(report, ids[report.host]) for report in sorted(reports, key=lambda r: r.uuid)]
    )
    new = statement.excluded
    refreshed = ("service_id", "host", "node", "report", "vcpus_capacity", "memory_capacity_mib",
                 "disk_capacity_gib")  # fmt: skip
    upsert = statement.on_conflict_do_update(
        index_elements=["uuid"],
        set_={
            **{name: new[name] for name in refreshed},
            "generation": _n.generation + 1,
            "updated_at": func.now(),
        },
    )
    try:
        conn.execute(upsert)
    except sa.IntegrityError as clash:
        raise Conflict(
            f"A host of {', '.join(sorted(hosts))} is known under another uuid already. Remove "
            "its service if the old one is gone for good."
        ) from clash


def _row(report: HostReport, service_id: int) -> dict[str, Any]:
    have, kept = report.total, report.reserved
    return {
        "uuid": report.uuid,
        "service_id": service_id,
        "host": report.host,
        "node": report.node,
        "report": report,
        "vcpus_capacity": int(max(0, have.vcpus - kept.vcpus) * report.cpu_ratio),
        "memory_capacity_mib": int(max(0, have.memory_mib - kept.memory_mib) * report.memory_ratio),
        "disk_capacity_gib": int(max(0, have.disk_gib - kept.disk_gib) * report.disk_ratio),
    }


def uuids_on(conn: Connection, hosts: Sequence[str]) -> list[str]:
    """Uuids of the nodes of these hosts."""
    return list(conn.execute(select(_n.uuid).where(_n.host.in_(hosts))).scalars())


def touch(conn: Connection, hosts: Sequence[str]) -> list[str]:
    """Mark the nodes of these hosts as changed, so that their next delta wins; their uuids."""
    return list(
        conn.execute(
            update(compute_nodes)
            .where(_n.host.in_(hosts))
            .values(generation=_n.generation + 1)
            .returning(_n.uuid)
        ).scalars()
    )
