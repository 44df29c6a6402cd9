# SPDX-License-Identifier: Apache-2.0
"""Accepting that a host has booted, and that its guests are to run again."""

from common.clock import Clock
from common.context import RequestContext
from common.ids import NewUuid
from common.objects.action import InstanceAction
from services.conductor.db import actions, power, services
from services.conductor.db.engine import Database
from services.conductor.db.journal_task import Task
from services.conductor.journal.engine import Engine
from services.conductor.tasks.power import Revive


class AcceptRevival:
    """Nobody asked for it: what becomes of it stands among the actions of each instance all the
    same, as `start`.
    """

    def __init__(
        self, database: Database, engine: Engine, *, clock: Clock, new_uuid: NewUuid
    ) -> None:
        self._database = database
        self._engine = engine
        self._clock = clock
        self._new_uuid = new_uuid

    def host_booted(self, ctx: RequestContext, host: str) -> int:
        """Insert a task for each instance that ran on the host; how many."""
        with self._database.begin() as conn:
            # A host that says so is up, whatever the silence of its boot made of it.
            services.heard_from(conn, services.COMPUTE, [host])
            tasks = [
                Task(
                    uuid=self._new_uuid(),
                    flow=Revive.name,
                    instance_uuid=instance,
                    context=ctx,
                    params={},
                )
                for instance in power.to_revive(conn, host)
            ]
            if not tasks:
                return 0
            actions.add(conn, [(self._action(ctx, task), task.uuid) for task in tasks])
            launch = self._engine.admit(conn, tasks)
        launch()
        return len(tasks)

    def _action(self, ctx: RequestContext, task: Task) -> InstanceAction:
        return InstanceAction(
            action="start",
            instance_uuid=task.instance_uuid,
            request_id=ctx.request_id,
            user_id=ctx.user_id,
            project_id=ctx.project_id,
            start_time=self._clock.now(),
        )
