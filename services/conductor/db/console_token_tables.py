# SPDX-License-Identifier: Apache-2.0
"""The table of tokens that open consoles: digests of them, and what each opens."""

from sqlalchemy import Column, DateTime, Integer, Table, Text, func

from services.conductor.db.tables import metadata

console_tokens = Table(
    "console_tokens",
    metadata,
    Column("token_hash", Text, primary_key=True),
    Column("instance_uuid", Text, nullable=False),
    Column("console_type", Text, nullable=False),
    # The guest that the token is for: where its instance was, and since when it had run there.
    Column("instance_host", Text, nullable=False),
    Column("launched_at", DateTime(timezone=True)),
    Column("host", Text, nullable=False),
    Column("port", Integer, nullable=False),
    Column("tls_port", Integer),
    Column("internal_access_path", Text),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("expires_at", DateTime(timezone=True), nullable=False, index=True),
)
