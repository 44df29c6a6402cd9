# SPDX-License-Identifier: Apache-2.0
"""What neighbours tell of while a task runs is kept beside it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0080"
down_revision = "0070"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column(
        "tasks",
        sa.Column("signals", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
    )
