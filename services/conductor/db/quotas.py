# SPDX-License-Identifier: Apache-2.0
"""Limits that operators set, and usage counted from the instances themselves."""

from dataclasses import dataclass

from sqlalchemy import BigInteger, bindparam, cast, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection

from common.states import VmState
from services.conductor.db.tables import instances, quota_classes, quotas

_q = quotas.c
_c = quota_classes.c
_i = instances.c
_WHOLE_PROJECT = ""
# An arbitrary number that keeps these advisory locks apart from others of this database.
_LOCK_SPACE = 7204
_LOCK = text("SELECT pg_advisory_xact_lock(:space, hashtext(:of_project))")

_mine = _i.user_id == bindparam("of_user")
_limits_of_user = (
    select(func.json_object_agg(_q.resource, _q.limit))
    .where(_q.project_id == bindparam("of_project"), _q.user_id == bindparam("of_user"))
    .scalar_subquery()
)
_limits_of_project = (
    select(func.json_object_agg(_q.resource, _q.limit))
    .where(_q.project_id == bindparam("of_project"), _q.user_id == _WHOLE_PROJECT)
    .scalar_subquery()
)
_limits_of_everybody = (
    select(func.json_object_agg(_c.resource, _c.limit))
    .where(_c.class_name == "default")
    .scalar_subquery()
)
_STATE = select(
    _limits_of_everybody.label("defaults"),
    _limits_of_project.label("project_limits"),
    _limits_of_user.label("user_limits"),
    func.count().label("instances"),
    cast(func.coalesce(func.sum(_i.vcpus), 0), BigInteger).label("cores"),
    cast(func.coalesce(func.sum(_i.memory_mib), 0), BigInteger).label("ram"),
    func.count().filter(_mine).label("user_instances"),
    cast(func.coalesce(func.sum(_i.vcpus).filter(_mine), 0), BigInteger).label("user_cores"),
    cast(func.coalesce(func.sum(_i.memory_mib).filter(_mine), 0), BigInteger).label("user_ram"),
).where(
    _i.project_id == bindparam("of_project"),
    _i.deleted_at.is_(None),
    # What waits to be reclaimed does not count: restoring it asks the quota again.
    _i.vm_state != VmState.SOFT_DELETED,
)


@dataclass(frozen=True)
class QuotaState:
    """What was set for everybody, for a project and for one user of it; and what is in use.

    Usage has `instances`, `cores` (vCPUs) and `ram` (MiB).
    """

    defaults: dict[str, int]
    project_limits: dict[str, int]
    user_limits: dict[str, int]
    usage: dict[str, int]
    user_usage: dict[str, int]


def state(conn: Connection, project_id: str, user_id: str | None = None) -> QuotaState:
    """Limits and usage of a project, and of one user of it: one statement."""
    row = conn.execute(
        _STATE, {"of_project": project_id, "of_user": user_id or _WHOLE_PROJECT}
    ).one()
    return QuotaState(
        row.defaults or {},
        row.project_limits or {},
        (row.user_limits or {}) if user_id else {},
        {"instances": row.instances, "cores": row.cores, "ram": row.ram},
        {"instances": row.user_instances, "cores": row.user_cores, "ram": row.user_ram},
    )


def lock(conn: Connection, project_id: str) -> None:
    """Let one transaction at a time count and add to a project's usage.

    A statement of its own: what the next one counts is as of after the lock.
    """
    conn.execute(_LOCK, {"space": _LOCK_SPACE, "of_project": project_id})


def put(conn: Connection, project_id: str, user_id: str | None, limits: dict[str, int]) -> None:
    """Set limits of a project or of one user of it."""
    if not limits:
        return
    statement = insert(quotas).values(
        [
            {"project_id": project_id, "user_id": user_id or _WHOLE_PROJECT,
             "resource": resource, "limit": limit}
            for resource, limit in sorted(limits.items())
        ]
    )  # fmt: skip
    conn.execute(
        statement.on_conflict_do_update(
            index_elements=["project_id", "user_id", "resource"],
            set_={"limit": statement.excluded.limit},
        )
    )


def remove(conn: Connection, project_id: str, user_id: str | None) -> None:
    """Forget a project's limits with those of its users, or one user's."""
    statement = delete(quotas).where(_q.project_id == project_id)
    if user_id is not None:
        statement = statement.where(_q.user_id == user_id)
    conn.execute(statement)


def class_limits(conn: Connection, class_name: str) -> dict[str, int]:
    """What was set for a quota class."""
    rows = conn.execute(select(_c.resource, _c.limit).where(_c.class_name == class_name))
    return {row.resource: row.limit for row in rows}


def put_class(conn: Connection, class_name: str, limits: dict[str, int]) -> None:
    """Set limits of a quota class."""
    if not limits:
        return
    statement = insert(quota_classes).values(
        [
            {"class_name": class_name, "resource": resource, "limit": limit}
            for resource, limit in sorted(limits.items())
        ]
    )
    conn.execute(
        statement.on_conflict_do_update(
            index_elements=["class_name", "resource"], set_={"limit": statement.excluded.limit}
        )
    )
