# SPDX-License-Identifier: Apache-2.0
"""The journal's queries: who moves which task, and what hosts still owe.

Locks are taken in one order everywhere: compute node, instance, task. A task is therefore read
without a lock; whoever moves it writes it last, under the version that was read.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Float,
    Text,
    any_,
    bindparam,
    cast,
    exists,
    func,
    insert,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TEXT
from sqlalchemy.engine import Connection

from common.errors import TaskNotFound
from common.objects.action import ActionEvent
from common.objects.operation import Operation
from common.objects.task import StepRecord, TaskRecord
from services.conductor.db.journal_tables import UNFINISHED, owed_operations, tasks
from services.conductor.db.journal_task import Move, State, StepEntry, Task
from services.conductor.db.tables import instance_actions, services

_t = tasks.c
_decode = msgspec.json.Decoder(Task).decode
_decode_operation = msgspec.json.Decoder(Operation).decode
_decode_steps = msgspec.json.Decoder(list[StepEntry]).decode


@dataclass(frozen=True)
class Lease:
    """Who moves tasks, and for how many seconds a task is theirs without a renewal."""

    owner: str
    lease_s: float
    resend_after_s: float


class Overtaken(Exception):
    """Somebody else has moved the task since it was read."""


def _in_seconds(name: str) -> ColumnElement[Any]:
    """The time that many seconds from now; NULL for none."""
    return func.clock_timestamp() + cast(bindparam(name), Float) * literal_column(
        "interval '1 second'"
    )


_SAVED = (
    "results", "state", "direction", "step_index", "step", "step_started_at", "attempt", "rewinds",
    "rewind_to", "operation_id", "operation", "owable", "host", "reason",
)  # fmt: skip
_TIMES = {
    "lease_owner": bindparam("lease_owner"),
    "lease_until": _in_seconds("lease_s"),
    "next_run_at": _in_seconds("retry_after_s"),
    "deadline_at": _in_seconds("deadline_s"),
    "resend_at": _in_seconds("resend_after_s"),
}
_INSERT = insert(tasks).values(
    **{name: bindparam(name) for name in (
        "uuid", "flow", "instance_uuid", "context", "params", "secret", "abort_requested", "steps",
        *_SAVED,
    )},
    **_TIMES,
)  # fmt: skip
_queue = tasks.alias("queue")
_SAVE = (
    update(tasks)
    .where(_t.uuid == bindparam("of_uuid"), _t.version == bindparam("of_version"))
    .values(
        **{name: bindparam(name) for name in _SAVED},
        **_TIMES,
        version=_t.version + 1,
        steps=_t.steps.op("||")(bindparam("entries", type_=JSONB)),
        updated_at=func.clock_timestamp(),
    )
)
_SAVE_UNFINISHED = _SAVE.returning(
    _t.abort_requested, literal_column("false").label("is_awaited"), _t.signals
)
_finished_action = (
    update(instance_actions)
    .where(instance_actions.c.task_uuid == bindparam("of_uuid"))
    .values(updated_at=func.clock_timestamp(), message=bindparam("message"))
    .cte("finished_action")
)
_SAVE_FINISHED = (
    _SAVE.values(finished_at=func.clock_timestamp(), secret=None)
    .returning(
        _t.abort_requested,
        select(literal_column("1"))
        .where(_queue.c.instance_uuid == _t.instance_uuid, _queue.c.state == State.QUEUED)
        .exists()
        .label("is_awaited"),
        _t.signals,
    )
    .add_cte(_finished_action)
)


def add(conn: Connection, new: Iterable[tuple[Task, Move | None]], lease: Lease) -> None:
    """Insert tasks: one statement whatever their number. Without a move they are queued."""
    conn.execute(
        _INSERT,
        [
            {
                **{name: getattr(task, name) for name in (
                    "uuid", "flow", "instance_uuid", "context", "params", "secret",
                    "abort_requested",
                )},
                **_values(task, move or Move(), lease),
                "steps": [] if move is None else move.entries,
            }
            for task, move in new
        ],
    )  # fmt: skip


@dataclass(frozen=True)
class Saved:
    """What a mover learns by writing: `is_awaited` says that another task waits for this one,
    `is_told` that neighbours have told of something since the task was read.
    """

    abort_requested: bool
    is_awaited: bool
    is_told: bool


def save(conn: Connection, task: Task, move: Move, lease: Lease) -> Saved:
    """Write a task that was moved. Raises: Overtaken.

    A task that ended loses its secret, and its instance action gets its time and reason.
    """
    finished = task.state in (State.DONE, State.UNDONE, State.FAILED)
    values = _values(task, move, lease) | {
        "of_uuid": task.uuid, "of_version": task.version, "entries": move.entries,
    }  # fmt: skip
    if finished:
        values["message"] = task.reason
    row = conn.execute(_SAVE_FINISHED if finished else _SAVE_UNFINISHED, values).one_or_none()
    if row is None:
        raise Overtaken(task.uuid)
    task.version += 1
    for operation in move.owed:
        _owe(conn, operation)
    return Saved(row.abort_requested, row.is_awaited, row.signals != task.signals)


def _values(task: Task, move: Move, lease: Lease) -> dict[str, Any]:
    is_mine = task.state is State.RUNNABLE and move.retry_after_s is None
    return {
        **{name: getattr(task, name) for name in _SAVED},
        "lease_owner": lease.owner if is_mine else None,
        "lease_s": lease.lease_s if is_mine else None,
        "retry_after_s": move.retry_after_s,
        "deadline_s": move.deadline_s,
        "resend_after_s": lease.resend_after_s if task.state is State.WAITING else None,
    }


def _row(name: str) -> Any:
    return cast(func.row_to_json(literal_column(name)), Text)


_BY_OPERATION = (
    select(_row("tasks"))
    .select_from(tasks)
    .where(_t.operation_id == bindparam("operation_id"), _t.state == State.WAITING)
)
_BY_UUID = select(_row("tasks")).select_from(tasks).where(_t.uuid == bindparam("uuid"))


def waiting_for(conn: Connection, operation_id: str) -> Task | None:
    """The task that waits for an operation."""
    found = conn.execute(_BY_OPERATION, {"operation_id": operation_id}).scalar_one_or_none()
    return None if found is None else _decode(found)


# MATERIALIZED: the planner may otherwise repeat the selection and lease more than the limit.
_TAKE = text("""
WITH due AS MATERIALIZED (
    SELECT id FROM tasks
    WHERE state = 'runnable'
      AND (next_run_at IS NULL OR next_run_at <= clock_timestamp()
           OR (abort_requested AND direction = 'forward'))
      AND (lease_until IS NULL OR lease_until < clock_timestamp()
           OR (lease_owner = :owner AND NOT uuid = ANY(:running)
               AND lease_until < clock_timestamp() + :lease_s * interval '0.5 seconds')
           OR (:former <> '' AND lease_owner <> :owner AND starts_with(lease_owner, :former)))
    ORDER BY id LIMIT :most
    FOR UPDATE SKIP LOCKED
)
UPDATE tasks
SET lease_owner = :owner, version = version + 1,
    lease_until = clock_timestamp() + :lease_s * interval '1 second'
