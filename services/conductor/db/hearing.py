# SPDX-License-Identifier: Apache-2.0
"""When conductors last heard themselves, which says whether a host's silence means anything."""

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.engine import Connection

_HEARD = text("""
SELECT max(last_seen_at) AS at,
       COALESCE(max(last_seen_at) < now() - :deaf_after_s * interval '1 second', true) AS is_deaf
FROM services WHERE "binary" = 'nova-conductor'
""")

_FORGIVE = text("""
UPDATE services SET last_seen_at = LEAST(now(), last_seen_at + (now() - :deaf_since))
WHERE "binary" <> 'nova-conductor' AND last_seen_at < now()
""")


def last_heard(conn: Connection, *, deaf_after_s: float) -> tuple[datetime | None, bool]:
    """When a heartbeat of a conductor arrived last, and whether that is too long ago."""
    row = conn.execute(_HEARD, {"deaf_after_s": deaf_after_s}).one()
    return row.at, row.is_deaf


def forgive(conn: Connection, deaf_since: datetime) -> None:
    """Do not count the silence of anybody from `deaf_since` till now: nobody listened."""
    conn.execute(_FORGIVE, {"deaf_since": deaf_since})
