# SPDX-License-Identifier: Apache-2.0
"""Server groups, their members, and where these are."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    Select,
    Text,
    and_,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Connection

from common.errors import ServerGroupNotFound
from common.objects.server_group import GroupSpec, ServerGroup
from services.conductor.db.server_group_tables import server_group_members, server_groups
from services.conductor.db.tables import instances

_g = server_groups.c
_m = server_group_members.c
_i = instances.c
_is_member = and_(_m.instance_uuid == _i.uuid, _i.deleted_at.is_(None))
# Longer than a scheduler expects what it chose.
_is_recent = or_(
    _i.task_state.is_not(None), _i.launched_at > func.now() - literal_column("interval '30 s'")
)
_MEMBERS = (
    select(func.array_agg(_i.uuid))
    .select_from(server_group_members.join(instances, _is_member))
    .where(_m.group_id == _g.id)
    .scalar_subquery()
)
_none = literal_column("'{}'::text[]", ARRAY(Text))
_ALL = select(
    _g.uuid, _g.project_id, _g.user_id, _g.name, _g.policy, _g.max_per_host,
    func.coalesce(_MEMBERS, _none).label("members"),
).order_by(_g.id)  # fmt: skip


def list_groups(
    conn: Connection, *, project_id: str | None, limit: int, offset: int
) -> list[ServerGroup]:
    """Groups in the order they were made: one statement."""
    query = _ALL.limit(limit).offset(offset)
    if project_id is not None:
        query = query.where(_g.project_id == project_id)
    return [_group(row) for row in conn.execute(query)]


def get(
    conn: Connection, uuid: str, *, project_id: str | None, for_update: bool = False
) -> ServerGroup:
    """One group; `for_update` keeps others from adding members or placing them.

    Raises: ServerGroupNotFound.
    """
    if for_update:
        conn.execute(select(_g.id).where(_g.uuid == uuid).with_for_update())
    query = _ALL.where(_g.uuid == uuid)
    if project_id is not None:
        query = query.where(_g.project_id == project_id)
    row = conn.execute(query).one_or_none()
    if row is None:
        raise ServerGroupNotFound(group=uuid)
    return _group(row)


def add(conn: Connection, group: ServerGroup) -> None:
    """Keep a new group."""
    names = ("uuid", "project_id", "user_id", "name", "policy", "max_per_host")
    conn.execute(insert(server_groups).values({name: getattr(group, name) for name in names}))


def remove(conn: Connection, group: ServerGroup) -> None:
    """Dissolve a group: it has no members any more, though they keep the hint that named it."""
    conn.execute(delete(server_groups).where(_g.uuid == group.uuid))


def count(conn: Connection, project_id: str) -> int:
    """How many groups a project has."""
    return conn.execute(
        select(func.count()).select_from(server_groups).where(_g.project_id == project_id)
    ).scalar_one()


def join(conn: Connection, group: ServerGroup, uuids: Iterable[str]) -> None:
    """Make instances members of a group."""
    number = select(_g.id).where(_g.uuid == group.uuid).scalar_subquery()
    conn.execute(
        insert(server_group_members).values(
            [{"instance_uuid": uuid, "group_id": number} for uuid in uuids]
        )
    )


_OF_MEMBER = (
    select(_g.id, _g.uuid, _g.name, _g.policy, _g.max_per_host)
    .join(server_group_members, _m.group_id == _g.id)
    .where(_m.instance_uuid == bindparam("instance"))
)
_HELD = _OF_MEMBER.with_for_update(of=server_groups)


def spec_for(conn: Connection, instance: str) -> GroupSpec | None:
    """The group of an instance with the hosts of the other members; None when it is in none.

    Holds the group until the transaction ends: who places a member next sees where this one went.
    """
    return _spec(conn, instance, _HELD)


def spec_now(conn: Connection, instance: str) -> GroupSpec | None:
    """As `spec_for`, but others may place members a moment later."""
    return _spec(conn, instance, _OF_MEMBER)


def _spec(conn: Connection, instance: str, query: Select[Any]) -> GroupSpec | None:
    group = conn.execute(query, {"instance": instance}).one_or_none()
    if group is None:
        return None
    # A statement of its own: what it counts is as of after the lock.
    hosts = conn.execute(
        select(
            _i.host,
            func.count().label("members"),
            func.array_agg(_i.uuid).filter(_is_recent).label("recent"),
        )
        .join(server_group_members, _is_member)
        .where(_m.group_id == group.id, _i.host.is_not(None), _i.uuid != instance)
        .group_by(_i.host)
    ).all()
    return GroupSpec(
        uuid=group.uuid,
        name=group.name,
        policy=group.policy,
        max_per_host=group.max_per_host or 1,
        hosts={row.host: row.members for row in hosts},
        recent=tuple(uuid for row in hosts for uuid in row.recent or ()),
    )


def _group(row: Any) -> ServerGroup:
    return ServerGroup(**{**row._mapping, "members": tuple(sorted(row.members))})
