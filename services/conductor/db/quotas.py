# SPDX-License-Identifier: Apache-2.0
"""Limits that operators set, and usage counted from the instances themselves."""

from sqlalchemy import BigInteger, bindparam, cast, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection

from services.conductor.db.tables import instances, quota_classes, quotas

_q = quotas.c
_i = instances.c
_WHOLE_PROJECT = ""
# An arbitrary number that keeps these advisory locks apart from others of this database.
_LOCK_SPACE = 7204

_LIMITS = (
    select(_q.user_id, _q.resource, _q.limit)
    .where(_q.project_id == bindparam("of_project"))
    .where(_q.user_id.in_([_WHOLE_PROJECT, bindparam("of_user")]))
)
_DEFAULT_CLASS = select(quota_classes.c.resource, quota_classes.c.limit).where(
    quota_classes.c.class_name == "default"
)


def of_project(
    conn: Connection, project_id: str, user_id: str | None = None
) -> tuple[dict[str, int], dict[str, int]]:
    """Limits set for a project, and for one user of it."""
    rows = conn.execute(
        _LIMITS, {"of_project": project_id, "of_user": user_id or _WHOLE_PROJECT}
    ).all()
    project = {row.resource: row.limit for row in rows if row.user_id == _WHOLE_PROJECT}
    user = {row.resource: row.limit for row in rows if row.user_id != _WHOLE_PROJECT}
    return project, user


def default_class(conn: Connection) -> dict[str, int]:
    """Limits of the quota class that changes everybody's defaults."""
    return {row.resource: row.limit for row in conn.execute(_DEFAULT_CLASS)}


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


def lock(conn: Connection, project_id: str) -> None:
    """Let one transaction at a time count and add to a project's usage."""
    conn.execute(_LOCK, {"space": _LOCK_SPACE, "of_project": project_id})


_LOCK = text("SELECT pg_advisory_xact_lock(:space, hashtext(:of_project))")

_USAGE = select(
    func.count().label("instances"),
    cast(func.coalesce(func.sum(_i.vcpus), 0), BigInteger).label("cores"),
    cast(func.coalesce(func.sum(_i.memory_mib), 0), BigInteger).label("ram"),
).where(_i.project_id == bindparam("of_project"), _i.deleted_at.is_(None))
_USAGE_OF_USER = _USAGE.where(_i.user_id == bindparam("of_user"))


def usage(conn: Connection, project_id: str, user_id: str | None = None) -> dict[str, int]:
    """Instances, cores and MiB of memory that a project, or one user of it, has now."""
    statement = _USAGE if user_id is None else _USAGE_OF_USER
    row = conn.execute(statement, {"of_project": project_id, "of_user": user_id}).one()
    return dict(row._mapping)
