# SPDX-License-Identifier: Apache-2.0
"""Instances are found by any number of fixed addresses with one look into an index."""

from alembic import op

revision = "0085"
down_revision = "0080"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.execute(
        "CREATE INDEX ix_instances_by_fixed_address ON instances USING gin "
        "(jsonb_path_query_array(vifs, '$[*].fixed_ips[*].address')) WHERE deleted_at IS NULL"
    )
    op.drop_index("ix_instances_by_address", table_name="instances")
