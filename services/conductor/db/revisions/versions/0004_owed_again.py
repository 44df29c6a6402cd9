# SPDX-License-Identifier: Apache-2.0
"""What a host failed to do that it owed is asked for again, later and later."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column(
        "owed_operations",
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "owed_operations", sa.Column("not_before", sa.DateTime(timezone=True), nullable=True)
    )
