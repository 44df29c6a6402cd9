# SPDX-License-Identifier: Apache-2.0
"""Alembic's entry: runs revisions on the connection that `revisions.config` was given."""

from alembic import context

from services.conductor.db import tables

connection = context.config.attributes["connection"]
# Several conductors may be told to upgrade at once: one does it, the others find it done.
connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7203)")
context.configure(connection=connection, target_metadata=tables.metadata)
context.run_migrations()
