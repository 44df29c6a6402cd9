# SPDX-License-Identifier: Apache-2.0
"""Admission: how an operation on one instance becomes a task, in one commit.

Modules beside this one say, a subject each, which operations there are and what each needs.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Connection

from common.clock import Clock
from common.context import RequestContext
from common.errors import InstanceNotReady, MayRunElsewhere
from common.ids import NewUuid
from common.objects.action import InstanceAction
from common.objects.instance import Instance
from common.states import PowerState, TaskState
from services.conductor.accept.checks import check
from services.conductor.db import actions, instances, journal
from services.conductor.db.engine import Database
from services.conductor.db.journal_task import State, Task
from services.conductor.journal.engine import Engine
from services.conductor.journal.runner import Runner

# What starts a guest that is off.
_STARTS = frozenset(("start", "reboot_hard", "rebuild", "rescue"))

# Checks more and prepares rows, in the transaction; what it returns becomes the task's parameters.
Prepare = Callable[[Connection, Instance], Mapping[str, Any]]


def _nothing_more(conn: Connection, instance: Instance) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True)
class Operation:
    """An operation on an instance, as it is accepted.

    `name` is a key of `common.states.ALLOWED`, `flow` the flow that does it, `task_state` what the
    instance shows meanwhile (None: as before). `action` is its name among the instance actions
    (None: the flow's). With `on_host` an instance without a host is refused. What is under way is
    given up for it, unless it does not interrupt: then it waits.
    """

    name: str
    flow: str
    task_state: TaskState | None
    action: str | None = None
    on_host: bool = True
    interrupts: bool = True


class Admission:
    """The half of an operation before its 202: find, check, change the row, insert the task."""

    def __init__(
        self,
        database: Database,
        engine: Engine,
        runner: Runner,
        *,
        clock: Clock,
        new_uuid: NewUuid,
        down_after_s: float,
    ) -> None:
        self._database = database
        self._engine = engine
        self._runner = runner
        self._clock = clock
        self._new_uuid = new_uuid
        self._down_after_s = down_after_s

    def admit(
        self,
        ctx: RequestContext,
        instance: str,
        operation: Operation,
        *,
        prepare: Prepare = _nothing_more,
        secret: str | None = None,
    ) -> str:
        """Accept `operation`; the task that does it.

        One that may interrupt another has that given up first.

        `secret` travels with the task and is forgotten with its end.
        Raises: InstanceNotFound, InstanceLocked, InstanceInvalidState, InstanceNotReady, and what
        `prepare` raises.
        """
        with self._database.begin() as conn:
            found = self.find(conn, ctx, instance)
            _check(ctx, found, operation)
            _check_place(conn, found, operation)
            params = prepare(conn, found)
            # A task may outlive the task_state that it showed: a backup rotates older ones away,
            # and a reset state leaves a task to end where it can. The new one waits for it.
            before = journal.unfinished(conn, instance)
            interrupted = before if found.task_state and operation.interrupts else []
            if operation.task_state is not None:
                instances.change(conn, instance, task_state=operation.task_state)
            task = self.task(ctx, operation.flow, found, secret=secret, **params)
            launch = self.insert(
                conn,
                ctx,
                task,
                action=operation.action or operation.flow,
                after=interrupted,
                waits=bool(before),
            )
        launch()
        self.give_up(interrupted)
        return task.uuid

    def look(self, ctx: RequestContext, instance: str, operation: Operation) -> Instance:
        """The instance as it is now, if `operation` is allowed; it may not be a moment later.

        Raises: InstanceNotFound, InstanceLocked, InstanceInvalidState, InstanceNotReady.
        """
        with self._database.read() as conn:
            found = instances.get(
                conn,
                instance,
                down_after_s=self._down_after_s,
                project_id=None if ctx.is_admin else ctx.project_id or "",
            )
        _check(ctx, found, operation)
        return found

    def find(self, conn: Connection, ctx: RequestContext, instance: str) -> Instance:
        """The instance, locked, where the caller may see it. Raises: InstanceNotFound."""
        return instances.get(
            conn,
            instance,
            down_after_s=self._down_after_s,
            project_id=None if ctx.is_admin else ctx.project_id or "",
            for_update=True,
        )

    def begin(self) -> Any:
        """A transaction (services/conductor/db/engine.py)."""
        return self._database.begin()

    def task(
        self,
        ctx: RequestContext,
        flow: str,
        instance: Instance,
        *,
        secret: str | None = None,
        **params: Any,
    ) -> Task:
        """A task that is not in the journal yet."""
        return Task(
            uuid=self._new_uuid(),
            flow=flow,
            instance_uuid=instance.uuid,
            context=ctx,
            params=params,
            secret=secret,
        )

    def insert(
        self,
        conn: Connection,
        ctx: RequestContext,
        task: Task,
        *,
        action: str,
        after: Iterable[journal.Unfinished] = (),
        waits: bool = False,
    ) -> Callable[[], None]:
        """Write the task and its instance action; it waits for the end of those in `after`.

        Those are asked to end; with `waits` it also waits for others, which are not. The caller
        runs what is returned once the transaction is committed, and then `give_up`.
        """
        waits_for = [other.uuid for other in after]
        if waits_for:
            journal.request_abort(conn, waits_for)
        if waits_for or waits:
            task.state = State.QUEUED
        self.record(conn, ctx, task.instance_uuid, action=action, task_uuid=task.uuid)
        return self._engine.admit(conn, [task])

    def record(
        self,
        conn: Connection,
        ctx: RequestContext,
        instance: str,
        *,
        action: str,
        task_uuid: str | None = None,
    ) -> None:
        """Write an instance action; one without a task is done at once."""
        entry = InstanceAction(
            action=action,
            instance_uuid=instance,
            request_id=ctx.request_id,
            user_id=ctx.user_id,
            project_id=ctx.project_id,
            start_time=self._clock.now(),
        )
        actions.add(conn, [(entry, task_uuid)])

    def give_up(self, tasks: Iterable[journal.Unfinished], *, if_undoable: bool = False) -> None:
        """Have tasks that wait for a host notice at once; others notice at their next step.

        `if_undoable`: those behind a point of no return go on.
        """
        for task in tasks:
            if task.operation_id is not None:
                overdue = journal.Overdue(task.operation_id, True, False, 0)
                self._runner.do(
                    functools.partial(
                        self._engine.give_up_waiting, overdue, if_undoable=if_undoable
                    )
                )


def _check(ctx: RequestContext, found: Instance, operation: Operation) -> None:
    check(ctx, found, operation.name)
    if operation.on_host and found.host is None:
        raise InstanceNotReady(instance=found.uuid)


def _check_place(conn: Connection, found: Instance, operation: Operation) -> None:
    """Raises: MayRunElsewhere. A guest must not be started where it was while it may run on."""
    is_off = found.power_state not in (PowerState.RUNNING, PowerState.PAUSED)
    if operation.name in _STARTS and is_off:
        hosts = journal.may_have(conn, found.uuid)
        if hosts:
            raise MayRunElsewhere(instance=found.uuid, host=", ".join(hosts))
