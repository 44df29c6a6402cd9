# SPDX-License-Identifier: Apache-2.0
"""How a task ended, for callers who wait for it."""

from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.engine import Connection

from common.errors import Internal, TaskNotFound, WireError, from_wire
from services.conductor.db.journal_tables import tasks
from services.conductor.db.journal_task import State

_t = tasks.c


def results_of(conn: Connection, uuid: str, *, instance: str) -> dict[str, Any] | None:
    """What the steps of an instance's task gave; None while it runs.

    Raises: TaskNotFound; where it did not reach its end, the error that it failed with.
    """
    row = conn.execute(
        select(_t.state, _t.results, _t.reason).where(_t.uuid == uuid, _t.instance_uuid == instance)
    ).one_or_none()
    if row is None:
        raise TaskNotFound(task=uuid)
    if row.state == State.DONE:
        return dict(row.results)
    if row.state not in (State.UNDONE, State.FAILED):
        return None
    if "error" not in row.results:
        raise Internal(reason=row.reason or "the operation was given up")
    raise from_wire(msgspec.convert(row.results["error"], WireError))
