# SPDX-License-Identifier: Apache-2.0
"""Instances have shares."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0090"
down_revision = "0085"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column(
        "instances",
        sa.Column("shares", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
    )
