# SPDX-License-Identifier: Apache-2.0
"""Signals: what neighbours tell a running task of, for the step that waits for it.

Whoever moves a task reads them and never writes them: what is told meanwhile is not lost.
"""

import msgspec
from sqlalchemy import text, update
from sqlalchemy.engine import Connection

from services.conductor.db.journal import Lease
from services.conductor.db.journal_tables import tasks
from services.conductor.db.journal_task import Task

_t = tasks.c
_decode = msgspec.json.Decoder(Task).decode

_SIGNAL = text("""
UPDATE tasks SET signals = signals || jsonb_build_object(CAST(:name AS text), CAST(:value AS text))
WHERE instance_uuid = :instance AND state IN ('runnable', 'waiting')
""")
_WAKE = text("""
UPDATE tasks
SET version = version + 1, lease_owner = :owner, next_run_at = NULL,
    lease_until = clock_timestamp() + :lease_s * interval '1 second'
WHERE instance_uuid = :instance AND state = 'runnable' AND direction = 'forward'
  AND step = :step AND lease_owner IS NULL
RETURNING row_to_json(tasks)::text
""")


def signal(
    conn: Connection, instance_uuid: str, *, step: str, name: str, value: str, lease: Lease
) -> Task | None:
    """Tell the instance's running task of something, by name, for the step that waits for it.

    The task, leased, when it pauses at that step. Again: the last value counts.
    """
    told = {"instance": instance_uuid, "name": name, "value": value}
    if not conn.execute(_SIGNAL, told).rowcount:
        return None
    return wake(conn, instance_uuid, step, lease)


def wake(conn: Connection, instance_uuid: str, step: str, lease: Lease) -> Task | None:
    """Lease the instance's task if it pauses at `step`, on its way forward."""
    found = conn.execute(
        _WAKE,
        {"instance": instance_uuid, "step": step, "owner": lease.owner, "lease_s": lease.lease_s},
    ).scalar_one_or_none()
    return None if found is None else _decode(found)


def forget_signals(conn: Connection, uuid: str) -> None:
    """What was told so far is about something else. Again: fine."""
    conn.execute(update(tasks).where(_t.uuid == uuid).values(signals={}))
