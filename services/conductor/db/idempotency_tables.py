# SPDX-License-Identifier: Apache-2.0
"""The table of Idempotency-Keys: digests of keys, and answers that only their keys open."""

from sqlalchemy import Column, DateTime, Table, Text, func

from services.conductor.db.tables import metadata

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("answer", Text),
    Column(
        "created_at", DateTime(timezone=True), nullable=False, server_default=func.now(), index=True
    ),
)
