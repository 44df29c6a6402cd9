# SPDX-License-Identifier: Apache-2.0
"""How a task ended, for callers who wait for it."""

from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.engine import Connection

from common.errors import Internal, KilonovaError, TaskNotFound, WireError, from_wire
from services.conductor.db.journal_tables import tasks
from services.conductor.db.journal_task import State

_t = tasks.c


def has_passed(conn: Connection, uuid: str, step: str, *, instance: str) -> dict[str, Any] | None:
    """The parameters of an instance's task once `step` has given something; None before.

    Raises: TaskNotFound; where the task did not come so far, the error that it failed with.
    """
    row = conn.execute(
        select(_t.state, _t.results, _t.reason, _t.params).where(
            _t.uuid == uuid, _t.instance_uuid == instance
        )
    ).one_or_none()
    if row is None:
        raise TaskNotFound(task=uuid)
    if row.state == State.DONE or step in row.results:
        return dict(row.params)
    if row.state in (State.UNDONE, State.FAILED):
        raise _error_of(row)
    return None


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
    raise _error_of(row)


def _error_of(row: Any) -> KilonovaError:
    if "error" not in row.results:
        return Internal(reason=row.reason or "the operation was given up")
    return from_wire(msgspec.convert(row.results["error"], WireError))