FROM due WHERE tasks.id = due.id
RETURNING row_to_json(tasks)::text
""")


def take(
    conn: Connection, lease: Lease, *, running: Sequence[str], most: int, former: str = ""
) -> list[Task]:
    """Lease up to `most` tasks that nobody moves, oldest first; not those that we are `running`.

    Owners whose name starts with `former` are known to be dead.
    """
    rows = conn.execute(
        _TAKE,
        {"owner": lease.owner, "lease_s": lease.lease_s, "running": list(running), "most": most,
         "former": former},
    ).scalars()  # fmt: skip
    return [_decode(row) for row in rows]


_RENEW = (
    update(tasks)
    .where(
        _t.state == State.RUNNABLE,
        _t.lease_owner == bindparam("owner"),
        _t.uuid == any_(bindparam("uuids", type_=ARRAY(TEXT))),
    )
    .values(lease_until=_in_seconds("for_s"))
)


def renew(conn: Connection, lease: Lease, uuids: Sequence[str]) -> None:
    """Keep tasks that are being run: one statement for all."""
    conn.execute(_RENEW, {"owner": lease.owner, "uuids": list(uuids), "for_s": lease.lease_s})


def let_go(conn: Connection, lease: Lease) -> None:
    """Leave our tasks to others: we stop."""
    conn.execute(
        update(tasks)
        .where(_t.state == State.RUNNABLE, _t.lease_owner == lease.owner)
        .values(lease_owner=None, lease_until=None)
    )


@dataclass(frozen=True)
class Overdue:
    """An operation that is not to be waited for any longer, and why."""

    operation_id: str
    aborted: bool
    host_down: bool
    waited_s: float


_OVERDUE = text("""
SELECT t.operation_id, t.abort_requested AND t.direction = 'forward' AS aborted,
       NOT COALESCE(s.up, false) AND :trust_silence AS host_down,
       COALESCE(EXTRACT(EPOCH FROM clock_timestamp() - t.updated_at), 0)::float AS waited_s
