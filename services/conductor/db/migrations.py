# SPDX-License-Identifier: Apache-2.0
"""Migrations: instances on their way from one host to another, and where they went before."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    DateTime,
    Select,
    Text,
    cast,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.engine import Connection

from common.errors import Invalid, MigrationNotFound
from common.objects.migration import Migration, MigrationFilters, MigrationStatus, MigrationType
from services.conductor.db.journal_tables import owed_operations
from services.conductor.db.migration_tables import migrations
from services.conductor.db.tables import instances

_m = migrations.c
_i = instances.c
_decode = msgspec.json.Decoder(Migration).decode
_touched_at = func.coalesce(_m.updated_at, _m.created_at)
_EXACT = (
    "instance_uuid", "source_compute", "status", "migration_type", "user_id", "project_id",
)  # fmt: skip


def _found(conn: Connection, query: Select[Any]) -> list[Migration]:
    rows = query.subquery("found")
    texts = select(cast(func.row_to_json(literal_column("found")), Text)).select_from(rows)
    return [_decode(row) for row in conn.execute(texts).scalars()]


def add(conn: Connection, new: Migration) -> Migration:
    """Insert a migration; it with its number."""
    values = {
        name: getattr(new, name)
        for name in Migration.__struct_fields__
        if name in _m and name not in ("id", "updated_at")
    }
    number = conn.execute(insert(migrations).values(values).returning(_m.id)).scalar_one()
    return msgspec.structs.replace(new, id=number)


def change(conn: Connection, uuid: str, **values: Any) -> None:
    """Set columns of one migration."""
    conn.execute(
        update(migrations)
        .where(_m.uuid == uuid)
        .values(updated_at=func.clock_timestamp(), **values)
    )


def get(conn: Connection, uuid: str) -> Migration:
    """One migration. Raises: MigrationNotFound."""
    found = _found(conn, select(migrations).where(_m.uuid == uuid))
    if not found:
        raise MigrationNotFound(migration=uuid)
    return found[0]


def of_instance(conn: Connection, instance: str, migration: str) -> Migration:
    """A migration of an instance by its number or uuid. Raises: MigrationNotFound."""
    # A bigserial has 63 bits: a longer number is nobody's id, and no error either.
    is_number = migration.isdecimal() and len(migration) < 19
    named = _m.id == int(migration) if is_number else _m.uuid == migration
    found = _found(conn, select(migrations).where(_m.instance_uuid == instance, named))
    if not found:
        raise MigrationNotFound(f"Migration {migration} for server {instance} could not be found.")
    return found[0]


def latest(conn: Connection, instance: str, *statuses: str) -> Migration | None:
    """The instance's newest migration in one of `statuses`."""
    query = select(migrations).where(_m.instance_uuid == instance, _m.status.in_(statuses))
    found = _found(conn, query.order_by(_m.id.desc()).limit(1))
    return found[0] if found else None


def holding(conn: Connection, instance: str) -> Migration | None:
    """The migration whose source still holds something of the instance."""
    query = select(migrations).where(_m.instance_uuid == instance, _m.holds_source)
    found = _found(conn, query.order_by(_m.id.desc()).limit(1))
    return found[0] if found else None


def list_migrations(conn: Connection, filters: MigrationFilters) -> list[Migration]:
    """Migrations, newest first. Raises: Invalid (unknown marker)."""
    if filters.limit == 0:
        return []
    query = select(migrations)
    for name in _EXACT:
        wanted = getattr(filters, name)
        if wanted is not None:
            query = query.where(_m[name] == wanted)
    if filters.host is not None:
        query = query.where(or_(_m.source_compute == filters.host, _m.dest_compute == filters.host))
    if filters.changes_since is not None:
        query = query.where(_touched_at >= filters.changes_since)
    if filters.changes_before is not None:
        query = query.where(_touched_at <= filters.changes_before)
    if filters.marker is not None:
        seen = conn.execute(
            select(_m.created_at, _m.id).where(_m.uuid == filters.marker)
        ).one_or_none()
        if seen is None:
            raise Invalid(f"Marker {filters.marker} could not be found.")
        query = query.where(tuple_(_m.created_at, _m.id) < tuple_(*seen))
    query = query.order_by(_m.created_at.desc(), _m.id.desc())
    return _found(conn, query.limit(filters.limit))


def live_of(conn: Connection, instance: str, statuses: Sequence[str]) -> list[Migration]:
    """Live migrations of an instance in one of `statuses`, oldest first."""
    query = select(migrations).where(
        _m.instance_uuid == instance,
        _m.migration_type == MigrationType.LIVE,
        _m.status.in_(statuses),
    )
    return _found(conn, query.order_by(_m.id))


def unconfirmed(conn: Connection, *, older_than_s: float, most: int) -> list[str]:
    """Instances at rest whose resize has waited that long for its confirmation."""
    age = func.make_interval(0, 0, 0, 0, 0, 0, older_than_s)
    rows = conn.execute(
        select(_m.instance_uuid)
        .join(instances, _i.uuid == _m.instance_uuid)
        .where(_m.status == MigrationStatus.FINISHED, _i.deleted_at.is_(None))
        .where(_i.vm_state == "resized", _i.task_state.is_(None))
        .where(cast(_touched_at, DateTime(timezone=True)) < func.clock_timestamp() - age)
        .order_by(_m.id)
        .limit(most)
    )
    return list(rows.scalars())


def complete_evacuations(conn: Connection) -> list[str]:
    """Mark evacuations as completed whose source owes no cleaning up any more; their instances."""
    o = owed_operations.c
    still_owed = exists().where(o.instance_uuid == _m.instance_uuid, o.host == _m.source_compute)
    return list(
        conn.execute(
            update(migrations)
            .where(_m.status == MigrationStatus.DONE, ~still_owed)
            .values(status=MigrationStatus.COMPLETED, updated_at=func.clock_timestamp())
            .returning(_m.instance_uuid)
        ).scalars()
    )
