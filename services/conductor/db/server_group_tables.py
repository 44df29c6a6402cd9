# SPDX-License-Identifier: Apache-2.0
"""The tables of server groups."""

from sqlalchemy import BigInteger, Column, DateTime, ForeignKey, Index, Integer, Table, Text, func

from services.conductor.db.tables import metadata

server_groups = Table(
    "server_groups",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("uuid", Text, nullable=False, unique=True),
    Column("project_id", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("max_per_host", Integer),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index("ix_server_groups_by_project", "project_id", "id"),
)

# A row of a deleted instance counts for nothing.
server_group_members = Table(
    "server_group_members",
    metadata,
    Column("instance_uuid", Text, primary_key=True),
    Column("group_id", ForeignKey("server_groups.id", ondelete="CASCADE"), nullable=False),
    Index("ix_server_group_members_by_group", "group_id"),
)
