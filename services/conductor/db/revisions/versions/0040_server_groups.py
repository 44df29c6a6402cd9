# SPDX-License-Identifier: Apache-2.0
"""Groups of servers, and their members."""

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "server_groups",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("max_per_host", sa.Integer(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_server_groups")),
        sa.UniqueConstraint("uuid", name=op.f("uq_server_groups_uuid")),
    )
    op.create_index(
        "ix_server_groups_by_project", "server_groups", ["project_id", "id"], unique=False
    )
    op.create_table(
        "server_group_members",
        sa.Column("instance_uuid", sa.Text(), nullable=False),
        sa.Column("group_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"],
            ["server_groups.id"],
            name=op.f("fk_server_group_members_group_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("instance_uuid", name=op.f("pk_server_group_members")),
    )
    op.create_index(
        "ix_server_group_members_by_group", "server_group_members", ["group_id"], unique=False
    )
