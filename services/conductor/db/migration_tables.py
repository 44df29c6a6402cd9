# SPDX-License-Identifier: Apache-2.0
"""The table of migrations, which outlive their instance."""

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Index, Table, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB

from services.conductor.db.tables import metadata

_FALSE = text("false")

migrations = Table(
    "migrations",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("uuid", Text, nullable=False, unique=True),
    Column("instance_uuid", Text, nullable=False),
    Column("project_id", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("migration_type", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("source_compute", Text, nullable=False),
    Column("source_node", Text),
    Column("dest_compute", Text),
    Column("dest_node", Text),
    Column("dest_host", Text),
    Column("old_flavor", JSONB, nullable=False),
    Column("new_flavor", JSONB, nullable=False),
    Column("old_vm_state", Text, nullable=False),
    Column("holds_source", Boolean, nullable=False, server_default=_FALSE),
    Column("cancel_requested", Boolean, nullable=False, server_default=_FALSE),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("updated_at", DateTime(timezone=True)),
    Index("ix_migrations_by_instance", "instance_uuid", "id"),
    Index("ix_migrations_by_age", "created_at", "id"),
)
# What chores look for: resizes to confirm, evacuations whose source has not cleaned up.
Index(
    "ix_migrations_at_rest",
    migrations.c.id,
    postgresql_where=text("status IN ('finished', 'done')"),
)
