# SPDX-License-Identifier: Apache-2.0
"""Compute nodes: what hosts report, with what is claimed of them and how their service is.

Claims themselves are taken in services/conductor/claims.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    RowMapping,
    Text,
    any_,
    bindparam,
    cast,
    column,
    func,
    literal,
    select,
    update,
    values,
)
from sqlalchemy import exc as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.dialects.postgresql import TEXT as PG_TEXT
from sqlalchemy.engine import Connection

from common.errors import Conflict, HostNotFound, Invalid
from common.objects.compute_node import ComputeNode, HostReport
from common.objects.request_spec import Candidate
from common.objects.resources import Resources
from services.conductor.db.aggregates import ids_of, metadata_of, zone_of
from services.conductor.db.services import is_up
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
    _n.disk_claimed_gib, _n.instances, _n.generation, _n.failed_builds, _n.service_id,
    _s.uuid.label("service_uuid"), _s.disabled, _s.disabled_reason, _s.forced_down,
    is_up(_s).label("is_up"), zone_of(_n.host).label("availability_zone"),
    ids_of(_n.host).label("aggregates"), metadata_of(_n.host).label("aggregate_metadata"),
    _n.created_at, _n.updated_at,
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


def connector_of(conn: Connection, host: str) -> dict[str, Any]:
    """How a host reaches volumes, as it reported; nothing for a host that is not known."""
    found = conn.execute(select(_n.report["connector"]).where(_n.host == host)).scalar()
    return dict(found or {})


def traits_of(conn: Connection, host: str) -> list[str]:
    """What a host can, as it reported; nothing for a host that is not known."""
    found = conn.execute(select(_n.report["traits"]).where(_n.host == host)).scalar()
    return list(found or ())


def _node(row: RowMapping) -> ComputeNode:
    fields = dict(row)
    fields["report"] = _decode_report(fields["report"])
    fields["claimed"] = Resources(**{ours: fields.pop(name) for name, ours in _claimed.items()})
    fields["aggregates"] = tuple(sorted(fields["aggregates"]))
    fields["aggregate_metadata"] = tuple(fields["aggregate_metadata"] or ())
    return ComputeNode(**fields)


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
    silence = {"down_after_s": down_after_s}
    row = conn.execute(_ALL.where(_named(node)), silence).mappings().one_or_none()
    if row is None:
        raise HostNotFound(host=node)
    return _node(row)


def some(conn: Connection, uuids: Sequence[str], *, down_after_s: float) -> list[ComputeNode]:
    """Those compute nodes of `uuids` that are there, in any order."""
    wanted = {"uuids": list(uuids), "down_after_s": down_after_s}
    rows = conn.execute(_SOME, wanted).mappings()
    return [_node(row) for row in rows]


def on_host(conn: Connection, host: str, *, down_after_s: float) -> ComputeNode:
    """The compute node of a host, its first one where it has several. Raises: HostNotFound."""
    query, silence = _ALL.where(_n.host == host).limit(1), {"down_after_s": down_after_s}
    row = conn.execute(query, silence).mappings().one_or_none()
    if row is None:
        raise HostNotFound(host=host)
    return _node(row)


def candidate(
    conn: Connection, *, host: str | None, node: str | None
) -> tuple[Candidate, str] | None:
    """A compute node by its host's name, its own, or both, and the zone that it is in."""
    query = select(_n.uuid, _n.host, _n.node, zone_of(_n.host).label("zone")).order_by(_n.id)
    if host is not None:
        query = query.where(_n.host == host)
    if node is not None:
        query = query.where(_n.node == node)
    row = conn.execute(query.limit(1)).one_or_none()
    if row is None:
        return None
    return Candidate(host_uuid=row.uuid, host=row.host, node=row.node), row.zone


def _named(node: str) -> ColumnElement[bool]:
    # A serial has 31 bits: a longer number is nobody's id, and no error either.
    if node.isdecimal() and len(node) < 10:
        return _n.id == int(node)
    return _n.uuid == node


def put(conn: Connection, reports: Iterable[HostReport], service_ids: Mapping[str, int]) -> None:
    """Make or refresh the nodes of reports; `service_ids` has the service of each host.

    Claims stay; each node's generation grows. Two statements whatever the number of reports, three
    when a node is new. Raises: Conflict (a host came back with another uuid, as after the loss of
    its state folder).
    """
    rows = {report.uuid: _row(report, service_ids[report.host]) for report in reports}
    # Not an upsert, for the sake of the sequence (see services.register); locked in one order.
    known = set(
        conn.execute(
            select(_n.uuid).where(_n.uuid.in_(sorted(rows))).order_by(_n.id).with_for_update()
        ).scalars()
    )
    try:
        if known:
            _refresh(conn, [rows[uuid] for uuid in sorted(known)])
        missing = sorted(rows.keys() - known)
        if missing:
            conn.execute(insert(compute_nodes).values([rows[uuid] for uuid in missing]))
    except sa.IntegrityError as clash:
        raise Conflict(
            "A host is known under another uuid already: "
            f"{', '.join(sorted({row['host'] for row in rows.values()}))}. "
            "Remove its service if the old one is gone for good."
        ) from clash


def _refresh(conn: Connection, rows: list[dict[str, Any]]) -> None:
    new = values(*(column(name, _n[name].type) for name in rows[0]), name="new")
    new = new.data([tuple(row.values()) for row in rows])
    conn.execute(
        update(compute_nodes)
        .where(_n.uuid == new.c.uuid)
        .values(
            generation=_n.generation + 1,
            updated_at=func.now(),
            **{name: new.c[name] for name in rows[0] if name != "uuid"},
        )
    )


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