FROM tasks t LEFT JOIN LATERAL (
    SELECT last_seen_at > now() - :down_after_s * interval '1 second' AND NOT forced_down AS up
    FROM services WHERE host = t.host AND "binary" = 'nova-compute'
) s ON true
WHERE t.state = 'waiting'
  AND (t.deadline_at < clock_timestamp() OR (t.abort_requested AND t.direction = 'forward')
       OR (NOT COALESCE(s.up, false) AND :trust_silence))
ORDER BY t.id LIMIT :most
""")


def overdue(
    conn: Connection, *, down_after_s: float, trust_silence: bool, most: int
) -> list[Overdue]:
    """Operations past their deadline, of hosts that are down, or of tasks to be given up.

    Without `trust_silence` no host is held to be down.
    """
    rows = conn.execute(
        _OVERDUE, {"down_after_s": down_after_s, "trust_silence": trust_silence, "most": most}
    ).mappings()
    return [Overdue(**row) for row in rows]


# The pause doubles with the time that the operation takes, up to a minute.
_RESEND = text("""
WITH due AS MATERIALIZED (
    SELECT id FROM tasks WHERE state = 'waiting' AND resend_at < clock_timestamp()
    ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED
)
UPDATE tasks
SET resend_at = clock_timestamp()
        + LEAST(clock_timestamp() - COALESCE(updated_at, created_at), interval '60 seconds')
FROM due WHERE tasks.id = due.id
RETURNING operation::text
""")


def to_resend(conn: Connection, *, most: int) -> list[Operation]:
    """Operations that their hosts have not reported for a while."""
    return [_decode_operation(row) for row in conn.execute(_RESEND, {"most": most}).scalars()]


_UNFINISHED = select(_t.uuid, _t.flow, _t.state, _t.operation_id, _t.host).where(
    _t.instance_uuid == bindparam("instance"), _t.state.in_(UNFINISHED)
)


@dataclass(frozen=True)
class Unfinished:
    """A task of an instance that has not ended; `host` is at work on `operation_id`, if any is."""

    uuid: str
    flow: str
    state: str
    operation_id: str | None
    host: str | None


_UNDER_WAY = (
    select(_t.host, func.count())
    .where(_t.state == State.WAITING, _t.host.is_not(None))
    .group_by(_t.host)
)


def under_way(conn: Connection) -> dict[str, int]:
    """How many operations tasks wait for, by host; hosts with none are left out."""
    return {str(host): number for host, number in conn.execute(_UNDER_WAY)}


def unfinished(conn: Connection, instance_uuid: str) -> list[Unfinished]:
    """An instance's tasks that have not ended, in order."""
    rows = conn.execute(_UNFINISHED.order_by(_t.id), {"instance": instance_uuid})
    return [Unfinished(**row._mapping) for row in rows]


