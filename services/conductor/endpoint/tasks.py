# SPDX-License-Identifier: Apache-2.0
"""The `tasks` interface: the journal as operators read it."""

from common.context import RequestContext
from common.objects.task import TaskRecord
from common.rpc.conductor.tasks import Tasks
from services.conductor.db import journal
from services.conductor.db.engine import Database


class TasksEndpoint(Tasks):
    """Reads; what moves tasks is the engine."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_tasks(
        self,
        ctx: RequestContext,
        *,
        active_only: bool = True,
        instance: str | None = None,
        limit: int = 100,
    ) -> list[TaskRecord]:
        """Tasks, newest first."""
        with self._database.read() as conn:
            return journal.list_tasks(conn, active_only=active_only, instance=instance, limit=limit)

    def show(self, ctx: RequestContext, task: str) -> TaskRecord:
        """One task with the history of its steps."""
        with self._database.read() as conn:
            return journal.show(conn, task)
