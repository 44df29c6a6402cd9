# SPDX-License-Identifier: Apache-2.0
"""The table of migrations: instances that moved, or are on their way."""

from sqlalchemy import BigInteger, Column, DateTime, Index, Table, Text, func
from sqlalchemy.dialects.postgresql import JSONB

from services.conductor.db.tables import metadata

migrations = Table(
    "migrations",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("uuid", Text, nullable=False, unique=True),
    Column("instance_uuid", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("source_host", Text),
    Column("source_node", Text),
    Column("dest_host", Text),
    Column("dest_node", Text),
    Column("old_flavor", JSONB, nullable=False),
    Column("new_flavor", JSONB, nullable=False),
    Column("old_vm_state", Text, nullable=False),
    Column("project_id", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("updated_at", DateTime(timezone=True)),
    Index(None, "instance_uuid", "id"),
)