def request_abort(conn: Connection, uuids: Sequence[str]) -> None:
    """Have tasks end early; whoever moves them next sees it."""
    conn.execute(
        update(tasks)
        .where(_t.uuid.in_(uuids), _t.state.in_(UNFINISHED))
        .values(abort_requested=True)
    )


_PROMOTE = text("""
UPDATE tasks
SET state = 'runnable', version = version + 1, lease_owner = :owner,
    lease_until = clock_timestamp() + :lease_s * interval '1 second'
WHERE id = (SELECT min(id) FROM tasks WHERE instance_uuid = :instance AND state = 'queued')
  AND NOT EXISTS (SELECT FROM tasks WHERE instance_uuid = :instance
                  AND state IN ('runnable', 'waiting'))
RETURNING row_to_json(tasks)::text
""")


def promote(conn: Connection, instance_uuid: str, lease: Lease) -> Task | None:
    """Lease the instance's next queued task, when no other of its tasks is moving."""
    found = conn.execute(
        _PROMOTE,
        {"instance": instance_uuid, "owner": lease.owner, "lease_s": lease.lease_s},
    ).scalar_one_or_none()
    return None if found is None else _decode(found)


_FORGOTTEN = text("""
SELECT DISTINCT instance_uuid FROM tasks q
WHERE state = 'queued' AND NOT EXISTS (
    SELECT FROM tasks a WHERE a.instance_uuid = q.instance_uuid
    AND a.state IN ('runnable', 'waiting'))
LIMIT :most
""")


def with_forgotten_tasks(conn: Connection, *, most: int) -> list[str]:
    """Instances whose queued task has nothing left to wait for."""
    return list(conn.execute(_FORGOTTEN, {"most": most}).scalars())


_ADDRESS = text("""
SELECT rpc_server,
       COALESCE(last_seen_at > now() - :down_after_s * interval '1 second', false)
       AND NOT forced_down AS is_up
FROM services WHERE host = :host AND "binary" = 'nova-compute'
""")


def address_of(conn: Connection, host: str, *, down_after_s: float) -> tuple[str, bool]:
    """The queue of a host's compute daemon, and whether the host is up.

    A host that nobody knows any more is down, on a queue of its name.
    """
    row = conn.execute(_ADDRESS, {"host": host, "down_after_s": down_after_s}).one_or_none()
    return (host, False) if row is None else (row.rpc_server, row.is_up)


# --- what hosts owe ------------------------------------------------------------------------------


def _owe(conn: Connection, operation: Operation) -> None:
    conn.execute(
        insert(owed_operations).values(
            id=operation.id,
            host=operation.host,
            instance_uuid=operation.instance_uuid,
            operation=operation,
        )
    )


_PENDING = text("""
SELECT operation::text FROM (
    SELECT operation, created_at, id::text AS id FROM tasks
    WHERE state = 'waiting' AND host = ANY(:hosts)
    UNION ALL
    SELECT operation, created_at, id FROM owed_operations
    WHERE host = ANY(:hosts) AND (not_before IS NULL OR not_before <= now())
) pending ORDER BY created_at, id LIMIT :most
""")


def pending_of(conn: Connection, hosts: Sequence[str], *, most: int = 1000) -> list[Operation]:
    """Operations that these hosts have not reported, oldest first; also what they owe."""
    rows = conn.execute(_PENDING, {"hosts": list(hosts), "most": most}).scalars()
    return [_decode_operation(row) for row in rows]


def owing(conn: Connection, instance_uuid: str) -> list[str]:
    """Hosts that still have to remove what an instance left on them."""
    o = owed_operations.c
    return list(conn.execute(select(o.host).where(o.instance_uuid == instance_uuid)).scalars())


def may_have(conn: Connection, instance_uuid: str) -> list[str]:
    """Hosts that an instance may have reached alive: they were down when they were to say so.

    Without those of which the operator says that they are down, or that are no more.
    """
    o, s = owed_operations.c, services.c
    is_asked = o.operation["method"].as_string() == "discard_live"
    is_there = exists().where(s.host == o.host, s.binary == "nova-compute", ~s.forced_down)
    query = select(o.host).where(o.instance_uuid == instance_uuid, is_asked, is_there)
    return list(conn.execute(query).scalars())


