# SPDX-License-Identifier: Apache-2.0
"""Queries for what servers use, over time and on a host."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, func, or_, select, tuple_
from sqlalchemy.engine import Connection

from common.errors import Invalid
from common.objects.usage import HostUsage, ProjectShare, ServerUsage
from services.conductor.db.services import COMPUTE
from services.conductor.db.tables import instances, services

_i = instances.c
_s = services.c
_ENDED_AT = func.coalesce(_i.terminated_at, _i.deleted_at)
_DISK_GIB = _i.flavor["root_gib"].astext.cast(Integer) + func.coalesce(
    _i.flavor["ephemeral_gib"].astext.cast(Integer), 0
)


def in_period(
    conn: Connection,
    *,
    start: datetime,
    end: datetime,
    project_id: str | None,
    limit: int | None,
    marker: str | None,
) -> list[ServerUsage]:
    """Servers that were there between `start` and `end`, by project and age. Raises: Invalid."""
    query = (
        select(
            _i.uuid, _i.project_id, _i.name, _i.vm_state, _i.vcpus, _i.memory_mib, _i.launched_at,
            _i.flavor["name"].astext.label("flavor_name"),
            _DISK_GIB.label("disk_gib"),
            _ENDED_AT.label("ended_at"),
        )
        .where(*_ran(start, end))
        .order_by(_i.project_id, _i.id)
        .limit(limit)
    )  # fmt: skip
    if project_id is not None:
        query = query.where(_i.project_id == project_id)
    if marker is not None:
        query = _behind(conn, query, marker)
    return [_usage(row) for row in conn.execute(query)]


def by_host(conn: Connection, *, start: datetime, end: datetime) -> list[HostUsage]:
    """How many servers ran between `start` and `end`, for every compute host by name."""
    ran = (
        select(_i.host, func.count().label("servers"))
        .where(*_ran(start, end), _i.host.is_not(None))
        .group_by(_i.host)
        .subquery("ran")
    )
    rows = conn.execute(
        select(_s.host, func.coalesce(ran.c.servers, 0))
        .select_from(services.outerjoin(ran, ran.c.host == _s.host))
        .where(_s.binary == COMPUTE)
        .order_by(_s.host)
    )
    return [HostUsage(host=host, servers=servers) for host, servers in rows]


def _ran(start: datetime, end: datetime) -> tuple[ColumnElement[bool], ...]:
    return _i.launched_at < end, or_(_ENDED_AT.is_(None), start <= _ENDED_AT)


def _behind(conn: Connection, query: Select[Any], marker: str) -> Select[Any]:
    last = conn.execute(select(_i.project_id, _i.id).where(_i.uuid == marker)).one_or_none()
    if last is None:
        raise Invalid(f"marker [{marker}] not found")
    return query.where(tuple_(_i.project_id, _i.id) > tuple_(last.project_id, last.id))


def _usage(row: Any) -> ServerUsage:
    return ServerUsage(
        uuid=row.uuid, project_id=row.project_id, name=row.name, flavor_name=row.flavor_name,
        vm_state=row.vm_state, vcpus=row.vcpus, memory_mib=row.memory_mib, disk_gib=row.disk_gib,
        started_at=row.launched_at, ended_at=row.ended_at,
    )  # fmt: skip


def on_host(conn: Connection, host: str) -> list[ProjectShare]:
    """What the servers on `host` may use, a project each."""
    rows = conn.execute(
        select(
            _i.project_id, func.sum(_i.vcpus), func.sum(_i.memory_mib), func.sum(_DISK_GIB),
        )
        .where(_i.host == host, _i.deleted_at.is_(None))
        .group_by(_i.project_id)
        .order_by(_i.project_id)
    )  # fmt: skip
    return [
        ProjectShare(project_id=project, vcpus=vcpus, memory_mib=int(memory), disk_gib=int(disk))
        for project, vcpus, memory, disk in rows
    ]
