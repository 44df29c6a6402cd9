# SPDX-License-Identifier: Apache-2.0
"""Migrations: read whole, written by column."""

from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import (
    Select,
    Text,
    and_,
    cast,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.engine import Connection

from common.errors import Invalid
from common.objects.migration import Migration, MigrationFilters, MigrationStatus
from services.conductor.db.journal_tables import owed_operations
from services.conductor.db.migration_tables import migrations

_m = migrations.c
_decode = msgspec.json.Decoder(Migration).decode
_decode_many = msgspec.json.Decoder(list[Migration]).decode
_COLUMNS = [column.name for column in migrations.columns if column.name != "id"]


def _as_json(rows: Select[Any]) -> Select[Any]:
    found = rows.subquery("found")
    return select(cast(func.row_to_json(literal_column("found")), Text)).select_from(found)


def add(conn: Connection, migration: Migration) -> None:
    """Write a new migration."""
    conn.execute(insert(migrations).values({name: getattr(migration, name) for name in _COLUMNS}))


def get(conn: Connection, uuid: str) -> Migration:
    """A migration that is known to be there."""
    return _decode(conn.execute(_as_json(select(migrations).where(_m.uuid == uuid))).scalar_one())


def change(conn: Connection, uuid: str, **values: Any) -> None:
    """Set columns of one migration."""
    conn.execute(
        update(migrations)
        .where(_m.uuid == uuid)
        .values(updated_at=func.clock_timestamp(), **values)
    )


def latest(conn: Connection, instance: str, statuses: Collection[str]) -> Migration | None:
    """The instance's newest migration in one of `statuses`."""
    query = (
        select(migrations)
        .where(_m.instance_uuid == instance, _m.status.in_(statuses))
        .order_by(_m.id.desc())
        .limit(1)
    )
    found = conn.execute(_as_json(query)).scalar_one_or_none()
    return None if found is None else _decode(found)


def uuids_of(conn: Connection, instance: str) -> list[str]:
    """Uuids of all migrations of an instance."""
    return list(conn.execute(select(_m.uuid).where(_m.instance_uuid == instance)).scalars())


def complete_evacuations(conn: Connection) -> None:
    """Mark evacuations as completed whose source owes no cleaning up any more. Again: nothing."""
    owed = owed_operations.c
    still_owed = exists().where(owed.instance_uuid == _m.instance_uuid, owed.host == _m.source_host)
    conn.execute(
        update(migrations)
        .where(_m.status == MigrationStatus.DONE, ~still_owed)
        .values(status=MigrationStatus.COMPLETED, updated_at=func.clock_timestamp())
    )


def settled_before(conn: Connection, status: str, *, older_than_s: float, most: int) -> list[str]:
    """Instances whose newest change to `status` is that long ago, oldest first."""
    age = func.now() - func.make_interval(0, 0, 0, 0, 0, 0, older_than_s)
    query = (
        select(_m.instance_uuid)
        .where(_m.status == status, _m.updated_at <= age)
        .order_by(_m.id)
        .limit(most)
    )
    return list(conn.execute(query).scalars())


def list_migrations(
    conn: Connection, filters: MigrationFilters, *, statuses: Collection[str] = ()
) -> list[Migration]:
    """Migrations, newest first. Raises: Invalid (unknown marker)."""
    query = select(migrations).order_by(_m.created_at.desc(), _m.id.desc())
    for column, wanted in (
        (_m.instance_uuid, filters.instance_uuid),
        (_m.source_host, filters.source_host),
        (_m.status, filters.status),
        (_m.type, filters.type),
        (_m.project_id, filters.project_id),
        (_m.user_id, filters.user_id),
    ):
        if wanted is not None:
            query = query.where(column == wanted)
    if filters.host is not None:
        query = query.where(or_(_m.source_host == filters.host, _m.dest_host == filters.host))
    changed = func.coalesce(_m.updated_at, _m.created_at)
    if filters.changes_since is not None:
        query = query.where(changed >= filters.changes_since)
    if filters.changes_before is not None:
        query = query.where(changed <= filters.changes_before)
    if statuses:
        query = query.where(_m.status.in_(statuses))
    if filters.marker is not None:
        query = query.where(_behind(conn, filters.marker))
    if filters.limit is not None:
        query = query.limit(filters.limit)
    rows = conn.execute(_as_json(query)).scalars().all()
    return _decode_many("[" + ",".join(rows) + "]")


def _behind(conn: Connection, marker: str) -> Any:
    at = conn.execute(select(_m.created_at, _m.id).where(_m.uuid == marker)).one_or_none()
    if at is None:
        raise Invalid(f"Marker {marker} could not be found.")
    return or_(_m.created_at < at.created_at, and_(_m.created_at == at.created_at, _m.id < at.id))
