# SPDX-License-Identifier: Apache-2.0
"""Migrations of instances."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0060"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "migrations",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.Text(), nullable=False),
        sa.Column("instance_uuid", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("source_host", sa.Text(), nullable=True),
        sa.Column("source_node", sa.Text(), nullable=True),
        sa.Column("dest_host", sa.Text(), nullable=True),
        sa.Column("dest_node", sa.Text(), nullable=True),
        sa.Column("old_flavor", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("new_flavor", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("old_vm_state", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_migrations")),
        sa.UniqueConstraint("uuid", name=op.f("uq_migrations_uuid")),
    )
    op.create_index(
        op.f("ix_migrations_instance_uuid_id"), "migrations", ["instance_uuid", "id"], unique=False
    )
