# SPDX-License-Identifier: Apache-2.0
"""Accepting operations: what happens before the 202, each in one commit."""

from collections.abc import Callable
from typing import Any

from sqlalchemy.engine import Connection

from common.clock import Clock
from common.context import RequestContext
from common.errors import InstanceNotReady
from common.ids import NewUuid
from common.objects.action import InstanceAction
from common.objects.instance import Instance
from common.objects.new_server import CreatedServers, NewServers
from common.states import TaskState
from services.conductor.accept.checks import check
from services.conductor.accept.create import Create
from services.conductor.db import actions, instances, journal
from services.conductor.db.engine import Database
from services.conductor.db.journal_task import State, Task
from services.conductor.journal.engine import Engine
from services.conductor.journal.runner import Runner
from services.conductor.tasks.delete import Delete
from services.conductor.tasks.ground import has_networks
from services.conductor.tasks.power import Reboot, Start, Stop


class Accept:
    """The half of a long operation before its 202."""

    def __init__(
        self,
        database: Database,
        engine: Engine,
        runner: Runner,
        create: Create,
        *,
        clock: Clock,
        new_uuid: NewUuid,
        down_after_s: float,
    ) -> None:
        self._database = database
        self._engine = engine
        self._runner = runner
        self._create = create
        self._clock = clock
        self._new_uuid = new_uuid
        self._down_after_s = down_after_s

    def create(self, ctx: RequestContext, request: NewServers) -> CreatedServers:
        """Insert rows and boot tasks (services/conductor/accept/create.py)."""
        return self._create(ctx, request)

    def delete(self, ctx: RequestContext, instance: str, *, force: bool = False) -> None:
        """Insert a delete task. What is under way is given up; the deletion waits for its end.

        Again, while one is under way: nothing. `force` means the same while there is no soft
        delete. Raises: InstanceNotFound, InstanceLocked.
        """
        with self._database.begin() as conn:
            found = self._find(conn, ctx, instance)
            check(ctx, found, "delete")
            before = journal.unfinished(conn, instance)
            if any(task.flow == Delete.name for task in before):
                return
            journal.request_abort(conn, [task.uuid for task in before])
            instances.change(conn, instance, task_state=TaskState.DELETING, progress=0)
            task = self._task(ctx, Delete.name, found, has_networks=has_networks(found))
            if before:
                task.state = State.QUEUED
            launch = self._admit(conn, ctx, task, "delete")
        launch()
        for other in before:
            self._give_up(other)

    def start(self, ctx: RequestContext, instance: str) -> None:
        """Insert a start task. Raises: InstanceInvalidState, InstanceLocked, InstanceNotReady."""
        self._power(ctx, instance, Start.name, "start", TaskState.POWERING_ON)

    def stop(self, ctx: RequestContext, instance: str) -> None:
        """Insert a stop task. Raises: InstanceInvalidState, InstanceLocked, InstanceNotReady."""
        self._power(ctx, instance, Stop.name, "stop", TaskState.POWERING_OFF)

    def reboot(self, ctx: RequestContext, instance: str, *, hard: bool) -> None:
        """Insert a reboot task; a hard one takes the place of a soft one that is under way.

        Raises: InstanceInvalidState, InstanceLocked, InstanceNotReady.
        """
        operation = "reboot_hard" if hard else "reboot"
        task_state = TaskState.REBOOTING_HARD if hard else TaskState.REBOOTING
        self._power(ctx, instance, Reboot.name, operation, task_state, hard=hard)

    def _power(
        self,
        ctx: RequestContext,
        instance: str,
        flow: str,
        operation: str,
        task_state: TaskState,
        **params: Any,
    ) -> None:
        with self._database.begin() as conn:
            found = self._find(conn, ctx, instance)
            check(ctx, found, operation)
            if found.host is None:
                raise InstanceNotReady(instance=instance)
            before = journal.unfinished(conn, instance) if found.task_state else []
            journal_before = [task.uuid for task in before]
            if before:
                journal.request_abort(conn, journal_before)
            instances.change(conn, instance, task_state=task_state)
            task = self._task(ctx, flow, found, **params)
            if before:
                task.state = State.QUEUED
            launch = self._admit(conn, ctx, task, flow)
        launch()
        for other in before:
            self._give_up(other)

    def _find(self, conn: Connection, ctx: RequestContext, instance: str) -> Instance:
        return instances.get(
            conn,
            instance,
            down_after_s=self._down_after_s,
            project_id=None if ctx.is_admin else ctx.project_id or "",
            for_update=True,
        )

    def _task(self, ctx: RequestContext, flow: str, instance: Instance, **params: Any) -> Task:
        return Task(
            uuid=self._new_uuid(),
            flow=flow,
            instance_uuid=instance.uuid,
            context=ctx,
            params=params,
        )

    def _admit(
        self, conn: Connection, ctx: RequestContext, task: Task, action: str
    ) -> Callable[[], None]:
        actions.add(
            conn,
            [
                (
                    InstanceAction(
                        action=action,
                        instance_uuid=task.instance_uuid,
                        request_id=ctx.request_id,
                        user_id=ctx.user_id,
                        project_id=ctx.project_id,
                        start_time=self._clock.now(),
                    ),
                    task.uuid,
                )
            ],
        )
        return self._engine.admit(conn, [task])

    def _give_up(self, task: journal.Unfinished) -> None:
        """Have a task that waits for a host notice at once; others notice at their next step."""
        if task.operation_id is not None:
            overdue = journal.Overdue(task.operation_id, True, False, 0)
            self._runner.do(lambda: self._engine.give_up_waiting(overdue))