def forgive(conn: Connection, instance_uuid: str, host: str) -> None:
    """What the host owed for the instance is its own business now. Again: nothing."""
    o = owed_operations.c
    conn.execute(owed_operations.delete().where(o.instance_uuid == instance_uuid, o.host == host))


_PAY = (
    owed_operations.delete()
    .where(owed_operations.c.id == bindparam("operation_id"))
    .returning(owed_operations.c.instance_uuid)
)


def pay(conn: Connection, operation_id: str) -> str | None:
    """Forget an operation that a host owed; its instance, None when it did not owe it."""
    paid: str | None = conn.execute(_PAY, {"operation_id": operation_id}).scalar_one_or_none()
    return paid


_OWE_AGAIN = text("""
UPDATE owed_operations SET
    attempts = attempts + 1,
    not_before = now() + least(60 * power(2, least(attempts, 10)), 3600) * interval '1 second',
    operation = jsonb_set(operation, '{again}', 'true')
WHERE id = :operation_id
RETURNING instance_uuid
""")


def owe_again(conn: Connection, operation_id: str) -> str | None:
    """Keep what a host failed to do, for a minute at first and an hour at most between attempts.

    Its instance; None when the host did not owe it.
    """
    instance: str | None = conn.execute(
        _OWE_AGAIN, {"operation_id": operation_id}
    ).scalar_one_or_none()
    return instance


# --- what people read ----------------------------------------------------------------------------

_SHOWN = [
    _t.uuid, _t.flow, _t.instance_uuid, _t.context["project_id"].as_string().label("project_id"),
    _t.context["request_id"].as_string().label("request_id"), _t.state, _t.direction, _t.step,
    _t.host, _t.attempt.label("attempts"), _t.lease_owner, _t.lease_until, _t.deadline_at,
    _t.reason, _t.created_at, _t.updated_at, _t.finished_at,
]  # fmt: skip


def list_tasks(
    conn: Connection, *, active_only: bool, instance: str | None, limit: int
) -> list[TaskRecord]:
    """Tasks, newest first, without their history."""
    query = select(*_SHOWN).order_by(_t.id.desc()).limit(limit)
    if active_only:
        query = query.where(_t.state.in_(UNFINISHED))
    if instance is not None:
        query = query.where(_t.instance_uuid == instance)
    return [_record(row) for row in conn.execute(query).mappings()]


def show(conn: Connection, uuid: str) -> TaskRecord:
    """One task with its history. Raises: TaskNotFound."""
    query = select(*_SHOWN, cast(_t.steps, Text).label("steps")).where(_t.uuid == uuid)
    row = conn.execute(query).mappings().one_or_none()
    if row is None:
        raise TaskNotFound(task=uuid)
    fields = dict(row)
    steps = _decode_steps(fields.pop("steps"))
    return msgspec.structs.replace(
        _record(fields),
        steps=tuple(
            StepRecord(**{name: getattr(step, name) for name in StepRecord.__struct_fields__})
            for step in steps
        ),
    )


def _record(fields: Any) -> TaskRecord:
    return TaskRecord(**{**fields, "project_id": fields["project_id"] or ""})


_EVENTS = select(
    cast(_t.steps, Text).label("steps"), _t.flow, _t.step, _t.step_started_at, _t.host, _t.state
).where(_t.uuid == bindparam("uuid"))


def events_of(conn: Connection, task_uuid: str) -> tuple[ActionEvent, ...]:
    """The steps of a task that users know by a name, newest first."""
    row = conn.execute(_EVENTS, {"uuid": task_uuid}).one_or_none()
    if row is None:
        return ()
    return tuple(
        ActionEvent(
            event=entry.event,
            start_time=entry.started_at,
            finish_time=entry.finished_at,
            result=entry.outcome,
            host=entry.host,
            details=entry.reason,
        )
        for entry in reversed(_decode_steps(row.steps))
        if entry.event is not None
    )
