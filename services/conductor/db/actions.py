# SPDX-License-Identifier: Apache-2.0
"""Instance actions, which outlive their instance."""

from datetime import datetime

from sqlalchemy import bindparam, func, insert, select, tuple_
from sqlalchemy.engine import Connection

from common.errors import Invalid, NotFound
from common.objects.action import InstanceAction
from services.conductor.db.tables import instance_actions, instances

_a = instance_actions.c
_i = instances.c
_WHOLE = select(*(_a[name] for name in InstanceAction.__struct_fields__ if name in _a))
_touched_at = func.coalesce(_a.updated_at, _a.start_time)
_KNOWN = select(_i.uuid).where(_i.uuid == bindparam("uuid"))
_KNOWN_OF_PROJECT = _KNOWN.where(_i.project_id == bindparam("project_id"))


def instance_is_known(conn: Connection, uuid: str, *, project_id: str | None) -> bool:
    """Whether an instance exists or existed, in `project_id` when that is given."""
    query = _KNOWN if project_id is None else _KNOWN_OF_PROJECT
    return conn.execute(query, {"uuid": uuid, "project_id": project_id}).first() is not None


def list_actions(
    conn: Connection,
    instance: str,
    *,
    limit: int | None = None,
    marker: str | None = None,
    changes_since: datetime | None = None,
    changes_before: datetime | None = None,
) -> list[InstanceAction]:
    """An instance's actions, newest first; `marker` is the request id of the last one seen.

    Raises: Invalid (unknown marker).
    """
    query = _WHOLE.where(_a.instance_uuid == instance)
    if marker is not None:
        seen = conn.execute(
            select(_a.start_time, _a.id)
            .where(_a.instance_uuid == instance, _a.request_id == marker)
            .order_by(_a.id)
        ).first()
        if seen is None:
            raise Invalid(f"marker [{marker}] not found")
        query = query.where(tuple_(_a.start_time, _a.id) < tuple_(*seen))
    if changes_since is not None:
        query = query.where(_touched_at >= changes_since)
    if changes_before is not None:
        query = query.where(_touched_at <= changes_before)
    query = query.order_by(_a.start_time.desc(), _a.id.desc()).limit(limit)
    return [InstanceAction(**row) for row in conn.execute(query).mappings()]


def get(conn: Connection, instance: str, request_id: str) -> tuple[InstanceAction, str | None]:
    """One action, the newest of its request, and its task. Raises: NotFound."""
    row = (
        conn.execute(
            _WHOLE.add_columns(_a.task_uuid)
            .where(_a.instance_uuid == instance, _a.request_id == request_id)
            .order_by(_a.id.desc())
        )
        .mappings()
        .first()
    )
    if row is None:
        raise NotFound(f"Action for request_id {request_id} on instance {instance} not found")
    values = dict(row)
    task_uuid: str | None = values.pop("task_uuid")
    return InstanceAction(**values), task_uuid


def add(conn: Connection, actions: list[tuple[InstanceAction, str | None]]) -> None:
    """Record actions, each with the task that carries it out: one statement."""
    conn.execute(
        insert(instance_actions),
        [
            {
                **{name: getattr(action, name) for name in InstanceAction.__struct_fields__
                   if name in _a},
                "task_uuid": task_uuid,
            }
            for action, task_uuid in actions
        ],
    )  # fmt: skip
